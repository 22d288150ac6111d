"""``python -m eval RUN``: score a run, write its events and metrics, print the table."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tyro

from eval.events import Detections, find_events, mask_seconds
from eval.scoring import ScoredRecording, metrics, score_person, summarise
from heads.runs import Run, write_text
from store import RecordingInfo, Store
from store.cli import run as run_command

_BACKGROUND_S = 3600
_COLUMNS = {  # heading: metric, decimals
    "hours": ("hours", 2),
    "ictal s": ("ictal_seconds", 0),
    "AUROC": ("auroc", 3),
    "AUPRC": ("auprc", 3),
    "event sens": ("event.sensitivity", 3),
    "event prec": ("event.precision", 3),
    "event F1": ("event.f1", 3),
    "event FP/day": ("event.fp_per_day", 1),
    "sample F1": ("sample.f1", 3),
}
_SUMMARY_ROWS = {"mean": "mean", "sd": "sd", "ci95_low": "95 % from", "ci95_high": "95 % to"}


@dataclass(frozen=True)
class Settings:
    """Score the test predictions of a run as SzCORE does."""

    run: tyro.conf.Positional[Path]
    """Folder of the run, as python -m heads.train made it."""
    store: Path | None = None
    """The run's feature store, if it is no longer where the run was trained."""


def main(argv: Sequence[str] | None = None) -> int:
    """Score a run; return the exit status."""
    return run_command(evaluate, Settings, argv, prog="python -m eval", description=Settings.__doc__ or "")


def evaluate(settings: Settings) -> None:
    """Write ``predictions/**_events.tsv``, ``metrics.json`` and ``metrics.csv``, and print the table.

    Raises
    ------
    ValueError
        If no finished fold has a test person, or if a prediction holds something else than probabilities.
    """
    run = Run.open(settings.run)
    store = run.open_store(settings.store)
    scores = {
        person: score_person(list(_score_recordings(run, store, person, result.threshold)))
        for result in run.folds
        for person in result.fold.test
    }
    if not scores:
        raise ValueError(
            f"{run.path}: no finished fold has a test person; python -m heads.train --fold all makes them"
        )
    persons = pd.DataFrame.from_dict(scores, orient="index").sort_index()
    summary = summarise(persons, np.random.default_rng(0))
    table = pd.concat([persons.astype(object), summary.loc[["mean", "sd"]]])
    write_text(run.path / "metrics.json", json.dumps(metrics(persons, summary), indent=2, allow_nan=False) + "\n")
    write_text(run.path / "metrics.csv", table.to_csv(index_label="person"))

    print(f"{run.path}: {len(persons)} of {len(store.persons)} persons tested\n")
    print(format_table(persons, summary))
    print("\n-: undefined. Mean, sd and bootstrap interval are over the persons for whom a score is defined.")
    seen = run.config["store"]["provenance"]["encoder"].get("persons_seen", [])
    for warning in find_warnings(persons, seen):
        print(f"warning: {warning}")
    print(f"\nScores: {run.path / 'metrics.json'}, {run.path / 'metrics.csv'}")
    print(f"Events: {run.path / 'predictions'} (SzCORE events.tsv)")


def format_table(persons: pd.DataFrame, summary: pd.DataFrame) -> str:
    """Lay out a row a person, then what is known over persons."""
    rows = pd.concat([persons, summary.loc[list(_SUMMARY_ROWS)].rename(_SUMMARY_ROWS)])
    rows["hours"] = rows["seconds"] / 3600
    cells = {
        heading: rows[metric].map(lambda value, decimals=decimals: _cell(value, decimals))
        for heading, (metric, decimals) in _COLUMNS.items()
    }
    table = pd.DataFrame(cells)
    defined = summary.loc["defined"].rename({"seconds": "hours"})
    table.loc["persons"] = [f"{defined[metric]:.0f}" for metric, _ in _COLUMNS.values()]
    widths = [len(heading) + 1 for heading in _COLUMNS]
    return table.rename_axis(columns="person").to_string(col_space=widths)


def find_warnings(persons: pd.DataFrame, persons_seen: Sequence[str]) -> list[str]:
    """Say what makes these scores mean less than they seem to."""
    warnings = []
    little = int((persons["seconds"] - persons["ictal_seconds"] < _BACKGROUND_S).sum())
    if little:
        warnings.append(
            f"{little} of {len(persons)} persons have less than 1 h of background: "
            "false-alarm rates and precision mean little"
        )
    if overlap := sorted(set(persons_seen) & set(persons.index)):
        warnings.append(
            f"the encoder saw these tested persons in pretraining: {', '.join(overlap)}; "
            "their scores are no test of new persons"
        )
    return warnings


def _score_recordings(run: Run, store: Store, person: str, threshold: float) -> Iterator[ScoredRecording]:
    """Detect events in a person's recordings and write them, one after the other."""
    for info in store.recordings:
        if info.person == person:
            yield _score_recording(run, store, info, threshold)


def _score_recording(run: Run, store: Store, info: RecordingInfo, threshold: float) -> ScoredRecording:
    probabilities = run.probabilities(info)
    try:
        mask = mask_seconds(probabilities, threshold)
    except ValueError as error:
        raise ValueError(f"{run.probabilities_path(info)}: {error}; train the fold again") from error
    detections = Detections(find_events(mask, probabilities, info.duration_s), info.duration_s, info.start)
    write_text(run.path / "predictions" / f"{info.relative_stem}_events.tsv", detections.to_tsv())
    return ScoredRecording(info.events, detections.events, info.duration_s, store.labels(info), probabilities)


def _cell(value: float, decimals: int) -> str:
    return "-" if np.isnan(value) else f"{value:.{decimals}f}"


if __name__ == "__main__":
    sys.exit(main())
