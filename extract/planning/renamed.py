"""Find recordings that have another name in the data set than in the store."""

from collections.abc import Sequence

from extract.planning.plan import Action
from extract.planning.signals import SignalKey, find_signals, stored_signals
from extract.planning.subject import Subject


def find_renamed(subjects: Sequence[Subject]) -> frozenset[str]:
    """Names of stored recordings that are gone and whose signal is there under a new name.

    A name that the store has too is no new one, unless it is of another person: then the store holds a recording
    twice since an extraction of some subjects came in between.
    """
    gone: dict[str, SignalKey] = {}
    persons: dict[str, str] = {}
    for subject in subjects:
        if subject.stored is None:
            continue
        persons |= {info.name: info.person for info in subject.stored.recordings}
        signals = stored_signals(subject.stored)
        steps = subject.plan.select(Action.KEEP_GONE)
        gone |= {step.name: signals[step.name] for step in steps if step.name in signals}
    by_signal = find_signals((item for subject in subjects for item in subject.found), set(gone.values()))
    return frozenset(
        name
        for name, signal in gone.items()
        if any(persons.get(item.recording.name) != persons[name] for item in by_signal.get(signal, ()))
    )
