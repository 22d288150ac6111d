"""Whether a subject whose recordings were encoded can be published, and how."""

from extract.planning.decision import Decision, Verdict, decide
from extract.planning.plan import Action, Step, SubjectPlan
from store.schema import LeftOut

NEW, OLD = Step("a", Action.ENCODE, "new"), Step("b", Action.KEEP)


def test_a_subject_waits_until_each_of_its_recordings_is_encoded_or_left_out() -> None:
    plan = SubjectPlan("01", (NEW, OLD), skip_unusable=True)
    decision = decide(plan, (), {})
    assert (decision.verdict, decision.missing, decision.reason) == (Verdict.WAIT, ("a",), "a is not encoded")
    assert decide(plan, {"a"}, {}) == Decision(Verdict.PUBLISH, ("a",))
    assert decide(plan, (), {"a": "flat"}) == Decision(Verdict.REWRITE, (), (LeftOut("a", "flat"),))


def test_a_subject_with_a_recording_that_cannot_be_used_waits_unless_it_may_be_left_out() -> None:
    steps = (NEW, Step("c", Action.LEAVE_OUT, "no events file"))
    assert decide(SubjectPlan("01", steps), {"a"}, {}).verdict is Verdict.WAIT
    decision = decide(SubjectPlan("01", steps, skip_unusable=True), {"a"}, {})
    assert decision == Decision(Verdict.PUBLISH, ("a",), (LeftOut("c", "no events file"),))


def test_a_file_that_says_all_of_it_is_kept() -> None:
    plan = SubjectPlan("01", (NEW, OLD), former_left_out={"a": "flat"}, skip_unusable=True)
    assert decide(plan, (), {"a": "flat"}).verdict is Verdict.KEEP
    assert decide(plan, (), {"a": "truncated"}).verdict is Verdict.REWRITE
    relabelled = SubjectPlan("01", (OLD, Step("c", Action.RELABEL, "events changed")))
    assert decide(relabelled, (), {}).verdict is Verdict.REWRITE
