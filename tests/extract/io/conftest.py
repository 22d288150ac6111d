"""Where the tests of EEG files write theirs."""

import pytest


@pytest.fixture
def edf(tmp_path):
    return tmp_path / "one.edf"
