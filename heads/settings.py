"""What a head is and how it is trained: the settings that commands, sweeps and saved heads share."""

import ast
import inspect
import textwrap
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Annotated, Literal

import tyro

from store.runtime.errors import UserError
from store.runtime.limits import SEEDS, describe_limits, is_within
from store.runtime.options import optional

POOLINGS = ("max", "max-std", "max-std-electrodes")


@dataclass(frozen=True)
class HeadSettings:
    """Which head, and its size; a head uses the settings that it knows."""

    head: Annotated[str, tyro.conf.arg(metavar="HEAD")] = "spatial-fusion"
    """spatial-fusion, linear, pooled-linear, one of an installed package, or your own as package.module:Name."""
    filters: int = 64
    """Spatial filters: outputs of the convolution over all electrodes."""
    pooling: Literal["max", "max-std", "max-std-electrodes"] = "max-std"
    """What the MLP sees of a filter: maximum; log maximum and deviation; or these, and what the probe takes."""
    hidden: int = 128
    """Hidden units of the MLP."""
    dropout: float = 0.25
    """Share of hidden units left out in training."""
    context_s: int = 5
    """Seconds whose logits a prediction averages, an odd number: a second and its neighbours; 1 takes it alone."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a command may treat the run folder that is there."""

    retrain: bool = False
    """Move folds that were trained on other labels, persons or features aside, and train them again."""
    force: bool = False
    """Make the run in a folder that holds other files."""


_PROGRAM_GIB = 0.5  # of the program, before it trains
_LEAST_GIB = 0.75
_INNER = (
    "Who chooses epoch, threshold and post-processing of a fold. N: all persons that are not tested, in N groups, "
    "each predicted by a head trained on the others; pairs: the same, each person a group of its own; one: the "
    "next persons after the tested one, which then do not train. 4 if not given, or as the run folder has it."
)
_SPLIT = (
    "A given split instead of folds: a table with columns person (or participant_id) and split, tabs between, or "
    "a column of participants.tsv. Its values: train, validation (val, dev), test (eval). The validation persons "
    "choose, the test persons are scored, with one head."
)


@dataclass(frozen=True, kw_only=True)
class InnerOption:
    """Who chooses for a fold."""

    inner: Annotated[int | Literal["pairs", "one"] | None, optional("N|pairs|one", _INNER)] = None


@dataclass(frozen=True, kw_only=True)
class SplitOption:
    """A given split."""

    split: Annotated[str | None, optional("FILE|participants:COLUMN", _SPLIT)] = None


@dataclass(frozen=True, kw_only=True)
class MemoryOption:
    """How much memory training may take."""

    memory: Annotated[float, tyro.conf.arg(metavar="GIB")] = 3.5
    """Memory to train in, of each job, beside the mapped features: with less, fewer heads train together."""

    @property
    def kept_bytes(self) -> int:
        """Bytes for features in the form that a head takes.

        Raises
        ------
        UserError
            If the memory does not suffice for any training.
        """
        if not self.memory >= _LEAST_GIB:
            raise UserError(f"--memory {self.memory}: not usable; allowed: {_LEAST_GIB} GiB and more")
        return int((self.memory - _PROGRAM_GIB) / 3 * (1 << 30))

    def group_bytes(self, nested: bool) -> int:
        """Bytes for heads that train together; the more of nested folds do, the more inner heads they share."""
        return self.kept_bytes * (2 if nested else 1)


@dataclass(frozen=True)
class TrainSettings(HeadSettings):
    """A head and how it is trained."""

    epochs: int = 30
    """Passes over the data at most."""
    patience: int = 8
    """Epochs without a better validation AUROC after which a fold stops."""
    batch_windows: int = 256
    """Windows in a batch."""
    lr: float = 1e-3
    """Learning rate of AdamW."""
    weight_decay: float = 1e-2
    """Decoupled weight decay of AdamW, on weights, not on biases."""
    clip_norm: float = 1.0
    """Largest norm of a head's gradient."""
    positive_weight: float | None = None
    """Weight of seizure seconds in the loss; none balances the classes of the training persons."""
    background_per_seizure: float | None = 10.0
    """Background windows drawn for each seizure window, anew each epoch; none takes all."""
    seed: int = 0
    """Seed of initial weights and dropout. The order of windows is the same for every seed."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the spatial filters in training; "auto" takes bfloat16 where the processor multiplies it."""

    def check(self, as_options: bool = True) -> None:
        """Refuse values that cannot train.

        Parameters
        ----------
        as_options
            Name a setting as a command takes it; else as Python does.

        Raises
        ------
        UserError
            Naming the setting and what it allows.
        """
        require = partial(self._require, as_options)
        for name in ("filters", "hidden", "epochs", "patience", "batch_windows"):
            require(name, getattr(self, name) >= 1, "1 and more")
        for name in ("lr", "clip_norm"):
            require(name, getattr(self, name) > 0, "more than 0")
        require("weight_decay", self.weight_decay >= 0, "0 and more")
        require("seed", is_within(self.seed, SEEDS), describe_limits(SEEDS))
        require("context_s", self.context_s >= 1 and self.context_s % 2 == 1, "odd numbers from 1")
        require("dropout", 0 <= self.dropout < 1, "from 0 to less than 1")
        require("pooling", self.pooling in POOLINGS, ", ".join(POOLINGS))
        require("precision", self.precision in ("auto", "float32", "bfloat16"), "auto, float32, bfloat16")
        require("positive_weight", self.positive_weight is None or self.positive_weight > 0, "more than 0")
        ratio = self.background_per_seizure
        require("background_per_seizure", ratio is None or ratio > 0, "more than 0")

    def _require(self, as_option: bool, name: str, fine: bool, allowed: str) -> None:
        if not fine:
            value = getattr(self, name)
            given = f"--{name.replace('_', '-')} {value}: not usable" if as_option else f"{name} is {value}"
            raise UserError(f"{given}; allowed: {allowed}")


def field_sentences(settings: type) -> dict[str, str]:
    """What the docstring below each field of a dataclass says, those of its bases too.

    >>> field_sentences(HeadSettings)["hidden"]
    'Hidden units of the MLP.'
    """
    sentences: dict[str, str] = {}
    for base in reversed(settings.__mro__[:-1]):
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        statements = body.body if isinstance(body, ast.ClassDef) else []
        for field, text in pairwise(statements):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                sentences[ast.unparse(field.target)] = str(ast.literal_eval(text.value))
    return sentences
