"""What untrained heads of other packages give for stored features, before a run is made."""

from collections.abc import Sequence

import numpy as np
import torch

from heads.dataset import Dataset
from heads.device_features import DeviceFeatures
from heads.models.registry import HEADS
from heads.training.plan import StackedHead, initial_head
from heads.training.trials import Trial
from store.runtime.errors import UserError

_WINDOWS = 16


def require_finite_logits(trials: Sequence[Trial], dataset: Dataset) -> None:
    """Refuse a head that is not this project's if its first logits are not finite, whatever the learning rate.

    Raises
    ------
    UserError
        Naming the head and a recording.
    """
    of_heads = {trial.settings.head: trial for trial in trials if trial.settings.head not in HEADS}
    windows = np.unique(np.linspace(0, len(dataset) - 1, _WINDOWS).astype(np.int64))
    for name, trial in of_heads.items():
        head = initial_head(StackedHead(trial.fold.train, trial.settings), dataset)
        features = DeviceFeatures(dataset, head, torch.device("cpu")).take(windows)
        state = {key: value[None] for key, value in head.state_dict().items()}
        with torch.no_grad():
            finite = head.forward_stacked(state, features, None)[0].isfinite().all(1).numpy()
        if not finite.all():
            raise UserError(
                f"head {name}: gives logits that are not finite for windows of "
                f"{dataset.name_of(int(windows[~finite][0]))}, before any training; look for a division by "
                "zero, a logarithm of what is not above 0, or an overflow"
            )
