"""Scored recordings and results of known content."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from eval.scoring.choice import PostProcessingChoice
from eval.scoring.events import DetectedEvent
from eval.scoring.postprocess import PostProcessing
from eval.scoring.results import Results
from eval.scoring.scores import SCORES, ScoredRecording, score_person, summarise
from eval.scoring.tested import TESTED
from heads.folds import Fold
from heads.run_folder import FoldResult
from store import Event
from store.schema import LeftOut


def record(
    reference: Sequence[tuple[float, float]], detected: Sequence[tuple[float, float]], duration_s: float = 1000
) -> ScoredRecording:
    """Probabilities of 0.1, in detections of 0.8; a second is seizure where more than half of it is covered."""
    seconds = int(duration_s)
    probabilities, covered = np.full(seconds, 0.1), np.zeros(seconds)
    for onset_s, stop_s in detected:
        probabilities[int(onset_s) : int(stop_s)] = 0.8
    for onset_s, stop_s in reference:
        starts = np.arange(seconds)
        covered += np.clip(np.minimum(stop_s, starts + 1) - np.maximum(onset_s, starts), 0, 1)
    return ScoredRecording(
        tuple(Event(onset_s, stop_s - onset_s, "sz") for onset_s, stop_s in reference),
        tuple(DetectedEvent(onset_s, stop_s, 0.8) for onset_s, stop_s in detected),
        duration_s,
        (covered > 0.5).astype(np.uint8),
        probabilities,
    )


def make_results(
    recordings: Mapping[str, Mapping[str, ScoredRecording]],
    folds: Sequence[Fold] = (),
    choices: Mapping[str, PostProcessingChoice] | None = None,
    persons_seen: Sequence[str] = (),
    tested: Mapping[str, Any] | None = None,
    left_out: Sequence[LeftOut] = (),
) -> Results:
    """Results of recordings, with a store that knows only what was left out of it."""
    scores = {person: score_person(list(by_name.values())) for person, by_name in recordings.items()}
    persons = pd.DataFrame.from_dict(scores, orient="index", columns=list(SCORES))
    store: Any = SimpleNamespace(files=[SimpleNamespace(left_out=tuple(left_out))])
    return Results(
        path=Path("run"),
        config={
            "settings": {"head": "linear"},
            "store": {"provenance": {"encoder": {"persons_seen": list(persons_seen)}}},
            **({TESTED: tested} if tested else {}),
        },
        store=store,
        folds=tuple(FoldResult(fold, Path(fold.name), 1, 0.5, ()) for fold in folds),
        choices=dict(choices or {}),
        posts=dict.fromkeys(recordings, PostProcessing(0.5)),
        recordings={person: dict(by_name) for person, by_name in recordings.items()},
        unlabelled={},
        persons=persons,
        summary=summarise(persons, np.random.default_rng(0)),
    )
