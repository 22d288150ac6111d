"""Write the result of a fold into a run: the head, its predictions, and the mark of a finished fold."""

import torch

from heads.dataset import StoreDataset
from heads.inference import predict_persons
from heads.models.head import Head
from heads.models.saved import save_head
from heads.run_folder import FoldResult, Run
from heads.training.trials import Trial, TrialResult


def write_fold(
    run: Run,
    trial: Trial,
    result: TrialResult,
    dataset: StoreDataset,
    device: torch.device,
    validation_head: Head | None = None,
) -> None:
    """Write head, then predictions in float32, then the file that marks the fold as finished.

    Parameters
    ----------
    validation_head
        Predicts the validation persons, if the head that is kept was trained on them.
    """
    fold = trial.fold
    finished = FoldResult(fold, run.fold_path(fold.name), result.best_epoch, result.threshold, result.history)
    save_head(finished.head_path, result.head, trial.settings, dataset.store.spec, result.threshold)
    finished.write_validation(predict_persons(validation_head or result.head, fold.validation, dataset, device))
    predicted = predict_persons(result.head, fold.test, dataset, device)
    for info in dataset.recordings:
        if info.name in predicted:
            run.write_probabilities(info, predicted[info.name])
    run.finish_fold(finished)
