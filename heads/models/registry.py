"""Heads by name: those of this project, those of installed packages, and any by its import path."""

import threading

import torch

from heads.models.head import Head, HeadBuilder
from heads.models.linear import LinearHead
from heads.models.spatial_fusion import SpatialFusionHead
from heads.settings import HeadSettings

_SEEDING = threading.Lock()  # torch's random state is one for all threads

HEADS: dict[str, HeadBuilder] = {"spatial-fusion": SpatialFusionHead, "linear": LinearHead}


def make_head(settings: HeadSettings, shape: tuple[int, int, int], seconds: int, seed: int) -> Head:
    """Build a head with seeded initial weights; the global random state is left as it was."""
    with _SEEDING, torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return HEADS[settings.head](settings, shape, seconds)
