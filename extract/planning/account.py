"""Describe what is done with a subject, and account for every recording found."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from extract.planning.plan import Action, SubjectPlan
from store.runtime.plurals import count_noun, list_names
from store.schema import LeftOut

_MOST_NAMED = 3
_TO_DO = {Action.ENCODE: "encode", Action.RELABEL: "relabel", Action.PRUNE: "prune"}
_DONE = {Action.ENCODE: "encoded", Action.RELABEL: "relabelled", Action.PRUNE: "pruned"}


@dataclass(frozen=True)
class Account:
    """How many recordings were found, and what became of each by its name: the counts add up."""

    encoded: tuple[str, ...] = ()
    relabelled: tuple[str, ...] = ()
    up_to_date: tuple[str, ...] = ()
    for_other_shards: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    @property
    def found(self) -> int:
        """Recordings found."""
        return len(self.encoded + self.relabelled + self.up_to_date + self.for_other_shards) + len(self.left_out)

    def describe(self, *, done: bool = True) -> str:
        """Say all counts in a line.

        >>> Account(encoded=("a", "b"), left_out=(LeftOut("c", "flat"),)).describe()
        '3 recordings found: 2 encoded, 0 up to date, 1 left out'
        """
        counts = {
            "encoded" if done else "to encode": len(self.encoded),
            "relabelled" if done else "to relabel": len(self.relabelled),
            "up to date": len(self.up_to_date),
            "for other shards": len(self.for_other_shards),
            "left out": len(self.left_out),
        }
        optional = ("relabelled", "to relabel", "for other shards")
        parts = [f"{count} {what}" for what, count in counts.items() if count or what not in optional]
        return f"{count_noun(self.found, 'recording')} found: {', '.join(parts)}"


def describe_reasons(entries: Iterable[LeftOut], stems: Mapping[str, str]) -> list[str]:
    """Say why recordings or files cannot be used: a line for each, but for those of one reason a line together.

    Parameters
    ----------
    stems
        Path of each recording's files as reasons name them, without their endings, by its name; other entries are
        files.

    >>> entries = [LeftOut(name, f"sub-01/{name}_eeg.edf: is flat") for name in "ab"]
    >>> describe_reasons(entries, {"a": "sub-01/a", "b": "sub-01/b"})
    ['2 recordings (a, b): *_eeg.edf: is flat']
    >>> describe_reasons(entries[:1], {})
    ['a: sub-01/a_eeg.edf: is flat']
    >>> describe_reasons([LeftOut("sub-01.h5", "is damaged"), LeftOut("sub-02.h5", "is damaged")], {})
    ['2 files (sub-01.h5, sub-02.h5): is damaged']
    """
    groups: dict[str, list[LeftOut]] = {}
    for entry in entries:
        stem = stems.get(entry.name)
        groups.setdefault(entry.reason.replace(stem, "*") if stem else entry.reason, []).append(entry)
    return [_describe_group(reason, group, stems) for reason, group in groups.items()]


def _describe_group(reason: str, group: Sequence[LeftOut], stems: Mapping[str, str]) -> str:
    if len(group) == 1:
        return f"{group[0].name}: {group[0].reason}"
    names = list_names([entry.name for entry in group], _MOST_NAMED)
    noun = "recording" if all(entry.name in stems for entry in group) else "file"
    return f"{count_noun(len(group), noun)} ({names}): {reason}"


def describe_plan(plan: SubjectPlan, *, done: bool, encoded: Iterable[str] | None = None) -> str:
    """Say in a line what is, or was, done with a subject; empty if nothing is.

    Parameters
    ----------
    done
        Whether it has been done.
    encoded
        Recordings that could be encoded; all that the plan has by default.
    """
    words = _DONE if done else _TO_DO
    names = None if encoded is None else set(encoded)
    counts = Counter(
        (step.action, step.reason)
        for step in plan.steps
        if step.action in words and (names is None or step.action is not Action.ENCODE or step.name in names)
    )
    clauses = [
        f"{words[action]} {count_noun(count, 'recording')} ({reason})"
        for (action, reason), count in counts.items()
    ]
    if plan.file_reasons:
        clauses.append(f"{'updated' if done else 'update'} ({', '.join(plan.file_reasons)})")
    return f"sub-{plan.subject}: {'; '.join(clauses)}" if clauses else ""


def describe_gone(plan: SubjectPlan) -> str:
    """Say which recordings the store keeps that the data set has no more; empty if there are none."""
    gone = plan.select(Action.KEEP_GONE)
    if not gone:
        return ""
    names = list_names([step.name for step in gone], _MOST_NAMED)
    return (
        f"sub-{plan.subject}: keeps {count_noun(len(gone), 'recording')} gone from the data set ({names}); "
        "--prune removes what is gone"
    )
