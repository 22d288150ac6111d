"""Read the current state of each recording of a data set."""

from extract.io.bids import Recording
from extract.io.events import Annotations, hash_events, read_annotations
from extract.io.fingerprints import read_source
from extract.io.raw import read_duration
from extract.planning.plan import Found
from store.reader import StoreFile
from store.runtime.errors import UserError
from store.schema import RecordingInfo, Source


def survey(recording: Recording, stored: StoreFile | None, missing: str, unlabelled: bool) -> Found:
    """Look at a recording: its fingerprints, its length, its events where they are not those that are stored.

    Parameters
    ----------
    recording : Recording
    stored
        The file of its subject, if the store has one.
    missing
        Policy for missing channels.
    unlabelled
        Whether a recording without events file can be used.
    """
    info = stored.by_name.get(recording.name) if stored else None
    before = stored.sources.get(recording.name) if stored else None
    is_kept_unfetched = info is not None and not recording.is_fetched  # its features are there already
    duration_s = read_duration(recording.path) if recording.is_fetched else 0.0
    if recording.problem and not is_kept_unfetched:
        return Found(recording, duration_s=duration_s, problem=f"{recording.path}: {recording.problem}")
    try:
        events_sha256 = hash_events(recording.events_path)
        annotations = None
        if events_sha256 is not None or not unlabelled:
            annotations = _read_new(recording, events_sha256, before, duration_s, info)
        source = _read_source(recording, info, before, events_sha256, missing)
    except UserError as error:
        return Found(recording, duration_s=duration_s, problem=str(error))
    return Found(recording, source, annotations, duration_s)


def _read_new(
    recording: Recording,
    events_sha256: str | None,
    before: Source | None,
    duration_s: float,
    info: RecordingInfo | None,
) -> Annotations | None:
    """Annotations, unless they are those that are stored or the length that they must fit is not known yet."""
    if before is not None and events_sha256 is not None and before.events_sha256 == events_sha256:
        return None
    length_s = duration_s or (info.duration_s if info else 0.0)
    if not length_s and events_sha256 is not None:
        return None
    return read_annotations(recording.events_path, length_s)


def _read_source(
    recording: Recording,
    info: RecordingInfo | None,
    before: Source | None,
    events_sha256: str | None,
    missing: str,
) -> Source | None:
    """Fingerprints now; of a new recording they are taken when it is encoded."""
    if info is None:
        return None
    if recording.is_fetched:
        return read_source(recording, missing, before)
    signal = (before.signal_bytes, before.signal_mtime_ns, before.signal_sha256) if before else (0, 0, "")
    channels_sha256 = before.channels_sha256 if before else ""
    return Source(*signal, events_sha256, recording.person, missing, False, channels_sha256)
