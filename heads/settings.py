"""Settings of a head and of its training, shared by commands, sweeps and saved heads."""

import ast
import inspect
import math
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
    """Type and size of a head; a head ignores settings that it does not have."""

    head: Annotated[str, tyro.conf.arg(metavar="HEAD")] = "spatial-fusion"
    """spatial-fusion, linear, pooled-linear, one of an installed package, or your own as package.module:Name."""
    filters: int = 64
    """Spatial filters: outputs of the convolution over all electrodes."""
    pooling: Literal["max", "max-std", "max-std-electrodes"] = "max-std"
    """Input of the MLP per filter: maximum; log maximum and log sd; or these and the probe's features."""
    hidden: int = 128
    """Hidden units of the MLP."""
    dropout: float = 0.25
    """Dropout rate of the hidden units."""
    context_s: int = 5
    """Average the logits of this many seconds, an odd number, around each second; 1: no averaging."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What a command may do to an existing run folder."""

    retrain: bool = False
    """Move folds aside that were trained on other labels, persons, features or code of a head; retrain them."""
    force: bool = False
    """Write the run into a folder that contains other files."""


_PROGRAM_GIB = 0.5  # of the program, before it trains
_MEMORY_GIB = (0.75, 1e6)
_INNER = (
    "Inner heads that choose epoch, threshold and post-processing of a fold. N: divide all other persons into N "
    "groups and predict each group with a head trained on the rest; pairs: the same, with each person as a group; "
    "one: no inner heads, the next persons validate and do not train. (default: 4, or that of the run folder)"
)
_SPLIT = (
    "Use a given split instead of folds: a tab-separated table with the columns person (or participant_id) and "
    "split, or a column of participants.tsv. Values: train, validation (val, dev), test (eval). One head is "
    "trained; choices are made on the validation persons, scores are of the test persons."
)


@dataclass(frozen=True, kw_only=True)
class InnerOption:
    """Inner heads of a fold."""

    inner: Annotated[int | Literal["pairs", "one"] | None, optional("N|pairs|one", _INNER)] = None


@dataclass(frozen=True, kw_only=True)
class SplitOption:
    """A given split."""

    split: Annotated[str | None, optional("FILE|participants:COLUMN", _SPLIT)] = None


@dataclass(frozen=True, kw_only=True)
class MemoryOption:
    """Memory limit of training."""

    memory: Annotated[float, tyro.conf.arg(metavar="GIB")] = 3.5
    """Memory of each job, apart from the mapped features; with less, fewer heads train together."""

    @property
    def kept_bytes(self) -> int:
        """Bytes for features in the form that a head reads.

        Raises
        ------
        UserError
            If the memory does not suffice for any training, or is no amount.
        """
        if not is_within(self.memory, _MEMORY_GIB):
            raise UserError(f"--memory {self.memory}: not usable; allowed: {describe_limits(_MEMORY_GIB)} GiB")
        return int((self.memory - _PROGRAM_GIB) / 3 * (1 << 30))

    def group_bytes(self, nested: bool) -> int:
        """Bytes for heads that train together; more of them let nested folds share more inner heads."""
        return self.kept_bytes * (2 if nested else 1)


@dataclass(frozen=True)
class TrainSettings(HeadSettings):
    """Settings of a head and of its training."""

    epochs: int = 30
    """Largest number of epochs."""
    patience: int = 8
    """Epochs without a better validation AUROC before a fold stops."""
    batch_windows: int = 256
    """Windows per batch."""
    lr: float = 1e-3
    """Learning rate of AdamW."""
    weight_decay: float = 1e-2
    """Weight decay of AdamW, for weights, not for biases."""
    clip_norm: float = 1.0
    """Largest norm of a head's gradient."""
    positive_weight: float | None = None
    """Loss weight of seizure seconds; none balances the classes of the training persons."""
    background_per_seizure: float | None = 10.0
    """Background windows per seizure window of a person, who counts as having one at least; none uses all."""
    seed: int = 0
    """Seed of initial weights and dropout. The order of windows is the same for every seed."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the spatial filters in training; "auto" is bfloat16 if the processor supports it."""

    def check(self, as_options: bool = True) -> None:
        """Refuse values that cannot train.

        Parameters
        ----------
        as_options
            Name a setting as on the command line, else as in Python.

        Raises
        ------
        UserError
            Naming the setting and what it allows.
        """
        require = partial(self._require, as_options)
        for name in ("filters", "hidden", "epochs", "patience", "batch_windows"):
            require(name, getattr(self, name) >= 1, "1 and more")
        require("lr", 0 < self.lr < math.inf, "more than 0, finite")
        require("clip_norm", self.clip_norm > 0, "more than 0")
        require("weight_decay", 0 <= self.weight_decay < math.inf, "0 and more, finite")
        require("seed", is_within(self.seed, SEEDS), describe_limits(SEEDS))
        require("context_s", self.context_s >= 1 and self.context_s % 2 == 1, "odd numbers from 1")
        require("dropout", 0 <= self.dropout < 1, "from 0 to less than 1")
        require("pooling", self.pooling in POOLINGS, ", ".join(POOLINGS))
        require("precision", self.precision in ("auto", "float32", "bfloat16"), "auto, float32, bfloat16")
        for name in ("positive_weight", "background_per_seizure"):
            value = getattr(self, name)
            require(name, value is None or 0 < value < math.inf, "more than 0, finite, or none")

    def _require(self, as_option: bool, name: str, fine: bool, allowed: str) -> None:
        if not fine:
            value = getattr(self, name)
            given = f"--{name.replace('_', '-')} {value}: not usable" if as_option else f"{name} is {value}"
            raise UserError(f"{given}; allowed: {allowed}")


def field_sentences(settings: type) -> dict[str, str]:
    """Docstring below each field of a dataclass and of its bases.

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
