"""Read scored runs from their files, and describe how two of them differ."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from eval.scoring.scored_heads import SCORED, find_scored_heads, hash_scored, list_files
from eval.scoring.scores import SCORES
from eval.scoring.tested import read_tested
from heads.folds import Fold
from heads.run_folder import Run, describe_head
from heads.run_folder.store_change import find_change, name_folds, open_recorded
from store.gate import read_json
from store.runtime.commands import command_line
from store.runtime.errors import UserError
from store.runtime.plurals import list_names, noun_with_names


@dataclass(frozen=True)
class ScoredRun:
    """A folder of scores: a run, or its heads tested on another store."""

    path: Path
    config: dict[str, Any]
    scores: pd.DataFrame  # one row per person
    folds: dict[str, Fold]
    name: str  # of the folder, or of those above that tell it from other runs

    @property
    def tested(self) -> set[str]:
        """Persons that the folds test, with labels or without."""
        return {person for fold in self.folds.values() for person in fold.test}

    @property
    def description(self) -> str:
        """Head, encoder and features."""
        spec, tested = self.config["store"].get("spec", {}), read_tested(self.config)
        head = describe_head(self.config["settings"])
        text = f"{head} on {spec.get('encoder', 'unknown')} {spec.get('features', 'features')}"
        return f"{text}, trained in {tested.get('run')}" if tested else text


def read_scored_run(path: Path) -> ScoredRun:
    """Read the scores that ``python -m eval`` wrote.

    Raises
    ------
    UserError
        If there is no run, if it was not scored or not since its heads or its store changed, or if a file is
        damaged.
    """
    run = Run.open(path)
    scores, time_in_alarm = read_metrics(path)
    scored = ScoredRun(path, run.config, scores, _read_folds(run), path.resolve().name)
    if differing := sorted({*scores.index, *time_in_alarm.index} ^ scored.tested):
        raise UserError(
            f"{path / 'metrics.json'}: only the scores or only the folds have "
            f"{noun_with_names('person', differing)}; run: {command_line('eval', path)}"
        )
    if not is_current(run):
        raise UserError(
            f"{path / 'metrics.json'}: heads, post-processing, store or scoring method changed since; "
            f"run: {command_line('eval', path)}"
        )
    return scored


def read_metrics(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores of persons in a folder's ``metrics.json``, and the time in alarm of those with unlabelled recordings.

    Raises
    ------
    UserError
        If the folder was not scored, or the file is damaged.
    """
    metrics = path / "metrics.json"
    if not metrics.is_file():
        raise UserError(f"{metrics}: not scored yet; run: {command_line('eval', path)}")
    content = read_json(metrics)
    try:
        return _read_scores(content), _read_time_in_alarm(content)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{metrics}: damaged ({error!r}); run {command_line('eval', path)} again") from error


def require_same_test(baseline: ScoredRun, other: ScoredRun) -> None:
    """Refuse to compare what was not measured on the same recordings.

    Raises
    ------
    UserError
        Naming the persons that only one of them tests, or that have other seconds or seizures, or the run that
        tests no labelled recording.
    """
    for run in (baseline, other):
        if run.scores.empty:
            raise UserError(
                f"{run.path}: none of its tested recordings is labelled, so that it has no scores to compare; "
                "give runs that are tested on labelled recordings"
            )
    if only := sorted({*baseline.scores.index} ^ {*other.scores.index}):
        raise UserError(
            f"{other.path}: persons {list_names(only)} are tested either here or in {baseline.path}, not in both; "
            "only runs that test the same persons compare"
        )
    columns = ["seconds", "ictal_seconds"]
    if not baseline.scores[columns].sort_index().equals(other.scores[columns].sort_index()):
        raise UserError(
            f"{other.path}: its persons have other seconds or seizures than in {baseline.path}; "
            "only runs on the same recordings compare"
        )


def describe_moved_store(run: ScoredRun) -> str | None:
    """How the store of a run has changed since the run was trained; None if it has not, or is not there."""
    try:
        store = open_recorded(run.config["store"])
        change = find_change(run.config["store"], store)
    except (UserError, KeyError):
        return None
    if not change:
        return None
    folds = [fold for fold in run.folds.values() if change.concerns(fold)]
    return f"its store has changed since ({change}); this affects {name_folds(folds) if folds else 'no fold'}"


def describe_differences(
    baseline: ScoredRun, other: ScoredRun, spec_fields: Collection[str] | None = None
) -> list[str]:
    """What else is not the same in two runs: settings, features, the persons of folds.

    Parameters
    ----------
    spec_fields
        Which fields of the features' spec to compare; all by default.
    """
    parts = []
    for entry, (old, new) in {
        "": (baseline.config["settings"], other.config["settings"]),
        "features' ": (_spec(baseline, spec_fields), _spec(other, spec_fields)),
    }.items():
        keys = sorted(key for key in old.keys() & new.keys() if old[key] != new[key])
        parts += [f"{entry}{key} is {_short(new[key])}, not {_short(old[key])}" for key in keys]
        for run, alone in ((other, new.keys() - old.keys()), (baseline, old.keys() - new.keys())):
            if alone:
                parts.append(f"only {run.name} has {entry or 'settings '}{', '.join(sorted(alone))}")
    names = sorted(
        name
        for name in baseline.folds.keys() | other.folds.keys()
        if baseline.folds.get(name) != other.folds.get(name)
    )
    if names:
        parts.append(f"other persons train or validate in {noun_with_names('fold', names)}")
    return parts


def is_current(run: Run) -> bool:
    """Whether ``metrics.json`` is of heads, post-processing and store as they are, as far as these are there.

    An earlier version did not write of which it is: then no file of a head is newer.
    """
    heads, metrics = find_scored_heads(run), run.path / "metrics.json"
    if heads is None:
        return True
    if (recorded := read_json(metrics).get(SCORED)) is not None:
        return bool(recorded == hash_scored(run.config, heads))
    written_s = metrics.stat().st_mtime
    return all(path.stat().st_mtime <= written_s for result in heads for path in list_files(result))


def _read_scores(content: Mapping[str, Any]) -> pd.DataFrame:
    """Scores of ``metrics.json``, one row per person, with dotted names; undefined is nan."""
    rows = {}
    for person, fields in content["persons"].items():
        flat = {}
        for name, value in fields.items():
            group = (
                {f"{name}.{key}": item for key, item in value.items()}
                if isinstance(value, dict)
                else {name: value}
            )
            flat.update({key: math.nan if item is None else float(item) for key, item in group.items()})
        flat["event.fp"] = _count_false_alarms(content, person, flat)
        rows[str(person)] = flat
    scores = pd.DataFrame.from_dict(rows, orient="index").rename_axis("person")
    return scores if rows else scores.reindex(columns=list(SCORES)).astype(float)


def _read_time_in_alarm(content: Mapping[str, Any]) -> pd.DataFrame:
    """Recordings, hours and share in alarm of persons with unlabelled recordings."""
    rows = content.get("time_in_alarm", {})
    columns = {"recordings": int, "hours": float, "alarmed": float}
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(columns)).astype(columns)


def _count_false_alarms(content: Mapping[str, Any], person: str, scores: Mapping[str, float]) -> float:
    """False alarms of a person; an earlier version wrote their rate alone."""
    counts = content.get("counts", {}).get("persons", {}).get(person)
    return float(counts["fp"]) if counts else round(scores["event.fp_per_day"] * scores["seconds"] / 86400)


def _read_folds(run: Run) -> dict[str, Fold]:
    """Folds that tested persons, by name."""
    tested = read_tested(run.config)
    if tested is None:
        return {result.fold.name: result.fold for result in run.folds if result.fold.test}
    return {
        name: Fold(name, tuple(head["test"]), (), tuple(head["train"])) for name, head in tested["heads"].items()
    }


def _spec(run: ScoredRun, fields: Collection[str] | None) -> dict[str, Any]:
    spec = run.config["store"].get("spec", {})
    return {name: value for name, value in spec.items() if fields is None or name in fields}


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
