"""Write the result of a fold into a run: the head, its predictions, and the mark of a finished fold."""

from collections.abc import Iterable

import torch

from heads.dataset import StoreDataset
from heads.inference import predict_persons
from heads.models.saved import save_head
from heads.run_folder import FoldResult, Run, StaleError, require_current
from heads.run_folder.lock import lock_folder
from heads.training.head_sources import describe_sources
from heads.training.trials import Trial, TrialResult
from store.runtime.errors import UserError


def write_folds(
    run: Run, trained: Iterable[tuple[Trial, TrialResult]], dataset: StoreDataset, device: torch.device
) -> None:
    """Write each fold as `write_fold` does; those that are stale hold up no other.

    Raises
    ------
    UserError
        Naming the folds that are not kept.
    """
    errors = []
    for trial, result in trained:
        try:
            write_fold(run, trial, result, dataset, device)
        except StaleError as error:
            errors.append(str(error))
    if errors:
        raise UserError("; ".join(errors))


def write_fold(run: Run, trial: Trial, result: TrialResult, dataset: StoreDataset, device: torch.device) -> None:
    """Write head, then predictions in float32, then the file that marks the fold as finished.

    Raises
    ------
    StaleError
        If the run records another store or head by now than the fold was trained with; then nothing is written.
    """
    fold, validation, test = trial.fold, result.validation, result.test
    if validation is None:
        validation = predict_persons(result.head, fold.validation, dataset, device)
    if test is None:
        test = predict_persons(result.head, fold.test, dataset, device)
    finished = FoldResult(fold, run.fold_path(fold.name), result.best_epoch, result.threshold, result.history)
    with lock_folder(run.path):  # no other process may go on with a changed store between the check and the mark
        require_current(run, [fold], dataset.store, describe_sources(run.head_sources))
        save_head(finished.head_path, result.head, trial.settings, dataset.store.spec, result.threshold)
        finished.write_validation(validation)
        for person in fold.test:
            for info, _ in dataset.recordings_of(person):
                run.write_probabilities(info, test[info.name])
        run.finish_fold(finished)
