"""Score a run; the table, report and files are made from its `Results`."""

import math
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from eval.scoring.background import Background, measure_background
from eval.scoring.calibration import apply_temperature
from eval.scoring.choice import PostProcessingChoice
from eval.scoring.fold_choice import FoldChooser, choose_in_worker
from eval.scoring.operating_curve import sweep_thresholds
from eval.scoring.postprocess import PostProcessing
from eval.scoring.scores import SCORES, ScoredRecording, score_person, summarise
from eval.scoring.tested import open_trained_run, read_tested
from heads.run_folder import FoldResult
from heads.run_folder.store_change import list_known_as
from store import RecordingInfo, Store
from store.interop.dataset_names import list_persons_seen, same_dataset
from store.runtime.errors import UserError
from store.runtime.parallel import WorkerSettings, run_tasks

Recordings = dict[str, dict[str, ScoredRecording]]  # person -> name -> recording


@dataclass(frozen=True)
class Results:
    """Scores of tested persons, and what they rest on."""

    path: Path  # folder that they are written to
    config: dict[str, Any]  # of the run
    store: Store  # of the tested persons
    folds: tuple[FoldResult, ...]  # folds whose heads predicted
    choices: dict[str, PostProcessingChoice]  # folder of the fold -> choice
    posts: dict[str, PostProcessing]  # tested person -> post-processing
    recordings: Recordings  # recordings with labels
    unlabelled: Recordings  # recordings without labels, of which only the time in alarm is known
    persons: pd.DataFrame  # one row per person, one column per score
    summary: pd.DataFrame  # as `eval.scoring.scores.summarise`
    seeds: dict[int, "Results"] = field(default_factory=dict)  # results of several seeds, averaged in the scores

    @cached_property
    def background(self) -> Background:
        """Hours without seizure."""
        return measure_background(self.persons)

    @property
    def given_split(self) -> dict[str, Any] | None:
        """The given split that was tested: what gave it, and how many persons train, choose and are tested."""
        split = next((result.fold for result in self.folds if result.fold.is_given), None)
        if split is None or read_tested(self.config):
            return None
        sides = {"train": split.train, "validation": split.validation, "test": split.test}
        given = self.config["settings"].get("split")
        return {"given": given, **{part: len(persons) for part, persons in sides.items()}}

    @cached_property
    def curve(self) -> pd.DataFrame:
        """As `eval.scoring.operating_curve.sweep_thresholds`; of several seeds the mean at each threshold."""
        if self.seeds:
            return pd.concat([results.curve for results in self.seeds.values()]).groupby(level=0).mean()
        recordings = {person: list(by_name.values()) for person, by_name in self.recordings.items()}
        return sweep_thresholds(recordings, self.posts)

    @property
    def head(self) -> str:
        """Name of the head."""
        return str(self.config["settings"].get("head", "unknown"))

    @property
    def persons_seen(self) -> tuple[str, ...]:
        """Persons that the encoder saw in pretraining; none if the store is known to be of another data set."""
        return find_persons_seen(self.config["store"])

    def seconds(self) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
        """Labels and probabilities of all seconds of each person, ``(T,)`` each."""
        return {
            person: (
                np.concatenate([recording.labels for recording in by_name.values()]),
                np.concatenate([recording.probabilities for recording in by_name.values()]),
            )
            for person, by_name in self.recordings.items()
        }

    def calibrated_seconds(self) -> dict[str, tuple[NDArray[Any], NDArray[Any]]] | None:
        """`seconds`, each fold's probabilities at its temperature; None if one is not known."""
        only = tuple(self.choices.values()) if len(self.choices) == 1 else ()  # of a test on other data
        by_person = {person: (self.choices[fold.fold.name],) for fold in self.folds for person in fold.fold.test}
        choices = {person: by_person.get(person, only) for person in self.recordings}
        temperatures = {
            person: choice.temperature for person, person_choices in choices.items() for choice in person_choices
        }
        if not choices or temperatures.keys() != choices.keys() or np.isnan([*temperatures.values()]).any():
            return None
        return {
            person: (labels, apply_temperature(probabilities, temperatures[person]))
            for person, (labels, probabilities) in self.seconds().items()
        }

    def time_in_alarm(self) -> pd.DataFrame:
        """Unlabelled recordings of each person: recordings, hours, and the share of their time in alarm."""
        if self.seeds:
            return average_time_in_alarm(self.seeds.values())
        rows = {}
        for person, by_name in self.unlabelled.items():
            hours = sum(recording.duration_s for recording in by_name.values()) / 3600
            alarmed_s = sum(e.stop_s - e.onset_s for recording in by_name.values() for e in recording.detected)
            rows[person] = {"recordings": len(by_name), "hours": hours, "alarmed": alarmed_s / 3600 / hours}
        columns = {"recordings": int, "hours": float, "alarmed": float}
        return pd.DataFrame.from_dict(rows, orient="index", columns=list(columns)).astype(columns)


def find_persons_seen(recorded: Mapping[str, Any]) -> tuple[str, ...]:
    """Persons of a store, as a run records it, that its encoder saw in pretraining."""
    seen = list_persons_seen(recorded["provenance"]["encoder"])

    def is_seen(name: str) -> bool:
        return any(
            person == other and same_dataset(dataset, of)
            for dataset, person in list_known_as(recorded, name)
            for of, other in seen
        )

    return tuple(filter(is_seen, recorded.get("persons", [person for _, person in seen])))


def share_in_alarm(time_in_alarm: pd.DataFrame) -> float:
    """Share in alarm of all time, from that of each person.

    >>> share_in_alarm(pd.DataFrame({"hours": [1.0, 3.0], "alarmed": [0.2, 0.0]}))
    0.05
    """
    hours = time_in_alarm["hours"]
    return float((time_in_alarm["alarmed"] * hours).sum() / hours.sum()) if len(hours) else math.nan


def average_time_in_alarm(results: Iterable[Results]) -> pd.DataFrame:
    """As `Results.time_in_alarm`, the share of each person averaged over heads."""
    tables = [result.time_in_alarm() for result in results]
    return pd.concat(tables).groupby(level=0).mean().astype({"recordings": int})


def score_run(
    path: Path, store_paths: Sequence[Path], workers: WorkerSettings, seed: int | None = None
) -> Results:
    """Choose each fold's post-processing by predictions for its validation persons, then score its test persons.

    Parameters
    ----------
    seed
        Of a run of several seeds, which to score.

    Raises
    ------
    UserError
        If there is no run, no finished fold or not its store, a fold names persons that the store does not have,
        or a prediction is missing or not a probability.
    """
    run = replace(open_trained_run(path), seed=seed)
    store = run.open_store(store_paths)
    folds = run.folds
    if not folds:
        raise UserError(f"{run.path}: no finished fold; {run.remedy_for('all', store.paths)}")
    for result in folds:
        if unknown := {*result.fold.test, *result.fold.validation} - set(store.persons):
            raise UserError(
                f"{result.path / 'fold.json'}: names persons that {store.location} does not hold "
                f"({', '.join(sorted(unknown))}); train the fold again"
            )
    names = [result.fold.name for result in folds]
    choose_fold: Callable[[str], PostProcessingChoice]
    if workers.alone:
        choose_fold = FoldChooser(store, folds).choose
    else:  # workers may be in another folder
        paths = tuple(path.absolute() for path in store.paths)
        choose_fold = partial(choose_in_worker, uuid.uuid4().hex, run.path.absolute(), run.seed, paths)
    with tqdm(run_tasks(choose_fold, names, workers), total=len(names), unit=" folds", disable=None) as bar:
        choices = dict(bar)
    choices = {name: choices[name] for name in names}
    posts = {person: choices[result.fold.name].post for result in folds for person in result.fold.test}
    probabilities = {info.name: run.probabilities(info) for info in store.recordings if info.person in posts}
    return score_recordings(run.scores_path, run.config, store, folds, choices, posts, probabilities)


def score_recordings(
    path: Path,
    config: dict[str, Any],
    store: Store,
    folds: Sequence[FoldResult],
    choices: Mapping[str, PostProcessingChoice],
    posts: Mapping[str, PostProcessing],
    probabilities: Mapping[str, NDArray[np.float32]],
) -> Results:
    """Score the recordings of the persons in ``posts``; ``probabilities`` ``(T,)`` are by name of the recording.

    Raises
    ------
    UserError
        If a value is not a probability.
    """
    recordings: Recordings = {}
    unlabelled: Recordings = {}
    for info in store.recordings:
        if info.person in posts:
            group = recordings if info.labelled else unlabelled
            recording = _detect(store, info, posts[info.person], probabilities[info.name])
            group.setdefault(info.person, {})[info.name] = recording
    scores = {person: score_person(list(by_name.values())) for person, by_name in sorted(recordings.items())}
    persons = pd.DataFrame.from_dict(scores, orient="index", columns=list(SCORES))
    summary = summarise(persons, np.random.default_rng(0))
    recordings, unlabelled = (dict(sorted(group.items())) for group in (recordings, unlabelled))
    return Results(
        path=path,
        config=config,
        store=store,
        folds=tuple(folds),
        choices=dict(choices),
        posts=dict(posts),
        recordings=recordings,
        unlabelled=unlabelled,
        persons=persons,
        summary=summary,
    )


def _detect(
    store: Store, info: RecordingInfo, post: PostProcessing, probabilities: NDArray[np.float32]
) -> ScoredRecording:
    detected = post.detect(probabilities, info.duration_s)
    return ScoredRecording(info.events, detected, info.duration_s, store.stored_labels(info), probabilities)
