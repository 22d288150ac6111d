"""Channel names of any EEG file to the 18 bipolar channels that everything downstream uses."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from store.runtime.errors import UserError

CHANNELS = (
    *("FP1-F3", "F3-C3", "C3-P3", "P3-O1", "FP1-F7", "F7-T7", "T7-P7", "P7-O1", "FZ-CZ"),
    *("CZ-PZ", "FP2-F4", "F4-C4", "C4-P4", "P4-O2", "FP2-F8", "F8-T8", "T8-P8", "P8-O2"),
)
PAIRS = tuple(tuple(channel.split("-")) for channel in CHANNELS)
ELECTRODES = frozenset(electrode for pair in PAIRS for electrode in pair)
ALIASES = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8", "01": "O1", "02": "O2"}


@dataclass(frozen=True)
class Montage:
    """Where each of the 18 channels comes from: ``raw[plus] - raw[minus]``.

    One side is None where a raw channel already is the derivation (`plus`) or its reverse (`minus`); both
    are None where the channel is missing. Indices are those of the names given to `derive`.
    """

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
        """``(18,)``, False where the channel is missing."""
        return tuple(pair != (None, None) for pair in zip(self.plus, self.minus, strict=True))

    def without(self, rows: Collection[int]) -> "Montage":
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
        (18, N) float32, microvolts, zeros where the channel is missing
        """
        rows = {index: raw_uv[row] for row, index in enumerate(self.used)}
        derived_uv = np.zeros((len(CHANNELS), raw_uv.shape[1]), np.float32)
        for row, (plus, minus) in enumerate(zip(self.plus, self.minus, strict=True)):
            if minus is None:
                derived_uv[row] = 0 if plus is None else rows[plus]
            else:
                derived_uv[row] = (0 if plus is None else rows[plus]) - rows[minus]
        return derived_uv


def parse_name(name: str) -> tuple[str, str] | None:
    """Electrode and its reference, empty when the name has none; None when it is not one of the 19 electrodes.

    >>> parse_name("EEG T3-Ref"), parse_name("Fp1."), parse_name("p3-01"), parse_name("T8-P8-1")
    (('T7', 'REF'), ('FP1', ''), ('P3', 'O1'), ('T8', 'P8'))
    >>> parse_name("EKG1-CHIN"), parse_name("-")
    (None, None)
    """
    text = re.sub(r"^EEG[\s-]*|\s|\.", "", name.strip().upper())
    text = re.sub(r"-(0|[1-9]\d*)$", "", text)  # the running number that mne gives to duplicates
    electrode, *reference = (ALIASES.get(part, part) for part in text.split("-"))
    if electrode not in ELECTRODES or len(reference) > 1:
        return None
    return electrode, "".join(reference)


def derive(names: Sequence[str], missing: str = "error") -> Montage:
    """Find the 18 channels among raw channel names.

    A channel that is there is taken as it is, else reversed, else as the difference of two channels with the
    same reference; electrodes named without reference share one. The first of equal names is used.

    >>> montage = derive(["CZ", "F3-FP1", "PZ"], missing="zero")
    >>> montage.plus[9], montage.minus[9], montage.plus[0], montage.minus[0], sum(montage.mask)
    (0, 2, None, 1, 2)

    Raises
    ------
    UserError
        If a channel is missing and `missing` is "error", or if none of the 18 is there.
    """
    indices: dict[tuple[str, str], list[int]] = {}
    for index, name in enumerate(names):
        if parsed := parse_name(name):
            indices.setdefault(parsed, []).append(index)
    sources = [_source(pair, {key: group[0] for key, group in indices.items()}) for pair in PAIRS]
    absent = [channel for channel, source in zip(CHANNELS, sources, strict=True) if source == (None, None)]
    if len(absent) == len(CHANNELS):
        raise UserError(f"none of the 18 bipolar channels can be derived; channels there: {', '.join(names)}")
    if absent and missing == "error":
        raise UserError(
            f"missing channel {', '.join(absent)}; channels there: {', '.join(names)}; "
            "to encode zeros in their place use --missing zero"
        )
    montage = Montage(*zip(*sources, strict=True))
    used = set(montage.used)
    pairs = tuple((group[0], other) for group in indices.values() if group[0] in used for other in group[1:])
    return replace(montage, duplicates=pairs)


def _source(pair: tuple[str, ...], first: dict[tuple[str, str], int]) -> tuple[int | None, int | None]:
    """Raw indices (plus, minus) of a derivation."""
    plus, minus = pair
    if (plus, minus) in first:
        return first[plus, minus], None
    if (minus, plus) in first:
        return None, first[minus, plus]
    for electrode, reference in first:
        if electrode == plus and (minus, reference) in first:
            return first[plus, reference], first[minus, reference]
    return None, None
