"""Run a detector on live samples."""

from collections.abc import Callable, Iterator

import numpy as np

from eval.detection.detector import Detector
from eval.scoring.event_tracker import EventTracker, average_logits, merge_seconds
from eval.scoring.events import DetectedEvent
from extract.io.stream import SampleStream, lookahead_s
from store.schema import count_seconds


def latency_s(detector: Detector, sample_rate_hz: float) -> float:
    """Most seconds of EEG from the end of an event until it is reported.

    The second after it has to be judged: by all windows that hold it, with what filters, the head's context and
    the smoothing take from later seconds.
    """
    spec = detector.spec
    later_s = detector.head.context_s // 2 + detector.post.smoothing_s // 2
    return spec.window_s + lookahead_s(spec, sample_rate_hz) + later_s


def predict_stream(detector: Detector, stream: SampleStream) -> Iterator[np.float32]:
    """Seizure probability of each second, as soon as no later window changes it."""
    windows = stream.windows(detector.spec)
    values = (detector.predict_windows(window_uv, stream.channel_mask)[0] for window_uv in windows)
    seconds = _until_end(merge_seconds(values, detector.spec.stride_s), stream)
    return average_logits(seconds, detector.head.context_s) if detector.head.context_s > 1 else seconds


def detect_stream(
    detector: Detector,
    stream: SampleStream,
    report: Callable[[DetectedEvent], object],
    record: Callable[[np.float32], object],
) -> None:
    """Report each event when it has ended, and the probability of each second.

    Raises
    ------
    UserError
        If a sample is not finite, or the last one does not have all channels.
    """
    tracker = EventTracker(detector.post, report)
    for probability in predict_stream(detector, stream):
        record(probability)
        tracker.add(probability)
    tracker.finish(stream.duration_s)


def _until_end(values: Iterator[np.float32], stream: SampleStream) -> Iterator[np.float32]:
    """Leave out the seconds of the last window that lie beyond the recording's end."""
    for second, value in enumerate(values):
        if stream.has_ended and second >= count_seconds(stream.duration_s):
            return
        yield value
