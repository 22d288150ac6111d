"""The interface through which the report reads EEG; the implementation comes from outside."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class EegSnippet:
    """A stretch of a recording in microvolts."""

    start_s: float
    signal_uv: NDArray[np.float32]  # (C, N)
    sample_rate_hz: float
    channels: tuple[str, ...]
    channel_mask: tuple[bool, ...]  # False where a channel is missing


class EegReader(Protocol):
    """Reads EEG of a recording, by its name."""

    def __call__(self, recording: str, start_s: float, stop_s: float, /) -> EegSnippet:
        """Read what the recording has from start to stop."""
