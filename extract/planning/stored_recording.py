"""Parts of recordings and files of subjects: whether they hold a recording as it is now."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from extract.encoders.registry import load_encoder
from extract.io.bids import Recording
from extract.io.events import read_annotations
from extract.io.fingerprints import read_source
from extract.planning.encode_settings import EncodeSettings
from extract.planning.paths import part_path, published_path
from extract.planning.plan import Found, explain_encoding, explain_relabelling
from extract.planning.rows import update_row
from store import StoreError
from store.reader import StoreFile, open_file
from store.writer import relabel_file


def is_part(recording: Recording, settings: EncodeSettings) -> bool:
    """Whether a complete part of this recording, as it is now, is there. A damaged one is encoded again."""
    part = read_part(recording, settings)
    return part is not None and holds(part, recording, settings)


def read_part(recording: Recording, settings: EncodeSettings) -> StoreFile | None:
    """The part of a recording, complete and of the encoder's spec; None if there is none."""
    path = part_path(settings.store, recording.subject, recording.name)
    try:
        if not path.exists():
            return None
        part = open_file(path)
        part.verify()
    except (StoreError, OSError):  # removed by an extraction that published the subject meanwhile
        return None
    return part if part.spec == load_encoder(settings.only_encoder).spec else None


def relabel_part(part: StoreFile, recording: Recording, settings: EncodeSettings) -> bool:
    """Write a part anew with the events and person of now; False if its features are of another signal."""
    info, before = part.recordings[0], part.sources.get(recording.name)
    if before is None or info.name != recording.name:
        return False
    now = read_source(recording, settings.missing, before)
    if explain_encoding(info, before, now, 0, settings.missing):
        return False
    annotations = None
    if now.events_sha256 is not None or not settings.unlabelled:
        annotations = read_annotations(recording.events_path, info.duration_s)
        now = replace(now, events_sha256=annotations.sha256)
    row = update_row(part, 0, Found(recording, now, annotations))
    relabel_file(
        part.path, recordings=[row.info], labels=row.labels, sources={info.name: row.source} if row.source else {}
    )
    return True


def is_published(recording: Recording, settings: EncodeSettings) -> bool:
    """Whether the subject's file holds this recording as it is now."""
    path = published_path(settings.store, recording.subject)
    try:
        status = path.stat()
        state = status.st_ino, status.st_size, status.st_mtime_ns
        return holds(_open_published(path, state), recording, settings)
    except (StoreError, FileNotFoundError):
        return False


@lru_cache(maxsize=1)
def _open_published(path: Path, state: tuple[int, int, int]) -> StoreFile:
    """A subject's file, opened once for all of its recordings as long as it stays as it is."""
    del state
    return open_file(path)


def holds(file: StoreFile, recording: Recording, settings: EncodeSettings) -> bool:
    """Whether a file of a store holds a recording as it is now."""
    info = file.by_name.get(recording.name)
    before = file.sources.get(recording.name)
    if info is None or before is None:
        return False
    now = read_source(recording, settings.missing, before)
    changed = explain_encoding(info, before, now, 0, settings.missing) or explain_relabelling(
        info, before, now, None
    )
    return not changed
