"""Decide whether a subject whose recordings were encoded can be published, and how."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from extract.planning.plan import Action, SubjectPlan
from store.schema import LeftOut


class Verdict(StrEnum):
    """What is to be done with a subject's file."""

    PUBLISH = "publish"  # what was encoded, with what stays of the file
    REWRITE = "rewrite"  # features as they are
    KEEP = "keep"  # it says all that is known
    WAIT = "wait"


@dataclass(frozen=True)
class Decision:
    """What is to be done with a subject's file, and what it gets."""

    verdict: Verdict
    encoded: tuple[str, ...] = ()  # names of recordings, from parts
    left_out: tuple[LeftOut, ...] = ()
    missing: tuple[str, ...] = ()  # names of recordings to encode that it waits for
    reason: str = ""  # why it waits


def decide(plan: SubjectPlan, complete: Collection[str], unusable: Mapping[str, str]) -> Decision:
    """Decide whether a subject can be published, and how.

    Parameters
    ----------
    complete
        Names of recordings that have a good part.
    unusable
        Reasons of the recordings that were tried and are to be left out, by name.
    """
    if plan.is_blocked:
        return Decision(Verdict.WAIT, reason="a recording cannot be used")
    encoded = tuple(step.name for step in plan.select(Action.ENCODE) if step.name not in unusable)
    if missing := tuple(name for name in encoded if name not in complete):
        return Decision(Verdict.WAIT, missing=missing, reason=f"{missing[0]} is not encoded")
    tried = {step.name: unusable[step.name] for step in plan.select(Action.ENCODE) if step.name in unusable}
    left_out = (*plan.left_out, *(LeftOut(name, reason) for name, reason in tried.items()))
    if encoded:
        return Decision(Verdict.PUBLISH, encoded, left_out)
    are_new = plan.former_left_out != {recording.name: recording.reason for recording in left_out}
    return Decision(Verdict.REWRITE if plan.is_rewritten or are_new else Verdict.KEEP, (), left_out)
