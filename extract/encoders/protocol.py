"""What an encoder is, and the settings that one is made from.

A factory, a class or a function, takes `EncoderSettings` and gives a `FeatureExtractor`. The channels C are
`EncoderSettings.channels`, the 18 of the double banana unless another montage is asked for, windows have
``spec.window_s * spec.sample_rate_hz`` samples, and the features of a window are of ``spec.shape``: frames at
equal distances, all channels, dims. They depend on that window alone: not on the windows beside it in the batch,
not on earlier calls or chance. ``encode`` leaves the windows as they are. What breaks this is refused before any
recording is read, as `trial` finds it with two windows of noise. A complete encoder, in a file ``mine.py`` of the
working folder::

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

``python -m extract --bids DIR --store DIR --encoder mine:StandardDeviation`` fills a store with it. How an
installed package gives it a name is said in `registry`.
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
    "braincodec (the weights that ship for detection, by name braincodec-clips), braincodec-any-eeg (those that "
    "code EEG best), random (the same network untrained), bandpower, a checkpoint file, package.module:factory, "
    "the name that an installed package gives, or braindecode:NAME[@WEIGHTS]."
)
_QUANTIZERS = (
    "With --features codes: how many of BrainCodec's quantizers, from the first on, are stored, 64 bit/s a "
    "channel each. (default: 4, the published rate)"
)
_MONTAGE = (
    "Channels that are encoded: double-banana, referential-1020 (19 electrodes), behind-the-ear (the two channels "
    "of SeizeIT2), as-recorded, or a table with the columns name, anode, cathode."
)
_BEAM = (
    "With --features codes: sums of codes kept at each stage of choosing BrainCodec's codes; 1 is greedy. "
    "(default: as the checkpoint says)"
)


@dataclass(frozen=True, kw_only=True)
class EncoderSettings:
    """Which encoder, and how it computes."""

    encoder: Annotated[str, arg(metavar="ENCODER", help=_ENCODER)] = "braincodec"
    features: Literal["latents", "codes"] = "latents"
    """What is stored: the encoder's output as float16, or the quantizer's codes, 32 times smaller."""
    quantizers: Annotated[int | None, arg(metavar="N", help=_QUANTIZERS, help_behavior_hint="")] = None
    beam: Annotated[int | None, arg(metavar="N", help=_BEAM, help_behavior_hint="")] = None
    stride: int = 4
    """Seconds from one window's start to the next, 1 to 4."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the network; "auto" takes bfloat16 where the processor or GPU multiplies it."""
    device: Annotated[str, arg(metavar="DEVICE")] = "auto"
    """"cpu", "cuda", "cuda:1" and so on; "auto" takes a GPU if there is one."""
    montage: Annotated[
        str | None,
        arg(metavar="NAME|FILE", help=_MONTAGE, help_behavior_hint="(default: the encoder's, else double-banana)"),
    ] = None
    resolved: Suppress[Montage | None] = None
    """The montage of that name; a table and as-recorded are looked up before an encoder is made."""
    weights_sha256: Suppress[str] = ""
    """Of the store that is added to, or that a head was trained on; see `shipped.shipped_path`."""
    low_passed: Suppress[bool] = False
    """Whether the spec says that recordings above its rate were low-passed; see `registry.needs_low_pass`."""

    @property
    def input_montage(self) -> Montage:
        """The montage that is asked for; an encoder may state another where none is."""
        return self.resolved or NAMED[self.montage or "double-banana"]

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels C that the encoder is given, unless it states a montage of its own."""
        return self.input_montage.channels


class FeatureExtractor(Protocol):
    """Turns windows of microvolts into features.

    One whose attribute ``batch_invariant`` is true, which need not be there, gives a window the same features to
    the last bit whatever the other windows of its batch.
    """

    spec: FeatureSpec
    """Identity of the features; stores, runs and detectors compare it."""
    provenance: dict[str, Any]
    """What is known of the encoder, such as training data and persons seen; JSON."""
    codebooks: NDArray[np.float32] | None
    """Vectors ``(Q, K, D)`` that codes stand for; None for latents."""

    def encode(self, windows_uv: NDArray[np.float32]) -> NDArray[Any]:
        """``(B, C, N)`` at the spec's rate -> ``(B, F, C, D)`` floats, or codes ``(B, F, C, Q)``.

        In microvolts, unless the spec has another unit or normalisation; C is of its ``input_channels``.
        """


LOW_PASSED = ", low-passed first where the rate is higher"


def is_low_passed(spec: FeatureSpec) -> bool:
    """Whether features of a spec may be of recordings above its rate, which were low-passed."""
    return spec.resampling.endswith(LOW_PASSED)


EncoderFactory = Callable[[EncoderSettings], FeatureExtractor]
