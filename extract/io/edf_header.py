"""What an EDF or BDF header says, and what of it mne corrects in silence: such files are refused here."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from store.runtime.errors import UserError

FIXED_BYTES = 256  # of the header, and again for each channel
SAMPLE_BYTES = {".edf": 2, ".bdf": 3}
ANNOTATIONS = ("EDF Annotations", "BDF Annotations")
VOLTAGES = ("uV", "µV", "\x83\xcaV", "mV", "V")  # exactly what mne scales; it takes any other unit for volts


@dataclass(frozen=True)
class EdfHeader:
    """Header of an EDF or BDF file; the tuples have one entry for each channel."""

    names: tuple[str, ...]
    units: tuple[str, ...]
    ranges: tuple[tuple[float, float], ...]  # physical, digital: maximum - minimum
    record_samples: tuple[int, ...]
    records: int
    record_s: float
    header_bytes: int
    discontinuous: bool


def read_header(path: Path) -> EdfHeader:
    """Read the header of an EDF or BDF file.

    Raises
    ------
    UserError
        If it is not such a header. Source: EDF+ specification, https://www.edfplus.info/specs/edfplus.html
    """
    with path.open("rb") as file:
        fixed = file.read(FIXED_BYTES)
        try:
            channels, header_bytes = int(fixed[252:256]), int(fixed[184:192])
            table = file.read(FIXED_BYTES * channels)
            if header_bytes != FIXED_BYTES + len(table) or len(table) != FIXED_BYTES * channels:
                raise UserError("its length is not what it says")

            def column(start: int, width: int) -> list[bytes]:
                cells = range(start * channels, (start + width) * channels, width)
                return [table[cell : cell + width].strip() for cell in cells]

            low, high, lowest, highest = (
                [float(cell.replace(b",", b".")) for cell in column(start, 8)] for start in (104, 112, 120, 128)
            )
            return EdfHeader(
                names=tuple(cell.decode("latin-1") for cell in column(0, 16)),
                units=tuple(cell.decode("latin-1") for cell in column(96, 8)),
                ranges=tuple(zip(np.subtract(high, low), np.subtract(highest, lowest), strict=True)),
                record_samples=tuple(int(cell) for cell in column(216, 8)),
                records=int(fixed[236:244]),
                record_s=float(fixed[244:252]),
                header_bytes=header_bytes,
                discontinuous=fixed[192:197] in (b"EDF+D", b"BDF+D"),
            )
        except ValueError as error:
            raise UserError(f"{path}: no valid EDF or BDF header ({error}); export the file again") from error


def check_file(path: Path, header: EdfHeader, channels: Iterable[int]) -> None:
    """Refuse a file that is not one whole, evenly sampled piece in volts; only the given channels are judged.

    Raises
    ------
    UserError
        If the file is truncated or empty, the channels differ in rate, or one has no voltage unit or scale,
        or there is time missing between data records.
    """
    record_bytes = SAMPLE_BYTES[path.suffix.lower()] * sum(header.record_samples)
    expected, size = header.header_bytes + header.records * record_bytes, path.stat().st_size
    if size != expected:
        raise UserError(
            f"{path}: truncated or still being written: {size} bytes, {expected} by its header "
            f"({header.records} data records); fetch or export it again"
        )
    if header.records == 0 or header.record_s <= 0:
        raise UserError(f"{path}: holds no signal ({header.records} data records of {header.record_s:g} s)")
    rates = {index: header.record_samples[index] / header.record_s for index in channels}
    if len(set(rates.values())) > 1:
        listed = ", ".join(f"{header.names[index]} {rate:g} Hz" for index, rate in rates.items())
        raise UserError(f"{path}: EEG channels differ in sampling rate: {listed}; resample them to one rate")
    for index in rates:
        if header.units[index] not in VOLTAGES:
            raise UserError(
                f"{path}: unit of {header.names[index]} is '{header.units[index]}'; "
                "allowed: uV, mV, V; correct the header"
            )
        if 0 in header.ranges[index]:
            raise UserError(f"{path}: header gives {header.names[index]} no scale; export the file again")
    if header.discontinuous:
        _check_gaps(path, header, record_bytes)


def _check_gaps(path: Path, header: EdfHeader, record_bytes: int) -> None:
    """Compare the start times that a discontinuous file gives its data records with their length."""
    sample_bytes = SAMPLE_BYTES[path.suffix.lower()]
    tracks = [index for index, name in enumerate(header.names) if name in ANNOTATIONS]
    if not tracks:
        raise UserError(f"{path}: discontinuous, and without times of its data records; export it as EDF+C")
    offset = sample_bytes * sum(header.record_samples[: tracks[0]])
    length = sample_bytes * header.record_samples[tracks[0]]
    shape = (header.records, record_bytes)
    records = np.memmap(path, np.uint8, mode="r", offset=header.header_bytes, shape=shape)
    first_s = None
    for number, record in enumerate(records[:, offset : offset + length]):
        try:
            start_s = float(record.tobytes().split(b"\x14", 1)[0])
        except ValueError as error:
            raise UserError(f"{path}: data record {number} has no start time; export it as EDF+C") from error
        first_s = start_s if first_s is None else first_s
        elapsed_s = number * header.record_s
        if abs(start_s - first_s - elapsed_s) > header.record_s / max(header.record_samples):
            raise UserError(f"{path}: discontinuous, with a gap at {elapsed_s:g} s; split it at its gaps")
