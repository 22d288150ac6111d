"""Reasons to trust scores less than their figures suggest."""

from collections.abc import Mapping, Sequence

import pandas as pd

from eval.scoring.choice import PostProcessingChoice
from heads.folds import Fold

_BACKGROUND_S = 3600
_FEWEST_PERSONS = 5
_MOST_ALARMED = 0.5  # share of the background


def find_warnings(
    persons: pd.DataFrame,
    persons_seen: Sequence[str],
    folds: Sequence[Fold],
    choices: Mapping[str, PostProcessingChoice],
) -> list[str]:
    """Sentences on what weakens the scores, the most serious first.

    Parameters
    ----------
    persons
        Scores, a row a tested person.
    persons_seen
        Persons that the encoder saw in pretraining.
    """
    tested = set(persons.index)
    leaks = sorted(fold.name for fold in folds if set(fold.test) & {*fold.train, *fold.validation})
    overlap = sorted(set(persons_seen) & tested)
    background_s = persons["seconds"] - persons["ictal_seconds"]
    little = int((background_s < _BACKGROUND_S).sum())
    without = sorted(persons.index[persons["ictal_seconds"] == 0])
    alarmed_s = persons["sample.fp_per_day"] * persons["seconds"] / 86400
    everywhere = sorted(persons.index[alarmed_s > _MOST_ALARMED * background_s])
    edges = sorted(name for name, choice in choices.items() if choice.at_edge)
    checks = [
        (
            leaks,
            f"folds that chose or trained on the persons they test: {', '.join(leaks)}; do not use their scores",
        ),
        (
            overlap,
            f"the encoder saw persons of these names in pretraining: {', '.join(overlap)}; if they are the tested "
            "ones (the same data set), their scores are no test of new persons",
        ),
        (
            little,
            f"{little} of {len(persons)} persons have less than 1 h of background "
            f"({background_s.sum() / 3600:.1f} h in all): false-alarm rates, precision and event F1 mean little",
        ),
        (
            without,
            f"persons without seizures: {', '.join(without)}; their AUROC, AUPRC and sensitivity are undefined "
            "and left out of the means",
        ),
        (
            len(persons) < _FEWEST_PERSONS,
            f"only {len(persons)} tested person{'s' * (len(persons) != 1)}: means and intervals say little "
            "about new persons",
        ),
        (
            everywhere,
            f"detections cover more than half of the background of persons {', '.join(everywhere)}; their event "
            "scores look better than that, since neighbouring events are merged",
        ),
        (
            edges,
            f"the threshold lies at the edge of what was tried in folds {', '.join(edges)}: "
            "validation persons do not pin it down",
        ),
    ]
    return [text for applies, text in checks if applies]
