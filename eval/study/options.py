"""Options of ``python -m eval.study``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from eval.study.jobs import PROBE, require_distinct
from store.runtime.device import choose_device
from store.runtime.errors import UserError
from store.runtime.limits import SEEDS, require_within
from store.runtime.options import optional
from store.runtime.parallel import WorkerSettings

_INNER = (
    "Inner heads that choose epoch, threshold and post-processing of a fold, as for train: a number of groups, "
    "pairs, or one. The probe always uses 4 groups. (default: 4, or that of the existing study)"
)


@dataclass(frozen=True, kw_only=True)
class StudyTarget:
    """Input, output and combinations; first in the help."""

    bids: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder of the BIDS data set."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder of the study: stores, runs, and study.html with its tables."""
    encoders: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ("braincodec", "random", "bandpower")
    """Encoders, as for extract; every combination is compared with the first encoder, features and head."""
    features: Annotated[tuple[Literal["latents", "codes"], ...], tyro.conf.arg(metavar="latents|codes ...")] = (
        "latents",
    )
    """Features to store; codes are skipped for encoders without a quantizer."""
    heads: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ("spatial-fusion", "linear", PROBE)
    """Heads, as for train, and "probe" for the linear probe."""
    seeds: Annotated[tuple[int, ...], tyro.conf.arg(metavar="N ...")] = (0,)
    """Seeds of each head, trained together; scores are averaged over seeds. The probe needs no seed."""
    test_bids: Annotated[Path | None, optional("DIR")] = None
    """Another BIDS data set to test heads on that were trained on all persons."""


@dataclass(frozen=True, kw_only=True)
class StudyCommand(WorkerSettings, StudyTarget):
    """The command line of ``python -m eval.study``."""

    inner: Annotated[int | Literal["pairs", "one"] | None, optional("N|pairs|one", _INNER)] = None
    unlabelled: bool = False
    """Accept recordings of --test-bids without an events file, for their time in alarm."""
    skip_unusable: bool = False
    """Leave out recordings that cannot be used."""
    retrain: bool = False
    """Move heads that were trained on other labels, persons or features aside, and train them again."""
    device: Annotated[str, tyro.conf.arg(metavar="DEVICE")] = "auto"
    """"cpu", "cuda", "cuda:1" and so on; "auto" uses a GPU if there is one."""

    def check(self) -> None:
        """Refuse mistakes that show before any data is read.

        Raises
        ------
        UserError
            Naming the option.
        """
        for option in ("encoders", "features", "heads", "seeds"):
            if not getattr(self, option):
                raise UserError(f"--{option}: nothing given; give one or more, or leave the option out")
        super().check()
        for seed in self.seeds:
            require_within("--seeds", seed, SEEDS)
        if self.unlabelled and self.test_bids is None:
            raise UserError("--unlabelled goes with --test-bids DIR; give it, or leave --unlabelled out")
        trained = [head for head in self.heads if head != PROBE]
        if self.inner is not None and not trained:
            raise UserError("--inner has no effect on the probe; give another of --heads, or leave --inner out")
        from heads.models.registry import find_head  # imported here to keep --help fast

        choose_device(self.device)
        for head in trained:
            find_head(head, others=[PROBE])
        require_distinct("--encoders", self.encoders)
        require_distinct("--heads", self.heads)
