"""Results of a study: scores of its jobs, tables and a page."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from eval.report.files import write_csv, write_table
from eval.report.provenance import Provenance, describe_now
from eval.report.study_tables import format_study, format_tests, pivot_study
from eval.scoring.averages import average_persons
from eval.scoring.background import Background, measure_background
from eval.scoring.scored_runs import read_metrics
from eval.scoring.study_scores import Combination, CombinationScores, tabulate_study, tabulate_tests
from eval.scoring.validity_checks import find_score_warnings, merge_warnings
from eval.study.checks import read_mark, write_mark
from eval.study.jobs import Job
from eval.study.options import StudyCommand
from heads.run_folder import Run
from store.runtime.cli import to_one_line


@dataclass(frozen=True)
class StudyOutcome:
    """Scores of a study, and where the reports of its runs are."""

    rows: list[CombinationScores]
    table: pd.DataFrame  # as `eval.scoring.study_scores.tabulate_study`
    tests: pd.DataFrame | None  # of text, on other data
    background: Background
    reports: dict[str, str]  # job -> path of its report, from the folder of the study
    warnings: list[str]

    @property
    def text(self) -> pd.DataFrame:
        """The table as text."""
        return format_study(self.table, self.background)


def read_outcome(command: StudyCommand, jobs: Sequence[Job]) -> StudyOutcome:
    """Read what the jobs of a study scored."""
    scores: dict[Combination, dict[str, pd.DataFrame]] = {}
    tests: dict[Combination, list[Path]] = {}
    for job in jobs:
        for seed, path in _score_paths(job):
            scores.setdefault(job.combination, {})[seed] = read_metrics(path)[0]
        tests.setdefault(job.combination, []).extend(_test_paths(job))
    rows = [CombinationScores(combination, seeds) for combination, seeds in scores.items()]
    return StudyOutcome(
        rows,
        tabulate_study(rows),
        format_tests(tabulate_tests(tests)) if command.test_bids is not None else None,
        measure_background(rows[0].persons),
        {str(job): str((job.path / "report.html").relative_to(command.out)) for job in jobs},
        _find_warnings(rows, jobs, tests if command.test_bids is not None else {}),
    )


def _find_warnings(
    rows: Sequence[CombinationScores], jobs: Sequence[Job], tests: Mapping[Combination, Sequence[Path]]
) -> list[str]:
    """What weakens the scores of combinations, and of their heads on other data, each reason once."""
    by_combination = {job.combination: job for job in jobs}
    of_runs = {
        str(row.combination): find_score_warnings(
            Run.open(by_combination[row.combination].path).config, row.persons, row.persons.index
        )
        for row in rows
    }
    on_others = {
        str(combination): _find_test_warnings(by_combination[combination].test_path, paths)
        for combination, paths in tests.items()
    }
    return merge_warnings(of_runs) + [f"on other data: {text}" for text in merge_warnings(on_others)]


def _find_test_warnings(folder: Path, seeds: Sequence[Path]) -> list[str]:
    """What weakens scores on other data, of which each seed has a folder."""
    scores, times_in_alarm = zip(*map(read_metrics, seeds), strict=True)
    tested = {person for table in (*scores, *times_in_alarm) for person in table.index}
    return find_score_warnings(Run.open(folder).config, average_persons(scores), tested)


def _score_paths(job: Job) -> Iterator[tuple[str, Path]]:
    """Folders with the scores of each seed that was asked for; of a head without seeds, the run."""
    run = Run.open(job.path)
    yield from ((str(seed), run.of_seed(seed).scores_path) for seed in job.asked)
    if not job.seeds:
        yield "", run.scores_path


def _test_paths(job: Job) -> list[Path]:
    if len(job.seeds) < 2:
        return [job.test_path]
    return [job.test_path / "heads" / f"final-seed-{seed}" for seed in job.asked]


def write_outcome(command: StudyCommand, outcome: StudyOutcome, skipped: Sequence[str]) -> Path:
    """Write tables and page, unless they are there and nothing has changed; the path of the page."""
    path, provenance = command.out / "study.html", describe_now()
    content = _hash_content(outcome, skipped, provenance)
    if path.is_file() and read_mark(command).get("content") == content:
        return path
    from eval.report.study_page import StudyPage, write_study_page  # here, since it loads matplotlib

    write_csv(command.out / "study.csv", outcome.table)
    write_table(command.out / "tables", "scores", outcome.text)
    write_table(command.out / "tables", "auroc", pivot_study(outcome.table))
    if outcome.tests is not None:
        write_table(command.out / "tables", "tests", outcome.tests)
    page = StudyPage(
        path=command.out,
        rows=outcome.rows,
        table=outcome.text,
        tests=outcome.tests,
        skipped=skipped,
        reports=outcome.reports,
        background=outcome.background,
        warnings=outcome.warnings,
    )
    write_study_page(page, provenance)
    write_mark(command, content=content)
    return path


def _hash_content(outcome: StudyOutcome, skipped: Sequence[str], provenance: Provenance) -> str:
    """Hash of what the page shows, but for date and command."""
    tests = "" if outcome.tests is None else outcome.tests.to_csv()
    persons = [row.persons.to_csv() for row in outcome.rows]
    content = [
        outcome.table.to_csv(),
        tests,
        persons,
        list(skipped),
        outcome.reports,
        outcome.warnings,
        provenance.code,
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def print_outcome(command: StudyCommand, outcome: StudyOutcome, page: Path) -> None:
    """Print the table, and where all is."""
    print(f"\n{outcome.text.rename(index=to_one_line).to_string()}\n")
    print("Mean over persons of scores averaged over seeds, with its 95 % bootstrap interval over persons.")
    if not outcome.background.suffices:
        print(f"False alarms are added up over persons, mean over seeds; {outcome.background.shortage}.")
    if outcome.tests is not None and command.test_bids is not None:
        tests = outcome.tests.rename(index=to_one_line).to_string()
        print(f"\nHeads trained on everyone, on {to_one_line(command.test_bids)}, mean over seeds:\n\n{tests}\n")
    for warning in outcome.warnings:
        print(f"warning: {to_one_line(warning)}")
    print(f"Page: {page}")
    print(f"Tables: {command.out / 'study.csv'}, {command.out / 'tables'}")
