"""Predictions of the validation persons, as a fold keeps them."""

from pathlib import Path

import numpy as np
import pytest

from heads.folds import Fold
from heads.run_folder import FoldResult
from heads.run_folder.fold_result import read_fold
from store.runtime.errors import UserError


def test_predictions_of_validation_persons_in_one_array(tmp_path: Path) -> None:
    """Whatever the names are; an archive of an earlier version, an array a recording, is read too."""
    fold = Fold("01", ("01",), ("02",), ("03",))
    result = FoldResult(fold, tmp_path, 1, 0.5, ())
    rng = np.random.default_rng(0)
    names = ("sub-02", "a/b", "file", "%names", "Jos\udce9", "empty")
    values = {name: rng.random(number).astype(np.float32) for number, name in enumerate(reversed(names))}
    result.write_validation(values)
    read = result.validation_probabilities()
    assert list(read) == list(values)
    for name, row in values.items():
        np.testing.assert_array_equal(read[name], row)
    with np.load(result.validation_path) as archive:
        assert len(archive.files) == 3
    np.savez_compressed(result.validation_path, **{"sub-02": values["sub-02"], "%sub-%FF": values["a/b"]})
    read = result.validation_probabilities()
    np.testing.assert_array_equal(read["sub-02"], values["sub-02"])
    np.testing.assert_array_equal(read["sub-\udcff"], values["a/b"])


@pytest.mark.parametrize("seconds", [[3, 4], [-1, 6], [5], [2.0, 3.0]])
def test_predictions_that_do_not_add_up_are_an_error(tmp_path: Path, seconds: list[float]) -> None:
    result = FoldResult(Fold("01", ("01",), ("02",), ("03",)), tmp_path, 1, 0.5, ())
    arrays = {
        "%names": np.frombuffer(b'["a", "b"]', np.uint8),
        "%seconds": np.array(seconds),
        "%probabilities": np.zeros(5, np.float32),
    }
    np.savez_compressed(result.validation_path, **arrays)
    with pytest.raises(UserError, match=r"validation\.npz: damaged"):
        result.validation_probabilities()


@pytest.mark.parametrize("odd", [3.5, -0.1, np.nan])
def test_values_that_are_not_probabilities_are_an_error(tmp_path: Path, odd: float) -> None:
    """Also in an archive of an earlier version."""
    result = FoldResult(Fold("01", ("01",), ("02",), ("03",)), tmp_path, 1, 0.5, ())
    values = np.array([0.2, odd], np.float32)
    result.write_validation({"sub-02": values})
    problem = rf"validation\.npz: damaged \(1 values are not probabilities from 0 to 1, the first is {odd}"
    with pytest.raises(UserError, match=problem):
        result.validation_probabilities()
    np.savez_compressed(result.validation_path, **{"sub-02": values})
    with pytest.raises(UserError, match=problem):
        result.validation_probabilities()
    FoldResult(result.fold, tmp_path, 1, odd, ()).write()
    with pytest.raises(UserError, match=f"threshold is {odd}, expected a probability"):
        read_fold(tmp_path / "fold.json", "01")
