"""What an encoder is, and the settings that one is made from."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from store import FeatureSpec


@dataclass(frozen=True, kw_only=True)
class EncoderSettings:
    """Which encoder, and how it computes."""

    encoder: str = "braincodec"
    """braincodec (the weights that ship), random (the same network untrained), bandpower, or a checkpoint file."""
    features: Literal["latents", "codes"] = "latents"
    """What is stored: the encoder's output as float16, or the quantizer's codes, 32 times smaller."""
    stride: int = 4
    """Seconds from one window's start to the next, 1 to 4."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the network; "auto" takes bfloat16 where the processor or GPU multiplies it."""
    device: str = "auto"
    """"cpu", "cuda", "cuda:1" and so on; "auto" takes a GPU if there is one."""


class FeatureExtractor(Protocol):
    """Turns windows of microvolts into features."""

    spec: FeatureSpec
    provenance: dict[str, Any]  # what is known of the encoder, JSON-ready
    codebooks: NDArray[np.float32] | None  # (Q, K, D) when the features are codes

    def encode(self, windows_uv: NDArray[np.float32]) -> NDArray[Any]:
        """``(B, C, N)`` microvolts at the spec's sample rate -> ``(B, F, C, D)``, or codes ``(B, F, C, Q)``."""
