"""Settings of a training, and the options of its command; without torch, so that these are read at once."""

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
    """How to train; two runs with the same settings on the same machine give the same weights."""

    steps: int = 7_000
    """Batches to train on; a finished run goes on when this is raised."""
    batch: int = 128
    """Windows of one channel in a batch."""
    learning_rate: float = 0.02
    """Highest of Muon, on the convolutions' weights, after the warm-up; a cosine leads it to zero at the end."""
    adamw_rate: float = 2e-3
    """Highest of AdamW, on the first convolution and the biases."""
    warmup: int = 50
    """Steps of the warm-up."""
    cooldown: float = 0.9
    """Share of the steps, the last ones, in which the cosine leads the rates to zero."""
    weight_decay: float = 0.1
    """Of Muon and AdamW."""
    average: float = 0.999
    """Decay of the running mean of the weights, which is what is validated and written."""
    clip: float = 1.0
    """Largest norm of a gradient."""
    quantize_from: int = 300
    """Step at which the codebooks start; until then --noise stands in. At 0, those of --start stay."""
    noise: float = 0.15
    """Standard deviation of the noise on latents, as a share of the latents' root mean square."""
    l2: float = 1.0
    """Weight of the relative root mean square error."""
    l1: float = 0.0
    """Weight of the relative absolute error."""
    line_length: float = 0.0
    """Weight of the error of the line length."""
    spectrogram: float = 0.0
    """Weight of the error of the spectrograms."""
    nested: float = 0.0
    """Share of batches that a random number of the first quantizers code, the published four the rest; 0: all."""
    freeze_encoder: bool = False
    """Fit the codebooks of --start to its latents, all at once, and then train its decoder alone."""
    commitment: float = 64.0
    """Weight of the distance of latents to their codes."""
    adversarial: float = 0.0
    """Weight of the loss against a discriminator of spectra; zero leaves the discriminator out."""
    feature_matching: float = 0.0
    """Weight of the distance of the discriminator's features."""
    adversarial_from: int = 10_000
    """Step at which the discriminator sets in."""
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    """Arithmetic of the convolutions; weights and codebooks are float32."""
    seed: int = 0
    """Of weights, batches and codebooks."""
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
    """What to train on, and where to."""

    bids: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR ...")]
    """Folders of BIDS data sets; every EEG channel is taken, of any montage, events are not read."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE.safetensors")]
    """Checkpoint to write (safetensors); the state to resume from stands beside it, with .state added."""
    start: Annotated[str | None, optional("NAME|FILE")] = None
    """Weights that ship, or a checkpoint, to begin with, of the same strides; by default random weights."""
    hold_out: Annotated[tuple[str, ...], optional("PERSON ...")] = ()
    """Persons to validate on and not to train on; FOLDER/PERSON where several data sets have one of that name."""


@dataclass(frozen=True, kw_only=True)
class PretrainCommand(TrainingSettings, TrainingFiles):
    """The command line of ``python -m extract.pretrain``."""

    ratios: Annotated[tuple[int, ...], tyro.conf.arg(metavar="STRIDE ...")] = BrainCodecConfig().ratios
    """Strides of the encoder."""
    quantizers: int = BrainCodecConfig().quantizers
    """Residual quantizers, 64 bit/s a channel each at the default strides; with --nested the first serve alone."""
    beam: int = 8
    """Sums of codes kept at each stage when codes are chosen, in training and after; 1 is greedy, as published."""
    device: Annotated[str, tyro.conf.arg(metavar="DEVICE")] = "auto"
    """Where to train: cpu, cuda, mps; auto takes a GPU if there is one, which rounds otherwise in each run."""
    force: bool = False
    """Overwrite a file at --out that is none of this training."""
