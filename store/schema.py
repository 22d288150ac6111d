"""Contents of a feature store: identity, rows, and geometry in time."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from store.runtime.errors import StoreError, UserError
from store.runtime.plurals import count_noun, list_names

FORMAT = "braincodec-seizure-features"
FORMAT_VERSION = 2  # version 1 is read for ever

_SHOWN = 3  # entries of a list in a message
_OF_MONTAGE = ("channels", "derivations", "inputs")  # fields that follow from it


@dataclass(frozen=True)
class Event:
    """One seizure as annotated: ``[onset_s, onset_s + duration_s)`` from the recording's start."""

    onset_s: float
    duration_s: float
    kind: str  # SzCORE eventType, beginning with "sz"


@dataclass(frozen=True)
class FeatureSpec:
    """Identity of a store: two files belong together when all of these are equal.

    A window's features have the shape ``(frames, len(channels), dims)``.
    What has a default came with later versions.
    """

    encoder: str
    weights_sha256: str  # empty for an encoder without weights
    features: str  # "latents" | "codes"
    dtype: str  # numpy name of the stored type: float16, or uint8 when codes
    sample_rate_hz: int  # of the encoder's input
    window_s: int
    stride_s: int
    hop: int  # input samples a frame
    frames: int
    dims: int  # latent dims, or quantizers when codes
    channels: tuple[str, ...]
    resampling: str
    precision: str  # of the encoder's arithmetic
    montage: str = "double-banana"  # or referential-1020, behind-the-ear, as-recorded, table
    derivations: tuple[str, ...] = ()  # of a table: name, anode, cathode, separated by tabs
    inputs: tuple[str, ...] = ()  # channels that the encoder mixes to one; empty where it keeps them apart
    high_pass_hz: float = 0.0  # before resampling; 0 is none
    low_pass_hz: float = 0.0
    notch_hz: float = 0.0
    reference: str = "as-recorded"  # or average
    normalisation: str = "none"  # of each window: z-score, percentile-95
    unit: str = "uV"  # of the encoder's input
    code_search: str = "greedy"  # how codes were chosen: stage after stage, or by a beam: "beam of 8"

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(F, C, D)`` of one window."""
        return self.frames, len(self.channels), self.dims

    @property
    def input_channels(self) -> tuple[str, ...]:
        """Channels that the encoder takes; `channels` are those that its features have."""
        return self.inputs or self.channels

    @property
    def head_frames(self) -> int:
        """Frames of a window as heads take them: one longer than a second serves each of its seconds."""
        return self.frames if self.window_s % self.frames else self.window_s

    @property
    def window_bytes(self) -> int:
        """Bytes of one window's features as stored."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def to_dict(self) -> dict[str, Any]:
        """All fields; those that came later are left out where they have their default, as in earlier files."""
        later = {field.name: field.default for field in dataclasses.fields(self) if has_default(field)}
        values = dataclasses.asdict(self)
        return {name: value for name, value in values.items() if name not in later or value != later[name]}

    def to_json(self) -> str:
        """Sorted JSON, the form in which the spec is stored and hashed."""
        return json.dumps(self.to_dict(), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "FeatureSpec":
        """Inverse of `to_json`.

        Raises
        ------
        StoreError
            If a field is missing or unknown, or what should be a list is not.
        """
        values = json.loads(text)
        if not isinstance(values, dict):
            raise StoreError("feature spec is not a JSON object")
        return cls.from_dict(values)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "FeatureSpec":
        """Inverse of `to_dict`, also of JSON; what an earlier version lacks has its default.

        Raises
        ------
        StoreError
            If a field is missing or unknown, or what should be a list is not.
        """
        fields = dataclasses.fields(cls)
        required = {field.name for field in fields if not has_default(field)}
        odd = (values.keys() - {field.name for field in fields}) | (required - values.keys())
        if odd:
            raise StoreError(f"feature spec has missing or unknown fields: {', '.join(sorted(odd))}")
        lists = [field.name for field in fields if field.type == tuple[str, ...] and field.name in values]
        for name in lists:
            if not isinstance(values[name], list | tuple):
                raise StoreError(f"feature spec has {name} {values[name]!r}, expected a list of names")
        return cls(**{**values, **{name: tuple(values[name]) for name in lists}})

    def difference(self, other: "FeatureSpec") -> str:
        """Say which fields differ, empty if none does.

        Of another encoder the name alone, of another montage none of its channels.
        """
        if self.encoder != other.encoder:
            return f"encoder is {self.encoder!r}, wanted {other.encoder!r}"
        names = [field.name for field in dataclasses.fields(self)]
        names = [name for name in names if getattr(self, name) != getattr(other, name)]
        if "montage" in names:
            names = ["montage", *(name for name in names if name not in ("montage", *_OF_MONTAGE))]
        return "; ".join(_describe(name, getattr(self, name), getattr(other, name)) for name in names)


def has_default(field: "dataclasses.Field[Any]") -> bool:
    """Whether a field of a spec came with a later version, and earlier files lack it."""
    return field.default is not dataclasses.MISSING


def _describe(name: str, stored: object, other: object) -> str:
    """Say how a field differs; of long lists, their lengths and the first of what only one has."""
    if not (isinstance(stored, tuple) and isinstance(other, tuple)) or max(len(stored), len(other)) <= _SHOWN:
        return f"{name} is {_shorten(stored)}, wanted {_shorten(other)}"
    alone = [
        [text for text in texts if text not in others] for texts, others in ((stored, other), (other, stored))
    ]
    if not any(alone):
        return f"{name} is in another order"
    shown = [
        f" (only {where}: {list_names(texts, _SHOWN)})" if texts else ""
        for where, texts in zip(("here", "there"), alone, strict=True)
    ]
    return f"{name}: {len(stored)}{shown[0]}, wanted {len(other)}{shown[1]}"


def _shorten(value: object) -> str:
    """A value as text; of a hash, the first digits, which tell it from others."""
    return repr(f"{value[:12]}..." if isinstance(value, str) and len(value) == 64 else value)


@dataclass(frozen=True)
class RecordingInfo:
    """One recording in a store.

    Windows are ``[first_window, first_window + windows)`` of the subject's features, seconds
    ``[first_second, first_second + seconds)`` of the subject's labels.
    """

    name: str  # BIDS file name without suffix: sub-01_ses-01_task-szMonitoring_run-00
    subject: str
    person: str
    first_window: int
    windows: int
    first_second: int
    seconds: int
    duration_s: float
    start: str  # ISO date and time of the first sample, empty if not known
    channel_mask: tuple[bool, ...]  # of the encoder's input: False where a channel is missing and encoded as zeros
    events: tuple[Event, ...]  # seizures only
    labelled: bool = True  # False without events file: its labels are stored as 0 and count nowhere

    def __repr__(self) -> str:
        events = count_noun(len(self.events), "seizure") if self.labelled else "no labels"
        return f"<RecordingInfo {self.name}: person {self.person}, {self.duration_s:.2f} s, {events}>"

    def mask_of(self, channels: int) -> tuple[bool, ...]:
        """Which of so many channels of features are there: all, where the encoder mixes its input."""
        return self.channel_mask if len(self.channel_mask) == channels else (True,) * channels

    @property
    def relative_stem(self) -> str:
        """BIDS path of the recording within its data set, without suffix.

        >>> info = RecordingInfo("sub-01_ses-02_run-00", "01", "01", 0, 1, 0, 4, 4.0, "", (True,), ())
        >>> info.relative_stem
        'sub-01/ses-02/eeg/sub-01_ses-02_run-00'
        """
        *dataset, name = self.name.split("/")  # of several stores, the name of the data set stands before it
        folders = [part for part in name.split("_") if part.startswith(("sub-", "ses-"))]
        return "/".join([*dataset, *folders, "eeg", name])


@dataclass(frozen=True)
class Source:
    """What a recording was made from: a data set that differs from it has changed since."""

    signal_bytes: int
    signal_mtime_ns: int
    signal_sha256: str  # of all files of the signal, one after the other
    events_sha256: str | None  # None without events file
    person: str
    missing: str  # policy for missing channels: error, zero
    witnessed: bool  # False if the store gained it after the extraction, by comparison
    channels_sha256: str = ""  # of its channels.tsv where the montage is as-recorded, "none" without one


@dataclass(frozen=True)
class LeftOut:
    """A recording that was found in the data set and could not be used."""

    name: str
    reason: str


def events_without_label(events: Sequence[Event], labels: NDArray[np.uint8]) -> tuple[Event, ...]:
    """Events none of whose seconds is labelled, since they cover more than half of no second.

    Parameters
    ----------
    events
        Of one recording.
    labels : (T,) uint8
        Of its seconds.

    >>> events_without_label([Event(0.0, 0.4, "sz"), Event(2.0, 1.0, "sz")], np.array([0, 0, 1], np.uint8))
    (Event(onset_s=0.0, duration_s=0.4, kind='sz'),)
    """
    return tuple(
        event
        for event in events
        if not labels[max(0, math.floor(event.onset_s)) : math.ceil(event.onset_s + event.duration_s)].any()
    )


def name_code_search(beam: int) -> str:
    """How the spec says that codes were chosen; `read_beam` reads it.

    >>> name_code_search(1), name_code_search(8), read_beam("greedy"), read_beam("beam of 8")
    ('greedy', 'beam of 8', 1, 8)
    """
    return f"beam of {beam}" if beam > 1 else "greedy"


def read_beam(code_search: str) -> int:
    """Sums of codes kept at each stage, by the name that a spec has for it; 1 for a name that is not ours."""
    count = code_search.removeprefix("beam of ")
    return int(count) if count.isdecimal() else 1


def count_seconds(duration_s: float) -> int:
    """Seconds in a recording, a last part-second counted.

    >>> [count_seconds(d) for d in (4.0, 3.5, 4.25)]
    [4, 4, 5]
    """
    return math.ceil(round(duration_s, 6))


def count_windows(seconds: int, window_s: int, stride_s: int) -> int:
    """Windows that cover every second of a recording; the last one may reach past the end.

    >>> [count_windows(s, 4, 4) for s in (1, 4, 5, 8)]
    [1, 1, 2, 2]
    >>> count_windows(6, 4, 1)
    3
    """
    if not 1 <= stride_s <= window_s:
        raise UserError(f"stride is {stride_s} s; allowed: whole seconds from 1 to the window's {window_s}")
    return max(0, math.ceil((seconds - window_s) / stride_s)) + 1
