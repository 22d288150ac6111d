"""Which names mean one data set."""

import pytest

from store.interop.dataset_names import same_dataset


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("CHB-MIT clips", "CHB-MIT Scalp EEG Database", True),
        ("CHB-MIT seizure clips", "chb\u2011mit", True),
        ("CHB-MIT Scalp EEG Database v1.0.0", "CHB-MIT", True),
        ("Siena Scalp EEG Database", "Siena", True),
        ("Siena Scalp EEG Database", "CHB-MIT Scalp EEG Database", False),
        ("EEG data set", "EEG corpus", False),
        ("", "CHB-MIT", True),
        ("", "", True),
    ],
)
def test_names_of_one_data_set(first: str, second: str, same: bool) -> None:
    assert same_dataset(first, second) == same_dataset(second, first) == same
