"""Participants tables: every subject gets the person that was meant, or the table is refused."""

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from hypothesis import strategies as st

from store.__main__ import main as store_main
from tests.fuzz.base import ENTRIES, below, run_eval, run_extract, run_train, write_data_set
from tests.fuzz.edits import FileEdit, file_edits, texts
from tests.fuzz.oracle import read_store
from tests.fuzz.sandbox import Finding, run
from tests.fuzz.tables import Spelling, spellings

SUBJECTS = ("01", "02", "03")


@dataclass(frozen=True)
class ParticipantsCase:
    """A table; persons of the three subjects, None for a subject without row."""

    column: str
    persons: tuple[str | None, ...]
    prefix: str  # of participant_id
    spelling: Spelling
    edit: FileEdit | None
    late: bool  # written after a first extraction
    train: bool
    fold: str  # of the training


@st.composite
def cases(draw: st.DrawFn) -> ParticipantsCase:
    """Cases, most of which are sound but for one thing."""
    simple = st.sampled_from(["p1", "p2", "p3"])
    persons = draw(
        st.tuples(*[simple | texts] * 3) | st.just(("p1", "p2", "p1")) | st.tuples(*[st.none() | simple] * 3)
    )
    column = draw(
        st.sampled_from(["person_id"] * 6 + ["Person_ID", "PERSON_ID", "person-id", "personid", " person_id"])
    )
    return ParticipantsCase(
        column,
        persons,
        draw(st.sampled_from(["sub-"] * 6 + ["", "SUB-", "Sub-", " sub-"])),
        draw(spellings),
        draw(st.none() | st.none() | st.none() | file_edits),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.sampled_from(["all", "all", "final"])),
    )


def check(case: ParticipantsCase, box: Path) -> None:
    """Extract, then go all the way to scores."""
    write_data_set(box / "bids")
    path = box / "bids" / "participants.tsv"
    if case.late and (first := run_extract(box)).status != 0:
        raise Finding("extract: refuses a sound data set", first.text)
    rows = [
        (f"{case.prefix}{subject}", "n/a", person)
        for subject, person in zip(SUBJECTS, case.persons, strict=True)
        if person is not None
    ]
    path.write_bytes(case.spelling.write(("participant_id", "sex", case.column), rows))
    if case.edit:
        case.edit.apply(path)
    outcome = run_extract(box)
    said = f"{path.read_bytes()[:2000]!r}\n{outcome.text}" if path.is_file() else outcome.text
    if outcome.status != 0:
        return
    stored = read_store(box / "store")
    if sorted(stored) != sorted(entry.stem for entry in ENTRIES):
        raise Finding("extract: success without all recordings", said)
    if not case.edit:
        _judge_persons(case, {row.subject: row.person for row in stored.values()}, said)
    if case.train:
        _judge_scores(case, box, {row.subject: row.person for row in stored.values()})


def _judge_persons(case: ParticipantsCase, persons: dict[str, str], said: str) -> None:
    for subject, meant in zip(SUBJECTS, case.persons, strict=True):
        person = persons[subject]
        cleaned = (meant or "").strip().strip("\"'\ufeff\x00\xa0 ").strip()
        if not cleaned or cleaned.casefold() in ("n/a", "nan"):
            if person != subject and person.casefold() not in ("n/a", "nan", "na"):
                raise Finding("participants: a person from nowhere", f"{persons}\n{said}")
            if (
                any(case.persons)
                and person.casefold() in ("n/a", "nan")
                and cleaned.casefold() != person.casefold()
            ):
                raise Finding("participants: a blank cell becomes a person", f"{persons}\n{said}")
        elif person.strip("\"'\ufeff\x00\xa0 ") not in (meant, cleaned) and case.spelling.encoding.startswith(
            "utf"
        ):
            raise Finding("participants: another person than was meant, without a word", f"{persons}\n{said}")
    cleaned_persons = [(person or "").strip() for person in case.persons]
    if cleaned_persons[0] and cleaned_persons[0] == cleaned_persons[2] != "n/a" and persons["01"] != persons["03"]:
        raise Finding("participants: one person becomes two", f"{persons}\n{said}")


def _judge_scores(case: ParticipantsCase, box: Path, persons: dict[str, str]) -> None:
    """Train and score; everyone must be in the scores, and no name may lead anywhere."""
    trained = run_train(box, "--fold", case.fold)
    if trained.status != 0:
        return
    scored = run_eval(box, "--no-report")
    if scored.status != 0:
        raise Finding("eval: refuses a run just trained", f"{persons}\n{scored.text}")
    if case.fold == "all":
        scores = json.loads((box / "run" / "metrics.json").read_text())["persons"]
        if sorted(scores) != sorted(set(persons.values())):
            raise Finding("eval: persons are missing in the scores", f"{persons}\n{sorted(scores)}")
        table = pd.read_csv(box / "run" / "metrics.csv", dtype=str, keep_default_na=False)
        if len(table) < len(set(persons.values())):
            raise Finding("eval: persons are missing in the table", f"{persons}\n{table}")
    person = persons["01"]
    exported = run(store_main, "store", ["export", box / "store", f"--person={person}"], box, below("here"))
    if exported.status != 0:
        raise Finding("store: cannot export a person that it holds", f"{person!r}\n{exported.text}")
