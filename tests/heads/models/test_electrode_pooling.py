"""The spatial-fusion head with statistics over electrodes: from training to predictions."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.special import expit

import store
from heads.models.saved import load_head
from heads.train import TrainCommand, train


def test_predictions_average_logits_over_5_s(make_store: Callable[..., Path], tmp_path: Path) -> None:
    opened = store.open(make_store(persons=3, lengths_s=(60, 41)))
    small = {"filters": 4, "hidden": 4, "epochs": 1, "batch_windows": 16, "inner": "one"}
    command = TrainCommand(
        store=(opened.path,), fold="01", out=tmp_path / "run", pooling="max-std-electrodes", **small
    )
    run, (result,) = train(command)
    head, _, _ = load_head(result.head_path)
    assert head.context_s == 5
    for info in opened.recordings:
        with torch.no_grad():
            logits = head(torch.from_numpy(opened.latents(info)).float()).numpy().ravel()[: info.seconds]
        wanted = expit([logits[max(0, second - 2) : second + 3].mean() for second in range(info.seconds)])
        if info.person == "01":
            np.testing.assert_allclose(run.probabilities(info), wanted, atol=1e-5)
        elif info.person in result.fold.validation:
            np.testing.assert_allclose(result.validation_probabilities()[info.name], wanted, atol=1e-5)
