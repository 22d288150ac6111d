"""Whom a training learns from, whom it holds out, and the weights that it begins with."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from extract.pretrain.data import Person, names_by_dataset, spell_person
from store.interop.dataset_names import list_persons_seen


@dataclass(frozen=True)
class Origin:
    """What a checkpoint says of its training data, and all calls that go on with a training must share."""

    seen: frozenset[Person] = frozenset()  # also by the weights that it begins with
    held_out: frozenset[Person] = frozenset()
    begun_with: str = ""  # SHA-256 of those weights, empty for random ones

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> "Origin":
        """Read it from what `to_metadata` gives, or from the metadata of a checkpoint."""
        held_out = list_persons_seen({"persons_seen": metadata.get("persons_held_out", {})})
        seen = frozenset(Person(*pair) for pair in list_persons_seen(metadata))
        return cls(seen, frozenset(Person(*pair) for pair in held_out), str(metadata.get("begun_with", "")))

    def to_metadata(self) -> dict[str, Any]:
        """Entries of the checkpoint's metadata."""
        return {
            "persons_seen": names_by_dataset(self.seen),
            "persons_held_out": names_by_dataset(self.held_out),
            "begun_with": self.begun_with,
        }

    def list_changes(self, now: "Origin", folders: Mapping[str, str]) -> Iterator[str]:
        """Each difference of a later call, for a message.

        Parameters
        ----------
        now
        folders
            Name of the data set by name of its folder, to write persons by.

        >>> first, second = Person("x", "01"), Person("x", "02")
        >>> later = Origin(frozenset({first}), frozenset({second}))
        >>> list(Origin(frozenset({first, second})).list_changes(later, {"clips": "x"}))
        ['clips/02 trained on (now held out)']
        """
        for person in sorted(self.seen | self.held_out | now.seen | now.held_out):
            before, after = self._describe(person), now._describe(person)
            if before != after:
                yield f"{spell_person(person, folders)} {before} (now {after})"
        if self.begun_with != now.begun_with:
            before, after = (sha256[:8] or "random" for sha256 in (self.begun_with, now.begun_with))
            yield f"weights {before} (now {after})"

    def _describe(self, person: Person) -> str:
        """What became of a person."""
        if person in self.seen:
            return "trained on"
        return "held out" if person in self.held_out else "left out"
