"""Train a head on arrays."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from heads.dataset import ArrayDataset
from heads.folds import Fold
from heads.models.head import Head
from heads.settings import TrainSettings
from heads.training.stacked import train_stacked
from heads.training.trials import Trial
from store.runtime.errors import UserError


def train_on_arrays(features: NDArray[Any], labels: NDArray[Any], settings: TrainSettings) -> Head:
    """Train a head for a set number of epochs, without validation persons.

    Parameters
    ----------
    features : (B, F, C, D)
    labels : (B, S)
        Labels of seconds: 1 seizure, 0 background, -1 unknown.

    Raises
    ------
    UserError
        If a setting cannot train, or training diverges.
    """
    settings.check(as_options=False)
    trial = Trial(Fold("all", (), (), ("all",)), settings)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "training.pt"
        (result,) = train_stacked([trial], ArrayDataset(features, labels), torch.device("cpu"), checkpoint)
    if result.error:
        raise UserError(result.error)
    return result.head
