"""Labels, detections and probabilities as `mne.Annotations`, to show over the EEG in MNE's browser."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.scoring.events import Detections
from store import RecordingInfo

_STEPS = 10  # of probability


def annotate_seizures(info: RecordingInfo) -> Any:
    """The annotated seizures of a recording, as `mne.Annotations` named by their types, such as ``sz``."""
    return _annotations((event.onset_s, event.duration_s, event.kind) for event in info.events)


def annotate_detections(path: str | Path) -> Any:
    """The events of a TSV that ``eval`` or ``eval.detect`` wrote, as `mne.Annotations` named ``detected``.

    Raises
    ------
    UserError
        If it is not such a file.
    """
    detections = Detections.from_tsv(Path(path).read_text(encoding="utf-8"), str(path))
    return _annotations((event.onset_s, event.stop_s - event.onset_s, "detected") for event in detections.events)


def annotate_probabilities(probabilities: NDArray[np.floating]) -> Any:
    """Seizure probabilities of seconds ``(T,)`` in steps of a tenth, as `mne.Annotations` named ``p 0.7``.

    Neighbouring seconds of one step are one annotation; below 0.1 there is none.

    Examples
    --------
    >>> found = annotate_probabilities(np.array([0.02, 0.71, 0.78, 0.3]))
    >>> [(float(each["onset"]), float(each["duration"]), each["description"]) for each in found]
    [(1.0, 2.0, 'p 0.7'), (3.0, 1.0, 'p 0.3')]
    """
    steps = np.floor(np.asarray(probabilities, np.float64) * _STEPS + 1e-9).astype(int)
    edges = np.flatnonzero(np.diff(steps, prepend=-1, append=-1))
    return _annotations(
        (start, stop - start, f"p {steps[start] / _STEPS:.1f}")
        for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        if steps[start] > 0
    )


def _annotations(rows: Iterable[tuple[float, float, str]]) -> Any:
    import mne  # here, since it takes a second

    onsets_s, durations_s, names = zip(*listed, strict=True) if (listed := list(rows)) else ((), (), ())
    return mne.Annotations(onsets_s, durations_s, names)
