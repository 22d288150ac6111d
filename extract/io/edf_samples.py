"""Samples and times of an EDF or BDF file, read a few data records at a time.

mne reads such files too and gives the same numbers to the last bit, but parses all annotations when it opens one:
24 h in records of 0.1 s take it 2.6 GB of memory, time stamps that do not end quadratic time. So this is ours.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from extract.io.edf_header import ANNOTATIONS, VOLTS, EdfHeader
from store.runtime.errors import UserError

_CHUNK_BYTES = 8 << 20
_STAMP_BYTES = 64  # a time stamp is at most some 20 characters long
_DRIFT_S = 0.5  # of the clock of a file that says it is continuous; more moves labels to other seconds


@dataclass(frozen=True)
class EdfSamples:
    """Samples of an EDF or BDF file whose header passed its checks."""

    path: Path
    header: EdfHeader

    def read_uv(self, channels: Sequence[int], start: int, stop: int) -> npt.NDArray[np.float64]:
        """Samples ``[start, stop)`` of channels of one rate, ``(len(channels), stop - start)``, microvolts."""
        header, out = self.header, np.empty((len(channels), stop - start))
        samples = header.record_samples[channels[0]]
        ends = np.cumsum(header.record_samples)
        for record, chunk in self.records(start // samples, -(-stop // samples)):
            begin = record * samples
            first, last = max(start, begin), min(stop, begin + len(chunk) * samples)
            for row, channel in zip(out, channels, strict=True):
                end = header.sample_bytes * int(ends[channel])
                values = _integers(chunk[:, end - header.sample_bytes * samples : end], header.sample_bytes)
                row[first - start : last - start] = values[first - begin : last - begin]
        low, high = np.array([header.physical[channel] for channel in channels]).T[..., None]
        lowest, highest = np.array([header.digital[channel] for channel in channels]).T[..., None]
        gain = (high - low) / (highest - lowest)
        out *= gain
        out += low - lowest * gain
        out *= np.array([[VOLTS[header.units[channel]]] for channel in channels])
        out *= 1e6  # by way of volts, as mne computes it
        return out

    def records(self, first: int, stop: int) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
        """Bytes of the data records ``[first, stop)`` in chunks: number of the first, ``(n, record_bytes)``.

        Raises
        ------
        UserError
            If the file has become shorter since its header was read.
        """
        size = self.header.record_bytes
        step = max(1, _CHUNK_BYTES // size)
        with self.path.open("rb") as file:
            file.seek(self.header.header_bytes + first * size)
            for record in range(first, stop, step):
                count = min(step, stop - record)
                content = file.read(count * size)
                if len(content) < count * size:
                    raise UserError(f"{self.path}: was cut off while it was read; fetch or export it again")
                yield record, np.frombuffer(content, np.uint8).reshape(count, size)

    def close(self) -> None:
        """Do nothing: the file is open only while it is read."""


def check_times(samples: EdfSamples) -> None:
    """Hold the start times that EDF+ gives its data records against their length.

    A discontinuous file needs them; of one that says it is continuous, those that can be read count.

    Raises
    ------
    UserError
        If there is time missing between two records, or a discontinuous file does not give its times.
    """
    path, header = samples.path, samples.header
    discontinuous = header.kind in ("EDF+D", "BDF+D")
    if not discontinuous and header.kind not in ("EDF+C", "BDF+C"):
        return
    tracks = [index for index, name in enumerate(header.names) if name in ANNOTATIONS]
    if not tracks:
        if discontinuous:
            raise UserError(f"{path}: discontinuous, and without times of its data records; export it as EDF+C")
        return
    tolerance_s = header.record_s / max(header.record_samples)
    if not discontinuous:
        tolerance_s = max(tolerance_s, _DRIFT_S)
    first_s = None
    for number, start_s in enumerate(_start_times(samples, tracks[0])):
        if start_s is None:
            if discontinuous:
                raise UserError(f"{path}: data record {number} has no start time; export it as EDF+C")
            continue
        elapsed_s = number * header.record_s
        first_s = start_s - elapsed_s if first_s is None else first_s
        if not abs(start_s - first_s - elapsed_s) <= tolerance_s:
            raise UserError(
                f"{path}: discontinuous, with a gap at {elapsed_s:g} s (it says {header.kind}, and data record "
                f"{number} begins at {start_s - first_s:g} s); split it at its gaps"
            )


def _start_times(samples: EdfSamples, track: int) -> Iterator[float | None]:
    """Start of each data record in seconds; None where the time stamp cannot be read."""
    header = samples.header
    begin = header.sample_bytes * sum(header.record_samples[:track])
    length = min(_STAMP_BYTES, header.sample_bytes * header.record_samples[track])
    for _, chunk in samples.records(0, header.records):
        for stamp in chunk[:, begin : begin + length]:
            onset, mark, _ = stamp.tobytes().partition(b"\x14")
            try:
                yield float(onset) if mark else None
            except ValueError:
                yield None


def _integers(content: npt.NDArray[np.uint8], sample_bytes: int) -> npt.NDArray[np.int32] | npt.NDArray[np.int16]:
    """Little-endian integers of two or three bytes from a slice of records, in one row."""
    content = np.ascontiguousarray(content)
    if sample_bytes == 2:
        return content.view("<i2").reshape(-1)
    low, middle, high = content.reshape(-1, 3).T.astype(np.int32)
    return low | middle << 8 | (high << 24) >> 8
