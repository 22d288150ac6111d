"""Encode recordings into parts of a store; reading, encoding and writing overlap, in threads."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from itertools import chain, groupby
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from braincodec_seizure import __version__
from extract.encoders.protocol import FeatureExtractor
from extract.encoders.registry import load_encoder
from extract.io.bids import Recording
from extract.io.events import read_annotations
from extract.io.fingerprints import read_source, stat_signal
from extract.io.montage import AS_RECORDED, from_spec
from extract.io.prefetch import prefetch
from extract.io.recorded_channels import hash_channels, open_recording
from extract.io.windows import label_seconds
from extract.planning.encode_settings import EncodeSettings
from extract.planning.paths import part_path
from extract.planning.stored_recording import holds, is_published, read_part, relabel_part
from store import FeatureSpec, RecordingInfo
from store.runtime.errors import DiskFullError, UserError, from_os_error, is_disk_full
from store.schema import Source, count_seconds, count_windows
from store.writer import write_file

_BLOCK_WINDOWS = 128  # read and encoded at once: 19 MB of signal at 512 Hz, and what fills a GPU
_RECORDING_WINDOWS = 8  # what a recording counts in a batch beside its windows: few are opened before it is full
_BATCHES_AHEAD = 4  # encoded while others are written: 19 MB of latents of 18 channels each


@dataclass(frozen=True)
class RecordingResult:
    """Result of encoding one recording."""

    recording: Recording
    windows: int = 0  # encoded; none when a good part was there already
    seconds: int = 0
    error: str | None = None


@dataclass(eq=False)
class _Opened:
    """A recording that passed its checks, its windows ``(n, C, N)`` still to be read."""

    recording: Recording
    info: RecordingInfo
    labels: NDArray[np.uint8]  # (T,)
    windows: Iterator[NDArray[np.float32]]
    source: Source
    is_given_up: bool = False  # what is left of it needs no work


_Item = RecordingResult | _Opened
_Block = NDArray[Any] | UserError | OSError | None
_Batch = list[tuple[_Item, _Block]]  # of one recording or several


def encode_recordings(
    recordings: Sequence[Recording], settings: EncodeSettings, progress: Callable[[int], object]
) -> Iterator[RecordingResult]:
    """Encode each recording into a part of its own, unless a good one is there or its subject is published.

    Opening, reading, encoding and writing go on side by side, from one recording to the next without a pause.
    What is wrong with a recording is in its result, not raised, so that others go on. ``progress`` is told
    of windows as they are written.

    Raises
    ------
    DiskFullError
        If the disk is full.
    """
    with (
        closing(prefetch((_open(recording, settings) for recording in recordings), 1)) as opened,
        closing(prefetch(_batch_blocks(_read_blocks(opened)))) as read,
        closing(prefetch(_encode_batches(read, settings), _BATCHES_AHEAD)) as encoded,
    ):
        for item, blocks in groupby(chain.from_iterable(encoded), key=itemgetter(0)):
            if isinstance(item, RecordingResult):
                yield item
            else:
                yield _write(item, (block for _, block in blocks), settings, progress)


def encode_recording(recording: Recording, settings: EncodeSettings) -> RecordingResult:
    """Encode one recording, as `encode_recordings`; a task of a worker."""
    (result,) = encode_recordings([recording], settings, lambda windows: None)
    return result


def explain_unusable(recording: Recording, spec: FeatureSpec, missing: str) -> str | None:
    """Say why a recording cannot be encoded, after a check of all of its signal; None if it can."""
    try:
        with open_recording(recording.path, missing, from_spec(spec)) as signal:
            signal.windows(spec, _BLOCK_WINDOWS)
    except (UserError, OSError) as error:
        return _describe(error)
    return None


def _open(recording: Recording, settings: EncodeSettings) -> _Opened | RecordingResult:
    try:
        if is_published(recording, settings):
            return RecordingResult(recording)
        part = read_part(recording, settings)
        if part is not None and (holds(part, recording, settings) or relabel_part(part, recording, settings)):
            return RecordingResult(recording)
        source = read_source(recording, settings.missing)
        spec = load_encoder(settings.only_encoder).spec
        return _read(recording, source, spec, settings)
    except (UserError, OSError) as error:
        return _failure(recording, settings, error)


def _read_blocks(items: Iterator[_Item]) -> Iterator[tuple[_Item, _Block]]:
    """Each recording with its blocks of windows in turn, with what went wrong if anything did, and with None."""
    for item in items:
        if isinstance(item, _Opened):
            try:
                for block in item.windows:
                    if item.is_given_up:
                        break
                    yield item, block
            except (UserError, OSError) as error:
                yield item, error
        yield item, None


def _batch_blocks(read: Iterator[tuple[_Item, _Block]]) -> Iterator[_Batch]:
    """Gather the blocks of short recordings until there is as much work as in one of a long recording."""
    batch: _Batch = []
    size = 0
    for item, block in read:
        more = len(block) if isinstance(block, np.ndarray) else _RECORDING_WINDOWS
        if batch and size + more > _BLOCK_WINDOWS:
            yield batch
            batch, size = [], 0
        batch.append((item, block))
        size += more
        if size >= _BLOCK_WINDOWS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _encode_batches(read: Iterator[_Batch], settings: EncodeSettings) -> Iterator[_Batch]:
    """The same with features in place of windows, without what is left of recordings that were given up."""
    for batch in read:
        batch = [(item, block) for item, block in batch if not (isinstance(item, _Opened) and item.is_given_up)]
        windows = [block for _, block in batch if isinstance(block, np.ndarray)]
        features = iter(_encode_together(windows, load_encoder(settings.only_encoder)) if windows else ())
        yield [(item, next(features) if isinstance(block, np.ndarray) else block) for item, block in batch]


def _encode_together(blocks: list[NDArray[np.float32]], encoder: FeatureExtractor) -> Sequence[_Block]:
    """Features of each block. Of what fails together, each is encoded alone, so that it fails for itself.

    An encoder that is not ``batch_invariant`` is given one block at a time: what it makes of a recording must not
    depend on the others.
    """
    if len(blocks) > 1 and not getattr(encoder, "batch_invariant", False):
        return [_encode_together([block], encoder)[0] for block in blocks]
    try:
        features = encoder.encode(np.concatenate(blocks) if len(blocks) > 1 else blocks[0])
    except (UserError, OSError) as error:
        if len(blocks) == 1:
            return [error]
    else:
        return np.split(features, np.cumsum([len(block) for block in blocks[:-1]]))
    return [_encode_together([block], encoder)[0] for block in blocks]


def _write(
    opened: _Opened, blocks: Iterator[_Block], settings: EncodeSettings, progress: Callable[[int], object]
) -> RecordingResult:
    encoder, recording = load_encoder(settings.only_encoder), opened.recording
    try:
        write_file(
            part_path(settings.store, recording.subject, recording.name),
            encoder.spec,
            [opened.info],
            opened.labels,
            _watched(blocks, opened, progress),
            {"encoder": encoder.provenance, "versions": _versions()},
            encoder.codebooks,
            sources={recording.name: opened.source},
        )
    except (UserError, OSError) as error:
        opened.is_given_up = True
        return _failure(recording, settings, error)
    return RecordingResult(recording, opened.info.windows, opened.info.seconds)


def _watched(
    blocks: Iterator[_Block], opened: _Opened, progress: Callable[[int], object]
) -> Iterator[NDArray[Any]]:
    """Tell of each block, raise what went wrong, and refuse a recording that changed while it was read."""
    left = opened.info.windows
    for block in blocks:
        if block is None:
            continue
        if isinstance(block, Exception):
            raise block
        left -= len(block)
        if not left and stat_signal(opened.recording.path) != (
            opened.source.signal_bytes,
            opened.source.signal_mtime_ns,
        ):
            raise UserError(f"{opened.recording.path}: changed while it was read; run the same command again")
        progress(len(block))
        yield block


def _failure(recording: Recording, settings: EncodeSettings, error: UserError | OSError) -> RecordingResult:
    if isinstance(error, DiskFullError) or is_disk_full(error):
        raise error
    with suppress(UserError):  # an unreadable file cannot be the one stored
        if is_published(recording, settings):  # by another, which then removed the parts
            return RecordingResult(recording)
    return RecordingResult(recording, error=_describe(error))


def _describe(error: UserError | OSError) -> str:
    return str((from_os_error(error) or error) if isinstance(error, OSError) else error)


def _read(recording: Recording, source: Source, spec: FeatureSpec, settings: EncodeSettings) -> _Opened:
    """Check a recording; its windows are read when they are taken."""
    montage = from_spec(spec)
    if montage.name == AS_RECORDED:
        source = replace(source, channels_sha256=hash_channels(recording.path))
    signal = open_recording(recording.path, settings.missing, montage)
    annotations = None
    if source.events_sha256 is not None or not settings.unlabelled:
        annotations = read_annotations(recording.events_path, signal.duration_s)
        source = replace(source, events_sha256=annotations.sha256)
    seconds = count_seconds(signal.duration_s)
    info = RecordingInfo(
        name=recording.name,
        subject=recording.subject,
        person=recording.person,
        first_window=0,
        windows=count_windows(seconds, spec.window_s, spec.stride_s),
        first_second=0,
        seconds=seconds,
        duration_s=signal.duration_s,
        start=(annotations.start if annotations else "") or signal.start,
        channel_mask=signal.channel_mask,
        events=annotations.events if annotations else (),
        labelled=annotations is not None,
    )
    labels = label_seconds(info.events, signal.duration_s)
    return _Opened(recording, info, labels, signal.windows(spec, _BLOCK_WINDOWS), source)


@cache
def _versions() -> dict[str, str]:
    libraries = {name: version(name) for name in ("torch", "mne", "mne-bids", "numpy", "h5py")}
    return {"braincodec-seizure": __version__, **libraries}
