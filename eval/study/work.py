"""The steps of a study: extract, train, score, test. Each step does only what is missing."""

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch

from eval.report.files import write_choices
from eval.report.provenance import describe_now
from eval.report.publish import score_and_choose, write_heads, write_results
from eval.report.stale import remove_scores
from eval.report.tables import format_scores
from eval.scoring.results import Results
from eval.scoring.scored_runs import is_current
from eval.scoring.standard_test import prepare_test
from eval.scoring.validity_checks import find_warnings
from eval.study.checks import require_other_persons, require_usable
from eval.study.jobs import Job, list_jobs, name_pair
from eval.study.options import StudyCommand
from extract.pipeline import extract
from extract.planning.command import ExtractCommand
from heads.folds import Inner
from heads.probe import ProbeCommand, probe
from heads.run_folder import Run, follow_context
from heads.train import TrainCommand, train
from store.runtime.device import choose_device
from store.runtime.parallel import WorkerSettings


def plan_jobs(command: StudyCommand, pairs: Iterable[tuple[str, str]]) -> list[Job]:
    """Jobs of the study, on the runs that its folder holds."""
    runs = command.out / "runs"
    known = {}
    for path in sorted(runs.glob("*/*/config.json")):
        run = Run.open(path.parent)
        known[path.parent] = run.seeds or (run.config["settings"].get("seed", 0),)
    return list(list_jobs(runs, pairs, command.heads, command.seeds, known))


def extract_store(command: StudyCommand, encoder: str, features: str, *, tested: bool) -> None:
    """Bring a store up to date: of the data set that is trained on, or of the tested one.

    Raises
    ------
    UserError
        If a recording cannot be used.
    """
    bids = command.test_bids if tested and command.test_bids is not None else command.bids
    store = store_path(command, encoder, features, tested=tested)
    begin = time.perf_counter()
    summary = extract(
        ExtractCommand(
            bids=bids,
            store=store,
            encoder=encoder,
            features="codes" if features == "codes" else "latents",
            device=command.device,
            unlabelled=command.unlabelled and tested,
            skip_unusable=command.skip_unusable,
            **vars(_workers(command)),
        ),
        tell=lambda line: None,
    )
    require_usable(command, bids, [f"{failure.name}: {failure.reason}" for failure in summary.failures])
    print(
        f"{store}: {summary.encoded_hours:.2f} h encoded in {time.perf_counter() - begin:.0f} s; "
        f"{summary.account.describe(done=True)}",
        flush=True,
    )


def train_and_score(command: StudyCommand, job: Job, inner: Inner | None) -> bool:
    """Train and score what is missing; whether anything was."""
    for fold in ("all", "final") if command.test_bids is not None else ("all",):
        run = _train(command, job, fold, inner)
    did_something = not _is_scored(run, job.path / "report.html")
    if did_something:
        store = store_path(command, job.combination.encoder, job.combination.features)
        results = score_and_choose(run, (store,), _workers(command))
        write_results(results)
        _write_report(results)
    if command.test_bids is not None:
        did_something |= _test(command, job, run)
    return did_something


def _train(command: StudyCommand, job: Job, fold: str, inner: Inner | None) -> Run:
    store, retrain = (store_path(command, job.combination.encoder, job.combination.features),), command.retrain
    if not job.seeds:
        run, _ = probe(ProbeCommand(store=store, fold=fold, out=job.path, retrain=retrain))
        return run
    head, device = job.combination.head, command.device
    settings = TrainCommand(head=head, seed=job.seeds, inner=inner, device=device, store=store, fold=fold)
    for sibling in sorted(job.path.parent.glob("seed*")):  # heads of other seeds, perhaps of an earlier version
        settings = follow_context(settings, sibling)
    run, _ = train(replace(settings, out=job.path, retrain=retrain))
    return run


def _test(command: StudyCommand, job: Job, run: Run) -> bool:
    """Score final heads on the other data set, unless that was done before; whether it was not."""
    store = store_path(command, job.combination.encoder, job.combination.features, tested=True)
    test = prepare_test(job.path, store, job.test_path, "final", command.heads)
    require_other_persons(command, test.training_persons)
    is_one = len(test.heads) == 1
    is_there = (job.test_path / "config.json").is_file()
    last = job.test_path / ("report.html" if is_one else "metrics.json")
    if is_there and test.is_scored and _is_scored(Run.open(job.test_path), last):
        return False
    if is_there:  # scores of other heads, or on what the store was before
        remove_scores(job.test_path)
    else:
        test.check_folder()
    test.mark_folder()
    scored = {}
    for results in test.score(torch.device(choose_device(command.device))):
        write_choices(results, results.path / "folds")
        write_results(results)
        _write_report(results)
        scored[results.path.name] = results
    if not is_one:
        write_heads(job.test_path, scored)
    return True


def _is_scored(run: Run, last: Path) -> bool:
    """Whether scores are of heads, post-processing and store as they are, and what is written last is theirs."""
    metrics = run.path / "metrics.json"
    is_whole = last.is_file() and metrics.is_file() and metrics.stat().st_mtime <= last.stat().st_mtime
    return is_whole and is_current(run)


def _write_report(results: Results) -> None:
    from eval.report.page import write_report  # here, since it loads matplotlib

    table = format_scores(results.persons, results.summary, results.background)
    write_report(results, table, find_warnings(results), describe_now())


def store_path(command: StudyCommand, encoder: str, features: str, *, tested: bool = False) -> Path:
    """Folder of the store of an encoder's features."""
    return command.out / ("test-stores" if tested else "stores") / name_pair(encoder, features)


def _workers(command: StudyCommand) -> WorkerSettings:
    return WorkerSettings(
        jobs=command.jobs, backend=command.backend, scheduler=command.scheduler, address=command.address
    )
