"""Score a run: the table, the report and the files are made from its results. Writes nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from eval.scoring.choice import PostProcessingChoice, choose_postprocessing
from eval.scoring.postprocess import PostProcessing
from eval.scoring.scores import ScoredRecording, score_person, summarise
from heads.run_folder import Run
from store import Store
from store.runtime.errors import UserError
from store.runtime.parallel import WorkerSettings, run_tasks

POSTPROCESSING = "postprocessing.json"  # in the folder of each fold


@dataclass(frozen=True)
class Results:
    """A scored run."""

    run: Run
    store: Store
    choices: dict[str, PostProcessingChoice]  # of each finished fold
    recordings: dict[str, dict[str, ScoredRecording]]  # of each tested person, by name
    persons: pd.DataFrame  # a row a person, a column a score
    summary: pd.DataFrame  # as `eval.scoring.scores.summarise`

    def post(self, person: str) -> PostProcessing:
        """Post-processing of the fold that tested a person."""
        return next(self.choices[r.fold.name].post for r in self.run.folds if person in r.fold.test)


def score_run(path: Path, store_path: Path | None, workers: WorkerSettings) -> Results:
    """Choose each fold's post-processing on its validation persons, then score its test persons.

    Raises
    ------
    UserError
        If there is no run, no finished fold or not its store, or if a prediction is missing or no probability.
    """
    run = Run.open(path)
    store = run.open_store(store_path)
    if not run.folds:
        raise UserError(f"{run.path}: no finished fold; python -m heads.train --fold all makes them")
    names = [result.fold.name for result in run.folds]
    # workers may be in another folder
    choose_fold = partial(_choose, run.path.absolute(), store.path.absolute())
    with tqdm(run_tasks(choose_fold, names, workers), total=len(names), unit=" folds", disable=None) as bar:
        choices = dict(bar)
    choices = {name: choices[name] for name in names}
    recordings = {
        person: dict(_detect(run, store, person, choices[result.fold.name].post))
        for result in run.folds
        for person in result.fold.test
    }
    scores = {person: score_person(list(by_name.values())) for person, by_name in sorted(recordings.items())}
    persons = pd.DataFrame.from_dict(scores, orient="index")
    return Results(run, store, choices, recordings, persons, summarise(persons, np.random.default_rng(0)))


def _choose(path: Path, store_path: Path, name: str) -> PostProcessingChoice:
    run = Run.open(path)
    store, result = run.open_store(store_path), next(fold for fold in run.folds if fold.fold.name == name)
    predicted = result.validation_probabilities()
    persons: dict[str, list[ScoredRecording]] = {person: [] for person in result.fold.validation}
    for info in store.recordings:
        if info.person in persons:
            probabilities = predicted[info.name]
            persons[info.person].append(
                ScoredRecording(info.events, (), info.duration_s, store.labels(info), probabilities)
            )
    return choose_postprocessing(persons, result.threshold)


def _detect(run: Run, store: Store, person: str, post: PostProcessing) -> Iterator[tuple[str, ScoredRecording]]:
    for info in store.recordings:
        if info.person == person:
            probabilities = run.probabilities(info)
            try:
                detected = post.detect(probabilities, info.duration_s)
            except UserError as error:
                raise UserError(f"{run.probabilities_path(info)}: {error}; train the fold again") from error
            labels = store.labels(info)
            yield info.name, ScoredRecording(info.events, detected, info.duration_s, labels, probabilities)
