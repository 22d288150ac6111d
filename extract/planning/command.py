"""The command line of ``python -m extract``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from extract.planning.encode_settings import EncodeSettings
from extract.planning.plan import Policy
from store.runtime.options import optional
from store.runtime.parallel import WorkerSettings


@dataclass(frozen=True, kw_only=True)
class _DataAndStore:
    """Input and output; first in the help."""

    bids: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder of the BIDS data set."""
    store: Annotated[Path, tyro.conf.arg(metavar="STORE")]
    """Folder of the store, created if needed."""
    subject: Annotated[
        tuple[str, ...], tyro.conf.arg(metavar="SUBJECT ...", help_behavior_hint="(default: all)")
    ] = ()
    """Subjects to extract, such as 01 02."""


@dataclass(frozen=True, kw_only=True)
class ExtractCommand(WorkerSettings, EncodeSettings, _DataAndStore):
    """The command line of ``python -m extract``."""

    skip_unusable: bool = False
    """Publish subjects without their unusable recordings; the store records which and why."""
    check_only: Annotated[bool, tyro.conf.arg(name="check")] = False
    """Only say what would be done; the exit status is 1 if anything would change."""
    prune: bool = False
    """Remove from the store what is gone from the data set."""
    force: bool = False
    """Replace subjects of another data set that have the same names."""
    shard: Annotated[str | None, optional("I/N")] = None
    """Encode one share of the recordings in this job, such as 1/8; "slurm" reads it from the job array."""

    @property
    def policy(self) -> Policy:
        """Options that decide what happens to a recording."""
        return Policy(missing=self.missing, skip_unusable=self.skip_unusable, prune=self.prune)
