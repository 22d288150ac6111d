"""``python -m eval.study``: one command from EEG to a table of encoders, features and heads."""

import itertools
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
import tyro

from eval.report.files import write_choices, write_csv, write_scores, write_table
from eval.report.provenance import describe_now
from eval.report.study_tables import format_study, format_tests, pivot_study
from eval.report.tables import format_scores
from eval.scoring.background import measure_background
from eval.scoring.results import Results, score_run
from eval.scoring.scored_runs import read_scored_run
from eval.scoring.standard_test import prepare_test
from eval.scoring.study_scores import Combination, CombinationScores, tabulate_study, tabulate_tests
from eval.scoring.validity_checks import find_warnings
from extract.encoders.protocol import EncoderSettings
from extract.encoders.registry import load_encoder
from extract.io.bids import find_data_set
from extract.pipeline import ExtractCommand, extract
from heads.models.registry import find_head
from heads.probe import ProbeCommand, probe
from heads.run_folder import Run
from heads.settings import TrainSettings
from heads.train import TrainCommand, train
from store.gate import read_json
from store.runtime.atomic import write_text
from store.runtime.cli import run as run_command
from store.runtime.cli import to_one_line
from store.runtime.commands import command_line
from store.runtime.device import choose_device
from store.runtime.errors import UserError
from store.runtime.names import to_path_name
from store.runtime.options import optional
from store.runtime.outputs import guard_folder, list_others
from store.runtime.parallel import WorkerSettings
from store.runtime.plurals import count_noun

_MARK = "study.json"
_PROBE = "probe"  # has no seed
_DESCRIPTION = """Extract, train, score and compare: every encoder with every kind of features and every head.

What matters first: --bids and --out, --encoders, --heads.

Stop it whenever you like and run the same command again: what is finished is kept. Encoders, heads and seeds that
you add are added to the table."""


@dataclass(frozen=True, kw_only=True)
class StudyTarget:
    """What is read, and where all goes; first in the help."""

    bids: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder of the BIDS data set."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder of the study: stores, runs, and study.html with its tables."""
    encoders: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ("braincodec", "random", "bandpower")
    """Encoders, as extract takes them; the first is what others are compared with."""
    features: Annotated[tuple[Literal["latents", "codes"], ...], tyro.conf.arg(metavar="latents|codes ...")] = (
        "latents",
    )
    """What is stored of each encoder; codes are skipped for encoders without a quantizer."""
    heads: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ("spatial-fusion", "linear", _PROBE)
    """Heads, as train takes them, and "probe" for the linear probe."""
    seeds: Annotated[tuple[int, ...], tyro.conf.arg(metavar="N ...")] = (0,)
    """Seeds of each head; scores of persons are averaged over them. The probe needs none."""
    test_bids: Annotated[Path | None, optional("DIR")] = None
    """Another BIDS data set, on which heads trained on everyone are tested."""


@dataclass(frozen=True, kw_only=True)
class StudyCommand(WorkerSettings, StudyTarget):
    """The command line of ``python -m eval.study``."""

    unlabelled: bool = False
    """Take recordings of --test-bids without events file too, for their time in alarm."""
    skip_unusable: bool = False
    """Go on without recordings that cannot be used."""
    device: Annotated[str, tyro.conf.arg(metavar="DEVICE")] = "auto"
    """"cpu", "cuda", "cuda:1" and so on; "auto" takes a GPU if there is one."""

    def check(self) -> None:
        """Refuse what is known to be a mistake before any data is read.

        Raises
        ------
        UserError
            Naming the option.
        """
        for option in ("encoders", "features", "heads", "seeds"):
            if not getattr(self, option):
                raise UserError(f"--{option}: nothing given; give one or more, or leave the option out")
        super().check()
        choose_device(self.device)
        for head, seed in itertools.product((head for head in self.heads if head != _PROBE), self.seeds):
            find_head(head)
            TrainSettings(head=head, seed=seed).check()


@dataclass(frozen=True)
class _Job:
    """A head to train and to score, in a folder of its own."""

    combination: Combination
    seed: int | None  # None for heads without one
    path: Path

    def __str__(self) -> str:
        return str(self.combination) + ("" if self.seed is None else f", seed {self.seed}")


def study(command: StudyCommand) -> None:
    """Do what is missing of a study, then write its page and tables.

    Raises
    ------
    UserError
        If an option names nothing, a recording cannot be used, or the folder holds runs with other settings.
    """
    command.check()
    _check_folder(command)
    for bids in _data_sets(command):
        if not find_data_set(bids).recordings:
            raise UserError(f"{bids}: no recording of a person; {command_line('extract')} --check says why")
    pairs, skipped = _find_pairs(command)
    _mark_folder(command)
    for text in skipped:
        print(f"skipped: {to_one_line(text)}")
    for encoder, features in pairs:
        _extract(command, command.bids, encoder, features, "stores")
        if command.test_bids is not None:
            _extract(command, command.test_bids, encoder, features, "test-stores")
    jobs = [
        job
        for encoder, features in pairs
        for head in command.heads
        for job in _list_jobs(command, encoder, features, head)
    ]
    for number, job in enumerate(jobs, start=1):
        begin = time.perf_counter()
        if _train_and_score(command, job):
            print(f"{number} of {len(jobs)}, {job}: {time.perf_counter() - begin:.0f} s", flush=True)
        else:
            print(f"{number} of {len(jobs)}, {job}: finished before", flush=True)
    _write(command, jobs, skipped)


def _data_sets(command: StudyCommand) -> list[Path]:
    return [command.bids, *([command.test_bids] if command.test_bids is not None else [])]


def _mark(command: StudyCommand) -> dict[str, str]:
    """What the mark of a study's folder says."""
    return {"bids": str(command.bids.resolve())}


def _check_folder(command: StudyCommand) -> None:
    """Refuse a folder that is not this study's, and write nothing.

    Raises
    ------
    UserError
        If it holds another study or something else, or is within a data set.
    """
    inputs = _data_sets(command)
    guard_folder(command.out, inputs=inputs, own=_MARK, apart=inputs)
    path = command.out / _MARK
    if not path.is_file() and (others := list_others(command.out)):
        raise UserError(f"{command.out}: holds {others[0]} and no study; give a new folder")
    if path.is_file() and (stored := read_json(path)) != _mark(command):
        raise UserError(f"{command.out}: holds a study of {stored.get('bids')}; give a new folder")


def _mark_folder(command: StudyCommand) -> None:
    """Mark the folder as holding a study of the data set."""
    path = command.out / _MARK
    if not path.is_file():
        write_text(path, json.dumps(_mark(command)) + "\n")


def _find_pairs(command: StudyCommand) -> tuple[list[tuple[str, str]], list[str]]:
    """Encoders with features that they have, and what is skipped since they have not."""
    pairs, skipped = [], []
    for encoder, features in itertools.product(dict.fromkeys(command.encoders), dict.fromkeys(command.features)):
        settings = EncoderSettings(encoder=encoder, device=command.device)
        load_encoder(settings)  # raises if it cannot be used at all
        try:
            load_encoder(replace(settings, features=features))
        except UserError as error:
            skipped.append(f"{encoder} {features}: {error}")
        else:
            pairs.append((encoder, features))
    if not pairs:
        raise UserError(f"no combination is left: {'; '.join(skipped)}; give other --encoders or --features")
    return pairs, skipped


def _extract(command: StudyCommand, bids: Path, encoder: str, features: str, folder: str) -> None:
    """Bring a store up to date."""
    store = _store_path(command, encoder, features, folder)
    begin = time.perf_counter()
    summary = extract(
        ExtractCommand(
            bids=bids,
            store=store,
            encoder=encoder,
            features="codes" if features == "codes" else "latents",
            device=command.device,
            unlabelled=command.unlabelled and folder != "stores",
            skip_unusable=command.skip_unusable,
            jobs=command.jobs,
            backend=command.backend,
            scheduler=command.scheduler,
            address=command.address,
        ),
        tell=lambda line: None,
    )
    if summary.failures:
        raise UserError(
            f"{bids}: {count_noun(len(summary.failures), 'recording')} cannot be used, the first: "
            f"{summary.failures[0]}; mend them, or go on without them by --skip-unusable"
        )
    print(
        f"{store}: {summary.encoded_hours:.2f} h encoded in {time.perf_counter() - begin:.0f} s; "
        f"{summary.account.describe(done=True)}",
        flush=True,
    )


def _list_jobs(command: StudyCommand, encoder: str, features: str, head: str) -> Iterator[_Job]:
    combination = Combination(encoder, features, head)
    folder = command.out / "runs" / f"{_name(encoder)}-{features}-{_name(head)}"
    for seed in (None,) if head == _PROBE else dict.fromkeys(command.seeds):
        yield _Job(combination, seed, folder if seed is None else folder / f"seed-{seed}")


def _train_and_score(command: StudyCommand, job: _Job) -> bool:
    """Train and score what is missing; whether anything was."""
    store = _store_path(command, job.combination.encoder, job.combination.features, "stores")
    folds = ("all", "final") if command.test_bids is not None else ("all",)
    for fold in folds:
        if job.seed is None:
            run, _ = probe(ProbeCommand(store=(store,), fold=fold, out=job.path))
        else:
            run, _ = train(
                TrainCommand(
                    store=(store,),
                    fold=fold,
                    out=job.path,
                    head=job.combination.head,
                    seed=(job.seed,),
                    device=command.device,
                )
            )
    did_something = not _is_scored(run, job.path)
    if did_something:
        _write_results(score_run(job.path, (), _workers(command)))
    test_path = _test_path(job)
    if command.test_bids is not None and not _is_scored(run, test_path):
        did_something = True
        test_store = _store_path(command, job.combination.encoder, job.combination.features, "test-stores")
        test = prepare_test(job.path, test_store, test_path, "final")
        if test.training_persons:
            raise UserError(
                f"{command.test_bids}: persons {', '.join(test.training_persons)} are training persons too; give "
                "a data set of other persons"
            )
        test.claim_folder()
        for results in test.score():
            _write_results(results)
    return did_something


def _is_scored(run: Run, path: Path) -> bool:
    """Whether a page of scores is there, which is written last, and no fold is newer."""
    report = path / "report.html"
    return report.is_file() and all(
        (result.path / "fold.json").stat().st_mtime <= report.stat().st_mtime for result in run.folds
    )


def _write_results(results: Results) -> None:
    from eval.report.page import write_report  # here, since it loads matplotlib

    write_choices(results, results.path / "folds")
    write_scores(results)
    table = format_scores(results.persons, results.summary, results.background)
    write_report(results, table, find_warnings(results), describe_now())


def _write(command: StudyCommand, jobs: Sequence[_Job], skipped: Sequence[str]) -> None:
    """Write tables and page, and print the table."""
    from eval.report.study_page import StudyPage, write_study_page  # here, since it loads matplotlib

    rows = _read_scores(jobs)
    table, background = tabulate_study(rows), measure_background(rows[0].persons)
    text = format_study(table, background)
    write_csv(command.out / "study.csv", table)
    write_table(command.out / "tables", "scores", text)
    write_table(command.out / "tables", "auroc", pivot_study(table))
    print(f"\n{text.rename(index=to_one_line).to_string()}\n")
    print("Mean over persons of scores averaged over seeds, with its 95 % bootstrap interval over persons.")
    if not background.suffices:
        print(f"False alarms are counts: {background.shortage}.")
    tests = None
    if command.test_bids is not None:
        tests = format_tests(tabulate_tests([(job.combination, _test_path(job)) for job in jobs]))
        write_table(command.out / "tables", "tests", tests)
        print(f"\nHeads trained on everyone, on {to_one_line(command.test_bids)}:\n\n{tests.to_string()}\n")
    reports = {str(job): str((job.path / "report.html").relative_to(command.out)) for job in jobs}
    page = StudyPage(command.out, rows, text, tests, skipped, reports, background)
    print(f"Page: {write_study_page(page, describe_now())}")
    print(f"Tables: {command.out / 'study.csv'}, {command.out / 'tables'}")


def _read_scores(jobs: Sequence[_Job]) -> list[CombinationScores]:
    """Scores of the jobs, by combination."""
    by_combination: dict[Combination, dict[str, pd.DataFrame]] = {}
    for job in jobs:
        by_combination.setdefault(job.combination, {})[str(job.seed)] = read_scored_run(job.path).scores
    return [CombinationScores(combination, seeds) for combination, seeds in by_combination.items()]


def _store_path(command: StudyCommand, encoder: str, features: str, folder: str) -> Path:
    return command.out / folder / f"{_name(encoder)}-{features}"


def _test_path(job: _Job) -> Path:
    """Folder of the scores on other data."""
    return job.path / "test"


def _name(reference: str) -> str:
    """Name of an encoder or a head as part of a path: of a file its stem, of an object its name."""
    return to_path_name(Path(reference).stem.rpartition(":")[2])


def _workers(command: StudyCommand) -> WorkerSettings:
    return WorkerSettings(
        jobs=command.jobs, backend=command.backend, scheduler=command.scheduler, address=command.address
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m eval.study``."""
    return run_command(
        study,
        StudyCommand,
        argv,
        module="eval.study",
        description=_DESCRIPTION,
        examples=["--bids chb-mit --out studies/chb-mit --encoders braincodec random bandpower"],
    )


if __name__ == "__main__":
    sys.exit(main())
