"""Montages: the channels that encoders take, and how to derive them from a file's channels."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from store import FeatureSpec
from store.runtime.errors import UserError

CHANNELS = (
    *("FP1-F3", "F3-C3", "C3-P3", "P3-O1", "FP1-F7", "F7-T7", "T7-P7", "P7-O1", "FZ-CZ"),
    *("CZ-PZ", "FP2-F4", "F4-C4", "C4-P4", "P4-O2", "FP2-F8", "F8-T8", "T8-P8", "P8-O2"),
)
ELECTRODES = (
    *("FP1", "F3", "C3", "P3", "O1", "F7", "T7", "P7", "FZ", "CZ"),
    *("PZ", "FP2", "F4", "C4", "P4", "O2", "F8", "T8", "P8"),
)
ALIASES = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
ZEROS = {"01": "O1", "02": "O2"}  # zero for the letter, where a file names electrodes
AS_RECORDED, TABLE = "as-recorded", "table"
_TEN_TEN = re.compile(r"(FP|AFP?|F|FT|FC|FFC|C|T|TP|CP|P|PO|O|I|A|M)(Z|\d{1,2})")  # electrodes of the 10-10 system


@dataclass(frozen=True)
class Derivation:
    """A channel as the difference of two electrodes, or as the anode was recorded where there is no cathode."""

    name: str
    anode: str
    cathode: str = ""


@dataclass(frozen=True)
class Montage:
    """The channels that an encoder takes; derivations of one name are tried in order."""

    name: str  # double-banana, referential-1020, behind-the-ear, as-recorded, table
    derivations: tuple[Derivation, ...]

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels, in order."""
        return tuple(dict.fromkeys(derivation.name for derivation in self.derivations))

    @property
    def rows(self) -> tuple[str, ...]:
        """The rows of a table of derivations as a spec keeps them; of a montage known by name there are none."""
        if self.name != TABLE:
            return ()
        return tuple(f"{each.name}\t{each.anode}\t{each.cathode}" for each in self.derivations)


@dataclass(frozen=True)
class ChannelSources:
    """Where each channel of a montage comes from in a file: ``raw[plus] - raw[minus]``.

    One side is None where a raw channel already is the derivation (`plus`) or its reverse (`minus`); both
    are None where the channel is missing. Indices are those of the names given to `derive`.
    """

    channels: tuple[str, ...]
    plus: tuple[int | None, ...]
    minus: tuple[int | None, ...]
    duplicates: tuple[tuple[int, int], ...] = ()  # (used, other of the same name)

    @property
    def used(self) -> tuple[int, ...]:
        """Raw indices that the derivations take, ascending."""
        return tuple(sorted({index for index in (*self.plus, *self.minus) if index is not None}))

    @property
    def needed(self) -> tuple[int, ...]:
        """Raw indices that are used or have to agree with a used one, ascending."""
        return tuple(sorted({*self.used, *(other for _, other in self.duplicates)}))

    @property
    def mask(self) -> tuple[bool, ...]:
        """``(C,)``, False where the channel is missing."""
        return tuple(pair != (None, None) for pair in zip(self.plus, self.minus, strict=True))

    def without(self, rows: Collection[int]) -> "ChannelSources":
        """Make the channels of these rows missing."""
        return replace(
            self,
            plus=tuple(None if row in rows else index for row, index in enumerate(self.plus)),
            minus=tuple(None if row in rows else index for row, index in enumerate(self.minus)),
        )

    def apply(self, raw_uv: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Derive the channels from the rows of `used`.

        Parameters
        ----------
        raw_uv : (len(used), N) float, microvolts

        Returns
        -------
        (C, N) float32, microvolts, zeros where the channel is missing
        """
        rows = {index: raw_uv[row] for row, index in enumerate(self.used)}
        derived_uv = np.zeros((len(self.channels), raw_uv.shape[1]), np.float32)
        for row, (plus, minus) in enumerate(zip(self.plus, self.minus, strict=True)):
            if minus is None:
                derived_uv[row] = 0 if plus is None else rows[plus]
            else:
                derived_uv[row] = (0 if plus is None else rows[plus]) - rows[minus]
        return derived_uv


DOUBLE_BANANA = Montage("double-banana", tuple(Derivation(name, *name.split("-")) for name in CHANNELS))
NAMED = {
    "double-banana": DOUBLE_BANANA,
    "referential-1020": Montage("referential-1020", tuple(Derivation(name, name) for name in ELECTRODES)),
    # the focal and the cross channel, as the code of SeizeIT2's authors takes them
    "behind-the-ear": Montage(
        "behind-the-ear",
        (
            Derivation("focal", "BTEleft SD"),
            Derivation("focal", "BTEright SD"),
            Derivation("cross", "CROSStop SD"),
            Derivation("cross", "BTEright SD"),
        ),
    ),
}


def as_recorded(names: Sequence[str]) -> Montage:
    """The montage that takes channels as they were recorded."""
    return Montage(AS_RECORDED, tuple(Derivation(name, name) for name in names))


def from_spec(spec: FeatureSpec) -> Montage:
    """The montage whose channels the features of a spec are made of.

    Raises
    ------
    UserError
        If a later version made it, which knows more montages.
    """
    if spec.montage == AS_RECORDED:
        return as_recorded(spec.input_channels)
    if spec.montage == TABLE:
        return Montage(TABLE, tuple(Derivation(*row.split("\t")) for row in spec.derivations))
    if spec.montage not in NAMED:
        known = ", ".join((*NAMED, AS_RECORDED, TABLE))
        raise UserError(f"montage {spec.montage}: not known here; known are {known}; update the program")
    return NAMED[spec.montage]


def has_zeros(names: Sequence[str]) -> bool:
    """Whether 01 and 02 in a file are O1 and O2: beside other electrodes, where no 03 goes on counting.

    >>> has_zeros(["Fp1", "P3", "01"]), has_zeros(["P3-01"]), has_zeros(["EEG 01", "EEG 02", "EEG 03", "Cz"])
    (True, True, False)
    """
    parts = {part for name in names for part in _split(name)}
    return "03" not in parts and any(map(_TEN_TEN.fullmatch, parts))


def parse_name(name: str, zeros: bool = False) -> tuple[str, str]:
    """Electrode and its reference in upper case, the reference empty when the name has none.

    Parameters
    ----------
    name : str
    zeros
        Whether 01 and 02 are O1 and O2, as `has_zeros` says of the file.

    >>> parse_name("EEG T3-Ref"), parse_name("Fp1."), parse_name("p3-01", zeros=True), parse_name("T8-P8-1")
    (('T7', 'REF'), ('FP1', ''), ('P3', 'O1'), ('T8', 'P8'))
    >>> parse_name("BTEleft SD"), parse_name("Ch-1"), parse_name("EEG 01")
    (('BTELEFTSD', ''), ('CH', '1'), ('01', ''))
    """
    aliases = ALIASES | ZEROS if zeros else ALIASES
    parts = [aliases.get(part, part) for part in _split(name)]
    if len(parts) > 1 and re.fullmatch(r"0|[1-9]\d*", parts[-1]) and _TEN_TEN.fullmatch(parts[0]):
        parts.pop()  # the running number that mne gives to duplicates
    return (parts[0], "".join(parts[1:])) if len(parts) < 3 else ("-".join(parts), "")


def clean_name(name: str, zeros: bool = False) -> str:
    """Name of a recorded channel: electrodes of the 10-10 system in one spelling, others as written.

    Parameters
    ----------
    name, zeros
        As `parse_name` takes them.

    >>> clean_name("EEG T3-Ref"), clean_name("fp1."), clean_name(" BTEleft  SD"), clean_name("EEG Fp1")
    ('T7-REF', 'FP1', 'BTEleft SD', 'FP1')
    """
    electrode, reference = parse_name(name, zeros)
    if _TEN_TEN.fullmatch(electrode):
        return f"{electrode}-{reference}" if reference else electrode
    return " ".join(re.sub(r"^EEG[\s-]+", "", name.strip(), flags=re.IGNORECASE).split())


def derive(
    names: Sequence[str],
    missing: str = "error",
    montage: Montage = DOUBLE_BANANA,
    excluded: Collection[str] = (),
    remedy: str = (
        "give another --montage, such as as-recorded; an encoder that takes this one alone cannot encode them"
    ),
) -> ChannelSources:
    """Find the channels of a montage among raw channel names.

    A channel that is there is taken as it is, else reversed, else as the difference of two channels with the
    same reference; electrodes named without reference share one. Channels without cathode are those of the one
    reference that most of them have. As-recorded and in a table a channel of just that name comes first, and
    as-recorded no other does. The first of equal names is used. 01 and 02 are read as `has_zeros` says.

    Parameters
    ----------
    names
        Of the raw channels.
    missing : "error" | "zero"
    montage
    excluded
        Raw channels that count as missing.
    remedy
        What to do where none is there.

    >>> sources = derive(["CZ", "F3-FP1", "PZ"], missing="zero")
    >>> sources.plus[9], sources.minus[9], sources.plus[0], sources.minus[0], sum(sources.mask)
    (0, 2, None, 1, 2)

    Raises
    ------
    UserError
        If a channel is missing and `missing` is "error", or if none of the montage is there.
    """
    indices: dict[tuple[str, str], list[int]] = {}
    zeros = has_zeros(names)
    for index, name in enumerate(names):
        if name not in excluded:
            indices.setdefault(parse_name(name, zeros), []).append(index)
    first = {key: group[0] for key, group in indices.items()}
    references = _references(montage, first, zeros)
    sources = dict.fromkeys(montage.channels, (None, None))  # type: dict[str, tuple[int | None, int | None]]
    for each in montage.derivations:
        if sources[each.name] == (None, None):
            sources[each.name] = _source(each, first, references, zeros)
    absent = [name for name, source in sources.items() if source == (None, None)]
    present = ", ".join(name for name in names if name not in excluded) or "none"
    if len(absent) == len(sources):
        raise UserError(f"no channel of {_describe(montage)} can be derived; channels there: {present}; {remedy}")
    if absent and missing == "error":
        channels = ", ".join(_describe_channel(name, montage) for name in absent)
        check = "check the montage table; " if montage.name == TABLE else ""
        raise UserError(
            f"missing channel {channels}; channels there: {present}; {check}to encode zeros instead, "
            "add --missing zero"
        )
    channel_sources = ChannelSources(tuple(sources), *zip(*sources.values(), strict=True))
    used = set(channel_sources.used)
    pairs = tuple((group[0], other) for group in indices.values() if group[0] in used for other in group[1:])
    return replace(channel_sources, duplicates=pairs)


def _describe(montage: Montage) -> str:
    return "the table of derivations" if montage.name == TABLE else montage.name


def _describe_channel(name: str, montage: Montage) -> str:
    """Name of a channel, with what it is derived from where its name does not tell.

    >>> _describe_channel("focal", NAMED["behind-the-ear"]), _describe_channel("FP1-F3", DOUBLE_BANANA)
    ('focal (BTEleft SD or BTEright SD)', 'FP1-F3')
    """
    pairs = (each for each in montage.derivations if each.name == name)
    ways = ["-".join(filter(None, (each.anode, each.cathode))) for each in pairs]
    return name if ways == [name] else f"{name} ({' or '.join(ways)})"


def _split(name: str) -> list[str]:
    """Electrode and reference as written, in upper case."""
    return re.sub(r"^EEG[\s-]*|\s|\.", "", name.strip().upper()).split("-")


def _references(montage: Montage, first: Mapping[tuple[str, str], int], zeros: bool) -> tuple[str, ...]:
    """References to try, in order, of electrodes that are taken as recorded and named without one."""
    if montage.name == AS_RECORDED:
        return ("",)
    common = _common_reference(montage, first, zeros)
    return ("", common) if montage.name == TABLE else (common,)


def _common_reference(montage: Montage, first: Mapping[tuple[str, str], int], zeros: bool) -> str:
    """The reference that most of the electrodes have which are taken as recorded; empty where names have none.

    What only a few of them have and is an electrode itself is the other end of bipolar channels.
    """
    electrodes = {parse_name(each.anode, zeros)[0] for each in montage.derivations if not each.cathode}
    counts = Counter(reference for electrode, reference in first if electrode in electrodes)
    bipolar = {name for name, count in counts.items() if name in electrodes and 2 * count < len(electrodes)}
    return max(sorted(counts.keys() - bipolar), key=lambda reference: counts[reference], default="")


def _source(
    derivation: Derivation, first: Mapping[tuple[str, str], int], references: Sequence[str], zeros: bool
) -> tuple[int | None, int | None]:
    """Raw indices (plus, minus) of a derivation."""
    anode = parse_name(derivation.anode, zeros)
    if not derivation.cathode:
        keys = [anode] if anode[1] else [(anode[0], reference) for reference in references]
        return next((first[key] for key in keys if key in first), None), None
    plus, minus = anode[0], parse_name(derivation.cathode, zeros)[0]
    if (plus, minus) in first:
        return first[plus, minus], None
    if (minus, plus) in first:
        return None, first[minus, plus]
    for electrode, shared in first:
        if electrode == plus and (minus, shared) in first:
            return first[plus, shared], first[minus, shared]
    return None, None
