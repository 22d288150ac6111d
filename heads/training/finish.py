"""Write the result of a fold into a run: the head, its predictions, and the mark of a finished fold."""

import torch

from heads.dataset import StoreDataset
from heads.inference import predict_persons
from heads.models.saved import save_head
from heads.run_folder import FoldResult, Run
from heads.training.trials import Trial, TrialResult


def write_fold(run: Run, trial: Trial, result: TrialResult, dataset: StoreDataset, device: torch.device) -> None:
    """Write head, then predictions in float32, then the file that marks the fold as finished."""
    fold = trial.fold
    finished = FoldResult(fold, run.fold_path(fold.name), result.best_epoch, result.threshold, result.history)
    save_head(finished.head_path, result.head, trial.settings, dataset.store.spec, result.threshold)
    if result.validation is None:
        finished.write_validation(predict_persons(result.head, fold.validation, dataset, device))
    else:
        finished.write_validation(result.validation)
    predicted = result.test
    if predicted is None:
        predicted = predict_persons(result.head, fold.test, dataset, device)
    for person in fold.test:
        for info, _ in dataset.recordings_of(person):
            run.write_probabilities(info, predicted[info.name])
    run.finish_fold(finished)
