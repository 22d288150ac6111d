"""Settings of pretraining and options of its command; without torch, to keep --help fast."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from extract.braincodec.config import BrainCodecConfig
from store.runtime.errors import UserError
from store.runtime.limits import SEEDS, require_limits
from store.runtime.options import optional

LIMITS = {
    **dict.fromkeys(("steps", "every"), (1, 10**9)),
    **dict.fromkeys(("warmup", "quantize_from", "adversarial_from"), (0, 10**9)),
    **dict.fromkeys(("learning_rate", "adamw_rate"), (0, 10)),
    **dict.fromkeys(("cooldown", "average", "nested"), (0, 1)),
    **dict.fromkeys(("weight_decay", "noise", "commitment"), (0, 10**6)),
    **dict.fromkeys(("l2", "l1", "line_length", "spectrogram"), (0, 10**6)),
    **dict.fromkeys(("adversarial", "feature_matching"), (0, 10**6)),
    **{"batch": (1, 10**6), "clip": (1e-6, 10**6), "seed": SEEDS},
}


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How to train. The same settings give the same weights on the same machine."""

    steps: int = 7_000
    """Training steps; raise the number to continue a finished training."""
    batch: int = 128
    """Single-channel windows per batch."""
    learning_rate: float = 0.02
    """Peak learning rate of Muon, for the convolutions' weights; a cosine decays it to zero."""
    adamw_rate: float = 2e-3
    """Peak learning rate of AdamW, for the first convolution and the biases."""
    warmup: int = 50
    """Steps of the warm-up."""
    cooldown: float = 0.9
    """Share of the steps, at the end, in which the cosine decays the learning rates to zero."""
    weight_decay: float = 0.1
    """Weight decay of Muon and AdamW."""
    average: float = 0.999
    """Decay of the running mean of the weights; the mean is validated and written."""
    clip: float = 1.0
    """Largest norm of a gradient."""
    quantize_from: int = 300
    """Step at which quantization starts; --noise replaces it before. With 0, the codebooks of --start are kept."""
    noise: float = 0.15
    """Standard deviation of the noise on latents, relative to the latents' root mean square."""
    l2: float = 1.0
    """Loss weight of the relative root mean square error."""
    l1: float = 0.0
    """Loss weight of the relative absolute error."""
    line_length: float = 0.0
    """Loss weight of the line length's error."""
    spectrogram: float = 0.0
    """Loss weight of the spectrograms' error."""
    nested: float = 0.0
    """Share of batches coded by a random number of quantizers, the others by the published four; 0: always all."""
    freeze_encoder: bool = False
    """Fit all codebooks of --start to its latents together, then train only its decoder."""
    commitment: float = 64.0
    """Loss weight of the distance between latents and their codes."""
    adversarial: float = 0.0
    """Loss weight of the spectral discriminator; 0: no discriminator."""
    feature_matching: float = 0.0
    """Loss weight of the distance between the discriminator's features."""
    adversarial_from: int = 10_000
    """Step at which the discriminator starts."""
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    """Precision of the convolutions; weights and codebooks are float32."""
    seed: int = 0
    """Random seed of weights, batches and codebooks."""
    every: int = 500
    """Steps between validations and saved states."""

    def check(self) -> None:
        """Refuse values that cannot train.

        Raises
        ------
        UserError
            Naming the setting and what it allows.
        """
        require_limits(self, LIMITS)
        if not self.loss_weights | self.adversarial_weights:
            raise UserError("--l2, --l1, --line-length, --spectrogram: all are 0; give one of them more than 0")

    @property
    def loss_weights(self) -> dict[str, float]:
        """Losses of the reconstruction that have a weight."""
        names = ("l2", "l1", "line_length", "spectrogram")
        return {name: getattr(self, name) for name in names if getattr(self, name)}

    @property
    def adversarial_weights(self) -> dict[str, float]:
        """Losses against the discriminator that have a weight."""
        names = ("adversarial", "feature_matching")
        return {name: getattr(self, name) for name in names if getattr(self, name)}


@dataclass(frozen=True, kw_only=True)
class TrainingFiles:
    """Training data and output."""

    bids: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR ...")]
    """Folders of BIDS data sets; every EEG channel of any montage is used, events are not read."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE.safetensors")]
    """Checkpoint to write (safetensors); the state to resume from is beside it, with .state added."""
    start: Annotated[str | None, optional("NAME|FILE")] = None
    """Shipped weights, or a checkpoint with the same strides, to start from; by default random weights."""
    hold_out: Annotated[tuple[str, ...], optional("PERSON ...")] = ()
    """Persons to validate on, not to train on; FOLDER/PERSON if several data sets have one of that name."""


@dataclass(frozen=True, kw_only=True)
class PretrainCommand(TrainingSettings, TrainingFiles):
    """The command line of ``python -m extract.pretrain``."""

    ratios: Annotated[tuple[int, ...], tyro.conf.arg(metavar="STRIDE ...")] = BrainCodecConfig().ratios
    """Strides of the encoder."""
    quantizers: int = BrainCodecConfig().quantizers
    """Number of residual quantizers, 64 bit/s per channel each at the default strides; see --nested."""
    beam: int = 8
    """Width of the beam search that chooses codes, in training and after; 1 is greedy, as published."""
    device: Annotated[str, tyro.conf.arg(metavar="DEVICE")] = "auto"
    """Where to train: cpu, cuda, mps; auto uses a GPU if there is one. GPU runs differ by rounding."""
    force: bool = False
    """Overwrite another file at --out; weights and features are never overwritten."""
