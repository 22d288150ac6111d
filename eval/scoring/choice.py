"""The chosen post-processing of a fold, and its file."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from eval.scoring.postprocess import PostProcessing
from store.gate import read_json
from store.runtime.commands import command_line
from store.runtime.errors import UserError

POSTPROCESSING = "postprocessing.json"  # in the folder of each fold
METHOD = 2  # counted up when equal predictions give another choice
THRESHOLDS = tuple(float(p) for p in (1 / (1 + np.exp(-np.arange(-5, 5.5, 0.5)))).round(4))  # even in log odds
HYSTERESIS_RATIOS = (1.0, 0.5)
SMOOTHING_S = (1, 5, 15)
MIN_DURATIONS_S = (1, 5, 10, 20)
TRIED = {
    "threshold": THRESHOLDS,
    "hysteresis_ratio": HYSTERESIS_RATIOS,
    "smoothing_s": SMOOTHING_S,
    "min_duration_s": MIN_DURATIONS_S,
}


@dataclass(frozen=True)
class PostProcessingChoice:
    """The post-processing of a fold, and its scores on the validation persons."""

    post: PostProcessing
    f1: float  # of events, mean over persons
    fp_per_day: float
    temperature: float = math.nan  # of its probabilities, nan if not known
    made_from: str = field(default="", compare=False)  # hash of predictions and labels, empty if not known

    @property
    def at_edge(self) -> bool:
        """Whether the threshold is the lowest or the highest that was tried."""
        return self.post.threshold in (THRESHOLDS[0], THRESHOLDS[-1])

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "PostProcessingChoice":
        """Inverse of `to_json`; spellings of earlier versions are read, scores that are not there are nan.

        Raises
        ------
        UserError
            Naming the field that is missing or not such a number.
        """
        scores: Any = content
        for name in ("validation", "event"):
            scores = scores.get(name) if isinstance(scores, Mapping) else None
        scores = scores if isinstance(scores, Mapping) else {}
        f1, fp_per_day = (
            float(value) if isinstance(value, int | float) else math.nan
            for value in (scores.get("f1"), scores.get("fp_per_day"))
        )
        temperature = content.get("temperature")
        if not isinstance(temperature, int | float) or not temperature > 0:
            temperature = math.nan
        made_from = str(content.get("made_from", ""))
        return cls(PostProcessing.from_json(content), f1, fp_per_day, float(temperature), made_from)

    def to_json(self) -> dict[str, Any]:
        """Settings, their validation scores and what was tried."""
        return {
            **asdict(self.post),
            "temperature": None if math.isnan(self.temperature) else self.temperature,
            "validation": {"event": {"f1": self.f1, "fp_per_day": self.fp_per_day}},
            "tried": TRIED,
            **({"made_from": self.made_from} if self.made_from else {}),
        }


def read_choice(path: Path) -> PostProcessingChoice:
    """Post-processing of a fold, from the file in its folder.

    Raises
    ------
    UserError
        If it was not chosen yet, or if the file is damaged.
    """
    run = next(folder.parent for folder in path.parents if folder.name == "folds")
    if not path.is_file():
        raise UserError(f"{path}: post-processing is not chosen yet; {command_line('eval', run)} does it")
    content = read_json(path)
    try:
        return PostProcessingChoice.from_json(content)
    except UserError as error:
        raise UserError(f"{path}: damaged ({error}); run {command_line('eval', run)} again") from error
