"""``python -m eval RUN``: score a run, write events, metrics and report; ``compare`` compares runs."""

if __name__ == "__main__":
    from braincodec_seizure import run_module

    raise SystemExit(run_module("eval.__main__"))

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
import tyro

from eval import compare
from eval.report.eeg_reader import EegReader, EegSnippet
from eval.report.files import seed_means, write_choices
from eval.report.headline import describe_scores, describe_split, describe_tested, describe_time_in_alarm
from eval.report.publish import score_and_choose, write_heads, write_results
from eval.report.stale import list_made_before, remove_scores
from eval.report.tables import format_heads, format_scores
from eval.scoring.changed_heads import warn_of_changed_heads
from eval.scoring.results import Results
from eval.scoring.tested import open_trained_run
from eval.scoring.validity_checks import find_warnings
from store import FeatureSpec, Store
from store.runtime.cli import run as run_command
from store.runtime.cli import to_one_line
from store.runtime.device import choose_device
from store.runtime.errors import UserError
from store.runtime.options import optional
from store.runtime.parallel import WorkerSettings
from store.runtime.plurals import count_noun, noun_with_names

_DESCRIPTION = """Score the test predictions of a run by SzCORE's rules; write metrics, events and a report.

Start with: RUN; --store if the store has moved; --on and --out to test on another store."""


@dataclass(frozen=True, kw_only=True)
class EvalCommand:
    """The command line of ``python -m eval``."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder of the run."""
    store: Annotated[
        tuple[Path, ...],
        tyro.conf.arg(metavar="STORE ...", help_behavior_hint="(default: the path used in training)"),
    ] = ()
    """New path of the run's store, or stores, if they have moved since training."""
    on: Annotated[Path | None, optional("STORE")] = None
    """Test on all persons of another store with the same features instead."""
    out: Annotated[Path | None, optional("DIR")] = None
    """With --on: folder for the scores."""
    fold: Literal["final", "all"] = "final"
    """With --on: score the final head, or the head of every fold and report their mean and spread."""
    allow_training_persons: bool = False
    """With --on: also score persons of the training data, which is no test on new persons."""
    head: Annotated[tuple[str, ...], optional("HEAD ...")] = ()
    """With --on: the run's heads that do not ship, each as package.module:Name."""
    bids: Annotated[tuple[Path, ...], optional("DIR ...")] = ()
    """BIDS data set, to show the EEG around misses and false alarms in the report; for several stores, of each."""
    no_report: bool = False
    """Do not write report.html and its figures."""
    workers: tyro.conf.OmitArgPrefixes[WorkerSettings] = field(default_factory=WorkerSettings)


def main(argv: Sequence[str] | None = None) -> int:
    """Score or compare; return the exit status."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    if arguments[:1] == ["compare"]:
        return compare.main(arguments[1:])
    return run_command(
        evaluate,
        EvalCommand,
        arguments,
        module="eval",
        description=_DESCRIPTION,
        examples=["runs/chb-mit", "runs/chb-mit --on stores/siena --out runs/chb-mit-on-siena"],
    )


def evaluate(command: EvalCommand) -> None:
    """Write post-processing, ``predictions/**_events.tsv``, metrics and report, and print the table.

    Raises
    ------
    UserError
        As `eval.scoring.results.score_run` and `eval.scoring.standard_test.prepare_test`, or if options do not go
        together.
    """
    if command.on is not None:
        _test_on_store(command)
        return
    if command.out is not None or command.allow_training_persons or command.fold != "final" or command.head:
        raise UserError(
            "--out, --fold, --allow-training-persons and --head go with --on STORE; give it, or leave them out"
        )
    run = open_trained_run(command.run)
    if command.bids:
        _require_eeg(run.open_store(command.store), command.bids)
    results = score_and_choose(run, command.store, command.workers)
    if not results.posts:
        print(f"{results.path}: post-processing is chosen; no finished fold has a test person to score")
        return
    _publish(results, command)


def _test_on_store(command: EvalCommand) -> None:
    import torch  # here, since --help does not need it

    from eval.scoring.standard_test import prepare_test

    if command.on is None or command.out is None:
        raise UserError("--on needs --out DIR, a folder for the scores; the run keeps those of its own test")
    test = prepare_test(command.run, command.on, command.out, command.fold, command.head)
    warn_of_changed_heads(command.run, command.head)
    if test.training_persons and not command.allow_training_persons:
        by_name = ", by name alone, as a data set is not known" if test.compares_names_alone else ""
        who = noun_with_names("training person", test.training_persons)
        raise UserError(
            f"{command.on}: holds {who} of {command.run}{by_name}; leave them out of the store, or add "
            "--allow-training-persons"
        )
    if command.bids:
        _require_eeg(test.store, command.bids)
    if changes := test.check_folder():
        remove_scores(command.out)
        print(to_one_line(f"{command.out}: replaces the scores before; {'; '.join(changes)}"))
    test.mark_folder()
    scored = {}
    for results in test.score(torch.device(choose_device("auto"))):
        write_choices(results, results.path / "folds")
        _publish(results, command)
        scored[results.path.name] = results
    if len(scored) > 1:
        _publish_heads(scored, command.out)


def _publish_heads(scored: Mapping[str, Results], out: Path) -> None:
    """Write the mean over heads and their spread, and print what they say."""
    heads = write_heads(out, scored)
    labelled = [describe_scores(heads.persons, heads.summary)] if len(heads.persons) else []
    unlabelled = [describe_time_in_alarm(heads.time_in_alarm)] if len(heads.time_in_alarm) else []
    print(f"\n{out}: mean over {len(scored)} heads; {'; '.join(labelled + unlabelled)}\n")
    _print_table(heads.table)
    print("\nEach row is the mean over persons of one head; sd is the sample sd over heads.")
    print(f"Scores: {out / 'metrics.json'}, {out / 'metrics.csv'}, {out / 'tables'}")


def _publish(results: Results, command: EvalCommand) -> None:
    """Write all files of the results, and print what they say."""
    metrics, report = results.path / "metrics.json", results.path / "report.html"
    before, had_report = metrics.read_bytes() if metrics.is_file() else None, report.is_file()
    write_results(results)
    path, persons, store = results.path, results.persons, results.store
    print(f"{path}: {to_one_line(describe_tested(persons, len(store.persons)))}")
    if results.given_split:
        print(to_one_line(describe_split(results.given_split)))
    table = format_scores(persons, results.summary, results.background)
    if len(persons):
        print(f"{describe_scores(persons, results.summary)}\n")
        _print_table(table)
        print("\n-: undefined. Mean, sample sd and interval are over the persons for whom a score is defined.")
    if results.seeds and len(persons):
        print("\nScores and counts are means over seeds. Below, each row is one seed's mean over persons.\n")
        _print_table(format_heads(seed_means(results), results.background, "seed"))
    if results.unlabelled:
        print(describe_time_in_alarm(results.time_in_alarm()))
    warnings = find_warnings(results)
    for warning in warnings:
        print(f"warning: {to_one_line(warning)}")
    if before == metrics.read_bytes():
        print("\nScored before, and the scores are the same.")
    elif before is not None and (made_before := list_made_before(results.path)):
        print(f"\nOf the scores before: {', '.join(map(str, made_before))}; give their commands again.")
    _print_paths(results)
    if command.no_report:
        if had_report and not report.is_file():
            print(f"Removed: {report} and its figures, of other scores; eval without --no-report makes new ones")
    else:
        print(f"Report: {_write_report(results, table, warnings, command.bids)}")


def _print_paths(results: Results) -> None:
    """Say where the files are that were written."""
    path = results.path
    scores = [path / "metrics.json", path / "metrics.csv"]
    scores += [path / "time_in_alarm.csv"] if results.unlabelled else []
    scores += [path / "tables"] if len(results.persons) or results.seeds else []
    print(f"\nScores: {', '.join(map(str, scores))}")
    if results.seeds:
        folders = ", ".join(str(result.path) for result in results.seeds.values())
        print(f"Seizures, events and scores of each seed: {folders}")
    else:
        if len(results.persons):
            print(f"Seizures: {path / 'seizures.csv'}, {path / 'false_alarms.csv'}")
        print(f"Events: {path / 'predictions'} (SzCORE events.tsv)")


def _write_report(results: Results, table: pd.DataFrame, warnings: Sequence[str], bids: Sequence[Path]) -> Path:
    from eval.report.page import write_report  # here, since it loads matplotlib
    from eval.report.provenance import describe_now

    if not bids:
        return write_report(results, table, warnings, describe_now())
    with open_eeg_of(results.store, bids) as reader:
        return write_report(results, table, warnings, describe_now(), reader)


def _require_eeg(store: Store, bids: Sequence[Path]) -> None:
    """Refuse data sets that are not there, or lack recordings of a store."""
    with open_eeg_of(store, bids):
        pass


def open_eeg_of(store: Store, bids: Sequence[Path]) -> AbstractContextManager[EegReader]:
    """Read the EEG of a store, or of several, from the data set of each in order, or from one for all."""
    if len(bids) == 1 and not any(member.prefix for member in store.members):
        bids = [bids[0]] * len(store.paths)
    if len(bids) != len(store.paths):
        raise UserError(
            f"--bids: {count_noun(len(bids), 'folder')}, of {count_noun(len(store.paths), 'store')} "
            f"({store.location}); give the data set of each, in this order"
        )
    folders = {path.resolve(): folder for path, folder in zip(store.paths, bids, strict=True)}
    names: dict[Path, dict[str, str]] = {folder: {} for folder in bids}
    for file in store.files:
        originals = (file.original or file).recordings
        pairs = zip(file.recordings, originals, strict=True)
        names[folders[file.path.parent.resolve()]] |= {info.name: original.name for info, original in pairs}
    return open_eeg(names, store.spec)


@contextmanager
def open_eeg(names: Mapping[Path, Mapping[str, str]], spec: FeatureSpec) -> Iterator[EegReader]:
    """Read the EEG of data sets for the report, which knows no EEG files; as `SnippetReader`."""
    from extract.io.montage import from_spec  # here, since only --bids needs mne
    from extract.io.snippets import SnippetReader

    montage = from_spec(spec)
    reader = SnippetReader(names, montage)

    def read(recording: str, start_s: float, stop_s: float) -> EegSnippet:
        signal_uv, file = reader.read(recording, start_s, stop_s)
        return EegSnippet(max(0.0, start_s), signal_uv, file.sample_rate_hz, montage.channels, file.channel_mask)

    try:
        yield read
    finally:
        reader.close()


def _print_table(table: pd.DataFrame) -> None:
    shown = table.rename(index=to_one_line)
    print(shown.to_string(col_space=[len(heading) + 1 for heading in shown.columns]))
