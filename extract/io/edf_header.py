"""Read the header of an EDF or BDF file, and refuse files whose header is invalid.

edfio reads headers too, in twice the time; it accepts data records of 99,999,999 s, physical ranges of nan, units
that are not voltages, and (with a warning) files that were cut off. So this is ours.
"""

import math
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from store.runtime.errors import UserError, os_errors

FIXED_BYTES = 256  # of the header, and again for each channel
SAMPLE_BYTES = {".edf": 2, ".bdf": 3}
ANNOTATIONS = ("EDF Annotations", "BDF Annotations")
VOLTS = {"uV": 1e-6, "µV": 1e-6, "\x83\xcaV": 1e-6, "mV": 1e-3, "V": 1.0}  # the third is in Shift JIS
SAMPLE_RATES_HZ = (10.0, 100_000.0)  # of any EEG


@dataclass(frozen=True)
class EdfHeader:
    """Header of an EDF or BDF file; the tuples have one entry for each channel."""

    names: tuple[str, ...]
    units: tuple[str, ...]
    physical: tuple[tuple[float, float], ...]  # minimum, maximum, in the unit
    digital: tuple[tuple[float, float], ...]  # minimum, maximum
    record_samples: tuple[int, ...]
    records: int
    record_s: float
    header_bytes: int
    sample_bytes: int
    kind: str  # "EDF+C" | "EDF+D" | "BDF+C" | "BDF+D", or what else is there
    start: str  # ISO date and time of the first sample, empty if not known
    written_as: str  # ".edf" | ".bdf" by its first bytes, empty if they do not say

    @property
    def record_bytes(self) -> int:
        """Bytes of one data record."""
        return self.sample_bytes * sum(self.record_samples)

    def rate_hz(self, channel: int) -> float:
        """Sampling rate of a channel."""
        return self.record_samples[channel] / self.record_s


def read_header(path: Path) -> EdfHeader:
    """Read the header of an EDF or BDF file.

    Raises
    ------
    UserError
        If it is not such a header. Source: EDF+ specification, https://www.edfplus.info/specs/edfplus.html
    """
    with os_errors(path), path.open("rb") as file:
        fixed = file.read(FIXED_BYTES)
        try:
            if len(fixed) < FIXED_BYTES:
                raise ValueError(f"the file has {len(fixed)} bytes, its first part alone {FIXED_BYTES}")
            channels, header_bytes = _whole(fixed[252:256]), _whole(fixed[184:192])
            if channels < 1:
                raise ValueError(f"{channels} channels")
            table = file.read(FIXED_BYTES * channels)
            if header_bytes != FIXED_BYTES + len(table) or len(table) != FIXED_BYTES * channels:
                raise ValueError("its length is not what it says")
            return _parse(fixed, table, channels, SAMPLE_BYTES[path.suffix.lower()])
        except ValueError as error:
            raise UserError(f"{path}: no valid EDF or BDF header ({error}); export the file again") from error


def _parse(fixed: bytes, table: bytes, channels: int, sample_bytes: int) -> EdfHeader:
    def column(start: int, width: int) -> list[bytes]:
        cells = range(start * channels, (start + width) * channels, width)
        return [table[cell : cell + width].strip() for cell in cells]

    low, high, lowest, highest = ([_number(cell) for cell in column(start, 8)] for start in (104, 112, 120, 128))
    record_samples = tuple(_whole(cell) for cell in column(216, 8))
    if min(record_samples) < 0:
        raise ValueError(f"{min(record_samples)} samples in a data record")
    date, time, recording = (fixed[a:b].decode("latin-1") for a, b in ((168, 176), (176, 184), (88, 168)))
    start = parse_start(date, time, recording)
    return EdfHeader(
        names=tuple(cell.decode("latin-1") for cell in column(0, 16)),
        units=tuple(cell.decode("latin-1") for cell in column(96, 8)),
        physical=tuple(zip(low, high, strict=True)),
        digital=tuple(zip(lowest, highest, strict=True)),
        record_samples=record_samples,
        records=_whole(fixed[236:244]),
        record_s=_number(fixed[244:252]),
        header_bytes=FIXED_BYTES * (channels + 1),
        sample_bytes=sample_bytes,
        kind=fixed[192:197].decode("latin-1"),
        start=start.isoformat() if start else "",
        written_as=_find_format(fixed),
    )


def _find_format(fixed: bytes) -> str:
    if fixed.startswith(b"\xffBIOSEMI"):
        return ".bdf"
    is_edf = fixed.startswith(b"0       ") and not fixed[192:].startswith((b"24BIT", b"BDF"))
    return ".edf" if is_edf else ""


def _whole(cell: bytes) -> int:
    with suppress(ValueError):
        return int(cell)
    raise ValueError(f"{_text(cell)} where a whole number belongs")


def _number(cell: bytes) -> float:
    with suppress(ValueError):
        value = float(cell.replace(b",", b"."))
        if math.isfinite(value):
            return value
    raise ValueError(f"{_text(cell)} where a number belongs")


def _text(cell: bytes) -> str:
    return repr(cell.decode("latin-1").strip())


def parse_start(date: str, time: str, recording: str = "") -> datetime | None:
    """Date and time of the first sample; None unless a header has both.

    Parameters
    ----------
    date
        Two digits of day, month and year, which is 1985 to 2084.
    time
        Hour, minute and second.
    recording
        Field of an EDF+ header; its date, with four digits of the year, counts where it has one.

    >>> parse_start("06.11.76", "13.43.04")
    datetime.datetime(2076, 11, 6, 13, 43, 4)
    >>> parse_start("06.11.76", "13:43:04", "Startdate 06-NOV-1976 X X X")
    datetime.datetime(1976, 11, 6, 13, 43, 4)
    >>> parse_start("06.11.76", "25.00.00"), parse_start("00.00.00", "13.43.04")
    (None, None)
    """
    words = recording.split()
    try:
        hour, minute, second = _find_numbers(time)
        if words[:1] == ["Startdate"] and len(words) > 1:
            with suppress(ValueError):
                return datetime.strptime(words[1], "%d-%b-%Y").replace(hour=hour, minute=minute, second=second)
        day, month, year = _find_numbers(date)
        return datetime(year + (1900 if year >= 85 else 2000), month, day, hour, minute, second)
    except ValueError:
        return None


def _find_numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


def check_size(path: Path, header: EdfHeader) -> None:
    """Refuse a file that does not hold the data records that its header claims.

    Raises
    ------
    UserError
        If it is of the other kind than its name says, truncated, longer than its header says, or empty.
    """
    expected, size = header.header_bytes + header.records * header.record_bytes, path.stat().st_size
    if size != expected and header.written_as not in (path.suffix.lower(), ""):
        kind = header.written_as
        raise UserError(f"{path}: is of the {kind[1:].upper()} format by its first bytes; name it {kind}")
    if header.records < 0:
        raise UserError(
            f"{path}: still being written, or never finished: {header.records} data records by its header; fetch "
            "or export it again"
        )
    if size != expected:
        raise UserError(
            f"{path}: {name_fault_of_length(size, expected)}: {size} bytes, {expected} by its header "
            f"({header.records} data records); fetch or export it again"
        )
    if header.records == 0 or header.record_s <= 0:
        raise UserError(f"{path}: holds no signal ({header.records} data records of {header.record_s:g} s)")


def name_fault_of_length(length: int, expected: int) -> str:
    """What to call data of another length than their header says.

    >>> name_fault_of_length(3, 2)
    'longer than its header says, or still being written'
    """
    return f"{'truncated' if length < expected else 'longer than its header says,'} or still being written"


def check_channels(path: Path, header: EdfHeader, channels: Iterable[int]) -> None:
    """Refuse channels that are not evenly sampled at one rate, or not in volts.

    Raises
    ------
    UserError
        If the channels differ in rate, the rate is not one of EEG, or a channel has no voltage unit or no scale.
    """
    rates = {index: header.rate_hz(index) for index in channels}
    if len(set(rates.values())) > 1:
        listed = ", ".join(f"{header.names[index]} {rate:g} Hz" for index, rate in rates.items())
        raise UserError(f"{path}: EEG channels differ in sampling rate: {listed}; resample them to one rate")
    lowest, highest = SAMPLE_RATES_HZ
    for index, rate in rates.items():
        if not lowest <= rate <= highest:
            raise UserError(
                f"{path}: sampling rate of {header.names[index]} is {rate:g} Hz ({header.record_samples[index]} "
                f"samples in {header.record_s:g} s); allowed: {lowest:g} to {highest:g} Hz; correct the header"
            )
        if header.units[index] not in VOLTS:
            raise UserError(
                f"{path}: unit of {header.names[index]} is '{header.units[index]}'; "
                "allowed: uV, mV, V; correct the header"
            )
        for low, high in (header.physical[index], header.digital[index]):
            if low == high:
                raise UserError(f"{path}: header gives {header.names[index]} no scale; export the file again")
