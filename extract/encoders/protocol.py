"""The interface of an encoder, and the settings it is made from.

A factory, a class or a function, takes `EncoderSettings` and returns a `FeatureExtractor`. The channels C are
`EncoderSettings.channels`: the 18 of the double banana, or those of ``--montage``. Windows have
``spec.window_s * spec.sample_rate_hz`` samples. The features of a window have the shape ``spec.shape``: evenly
spaced frames, all channels, dims. They must depend on this window alone: not on the other windows of its batch,
earlier calls or chance. ``encode`` must not change its windows. `trial` checks this on two windows of noise before
any recording is read. A complete encoder, in a file ``mine.py`` of the working folder::

    import numpy as np

    from extract.encoders.protocol import EncoderSettings
    from store import FeatureSpec


    class StandardDeviation:
        codebooks = None

        def __init__(self, settings: EncoderSettings) -> None:
            self.provenance = {"name": "standard-deviation"}
            self.spec = FeatureSpec(
                encoder="standard-deviation",
                weights_sha256="",
                features="latents",
                dtype="float16",
                sample_rate_hz=512,
                window_s=4,
                stride_s=settings.stride,
                hop=512,
                frames=4,
                dims=1,
                channels=settings.channels,
                resampling="linear, each window",
                precision="float32",
            )

        def encode(self, windows_uv):
            seconds = windows_uv.reshape(*windows_uv.shape[:2], 4, 512)
            return seconds.std(3).transpose(0, 2, 1)[..., None]

``python -m extract --bids DIR --store DIR --encoder mine:StandardDeviation`` fills a store with it. `registry`
says how an installed package registers a name for it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from tyro.conf import Suppress, arg

from extract.io.montage import NAMED, Montage
from store import FeatureSpec

_ENCODER = (
    "braincodec (the shipped weights for detection, now braincodec-clips), braincodec-any-eeg (shipped, smaller "
    "coding error), random (the same network untrained), bandpower, a checkpoint file, package.module:factory, "
    "a name registered by an installed package, or braindecode:NAME[@WEIGHTS]."
)
_QUANTIZERS = (
    "With --features codes: number of BrainCodec's quantizers to store, counted from the first, 64 bit/s per "
    "channel each. (default: 4, the published rate)"
)
_MONTAGE = (
    "Channels to encode: double-banana, referential-1020 (19 electrodes), behind-the-ear (the two channels of "
    "SeizeIT2), as-recorded, or a table with the columns name, anode, cathode."
)
_BEAM = (
    "With --features codes: width of the beam search that chooses BrainCodec's codes; 1 is greedy. "
    "(default: from the checkpoint)"
)


@dataclass(frozen=True, kw_only=True)
class EncoderSettings:
    """Options of the encoder."""

    encoder: Annotated[str, arg(metavar="ENCODER", help=_ENCODER)] = "braincodec"
    features: Literal["latents", "codes"] = "latents"
    """What to store: the encoder's output as float16, or the quantizer's codes, 32 times smaller."""
    quantizers: Annotated[int | None, arg(metavar="N", help=_QUANTIZERS, help_behavior_hint="")] = None
    beam: Annotated[int | None, arg(metavar="N", help=_BEAM, help_behavior_hint="")] = None
    stride: int = 4
    """Seconds between the starts of consecutive windows, 1 to 4."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the network; "auto" is bfloat16 if the processor or GPU supports it, else float32."""
    device: Annotated[str, arg(metavar="DEVICE")] = "auto"
    """"cpu", "cuda", "cuda:1" and so on; "auto" uses a GPU if there is one."""
    montage: Annotated[
        str | None,
        arg(metavar="NAME|FILE", help=_MONTAGE, help_behavior_hint="(default: the encoder's, else double-banana)"),
    ] = None
    resolved: Suppress[Montage | None] = None
    """The montage named by ``montage``; a table and as-recorded are resolved before the encoder is made."""
    weights_sha256: Suppress[str] = ""
    """Weights of the store to add to, or of a head's training store; see `shipped.shipped_path`."""
    low_passed: Suppress[bool] = False
    """Whether the spec says that recordings above its rate were low-passed; see `registry.needs_low_pass`."""

    @property
    def input_montage(self) -> Montage:
        """The requested montage; if none is requested, an encoder may set another one in its spec."""
        return self.resolved or NAMED[self.montage or "double-banana"]

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels C that the encoder receives, unless its spec sets a montage."""
        return self.input_montage.channels


class FeatureExtractor(Protocol):
    """Turns windows in microvolts into features.

    A true attribute ``batch_invariant``, which is optional, declares that a window has the same features, to the
    last bit, whatever else is in its batch.
    """

    spec: FeatureSpec
    """Identity of the features; stores, runs and detectors compare it."""
    provenance: dict[str, Any]
    """Facts about the encoder for JSON, such as training data and persons seen."""
    codebooks: NDArray[np.float32] | None
    """Codebook vectors ``(Q, K, D)``; None for latents."""

    def encode(self, windows_uv: NDArray[np.float32]) -> NDArray[Any]:
        """Encode ``(B, C, N)`` at the spec's rate as ``(B, F, C, D)`` floats, or codes ``(B, F, C, Q)``.

        Windows are in microvolts, unless the spec has another unit or normalisation; C are its ``input_channels``.
        """


LOW_PASSED = ", low-passed first where the rate is higher"


def is_low_passed(spec: FeatureSpec) -> bool:
    """Whether recordings above the spec's rate are allowed, after a low-pass filter."""
    return spec.resampling.endswith(LOW_PASSED)


EncoderFactory = Callable[[EncoderSettings], FeatureExtractor]
