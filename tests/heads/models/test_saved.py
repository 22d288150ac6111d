"""Files of heads that hold what no training writes are refused, each with its reason."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from heads.models.saved import load_head, save_head
from heads.settings import HeadSettings
from store.runtime.errors import UserError
from tests.helpers.paths import DATA

WRITTEN = DATA / "golden-v1" / "train" / "folds" / "02" / "head.safetensors"


def write(path: Path, state: dict[str, Tensor], settings: dict[str, object], **metadata: str) -> Path:
    """The golden head with other tensors, settings or metadata."""
    with safe_open(WRITTEN, "pt") as file:
        content: dict[str, str] = {**file.metadata(), **metadata}
    content["settings"] = json.dumps({**json.loads(content["settings"]), **settings})
    save_file({**load_file(WRITTEN), **state}, path, content)
    return path


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"context_s": 2}, "context_s is 2, expected an odd number"),
        ({"context_s": 0}, "context_s is 0, expected an odd number"),
        ({"context_s": -1}, "context_s is -1, expected an odd number"),
        ({"context_s": "5"}, "context_s is '5', expected an odd number"),
        ({"context_s": True}, "context_s is True, expected an odd number"),
        ({"dropout": 1}, "dropout is 1"),
        ({"dropout": "half"}, "dropout is 'half'"),
        ({"filters": 0}, "filters is 0 of"),
        ({"hidden": 10**9}, "hidden is 1000000000 of"),
        ({"hidden": 8.0}, "hidden is 8.0 of"),
        ({"pooling": "mean"}, "head 'spatial-fusion' with pooling 'mean'"),
        ({"head": 3}, "head 3 with pooling"),
        ({"hidden": 16}, "hidden.weight is (8, 16), expected (16, 16)"),
    ],
)
def test_settings(settings: dict[str, object], reason: str, tmp_path: Path) -> None:
    path = write(tmp_path / "head.safetensors", {}, settings)
    with pytest.raises(UserError, match=rf"not a head that .* wrote \({re.escape(reason)}.*; train it again"):
        load_head(path)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"mean": torch.zeros(3)}, "mean is (3,) for 18 channels"),
        ({"mean": torch.zeros(17, 6)}, "mean is (17, 6) for 18 channels"),
        ({"out.bias": torch.full((4,), torch.nan)}, "out.bias is not finite"),
        ({"out.bias": torch.zeros(5)}, "out.bias is (5,), expected (4,)"),
    ],
)
def test_tensors(state: dict[str, Tensor], reason: str, tmp_path: Path) -> None:
    path = write(tmp_path / "head.safetensors", state, {})
    with pytest.raises(UserError, match=rf"not a head that .* wrote \({re.escape(reason)}\); train it again"):
        load_head(path)


def test_metadata(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"wrote \(threshold is inf\)"):
        load_head(write(tmp_path / "head.safetensors", {}, {}, threshold="inf"))
    with safe_open(WRITTEN, "pt") as file:
        spec = json.loads(file.metadata()["spec"])
    for change in ({"frames": 0}, {"window_s": "4"}, {"sample_rate_hz": -1}):
        with pytest.raises(UserError, match="not a head that"):
            load_head(write(tmp_path / "head.safetensors", {}, {}, spec=json.dumps({**spec, **change})))


def test_the_same_head_is_the_same_file_and_an_earlier_one_is_read(tmp_path: Path) -> None:
    head, spec, threshold = load_head(WRITTEN)
    paths = [tmp_path / f"{number}.safetensors" for number in range(5)]
    for path in paths:
        save_head(path, head, HeadSettings(filters=4, hidden=8, pooling="max"), spec, threshold)
    assert len({path.read_bytes() for path in paths}) == 1
    again, *others = load_head(paths[0])
    assert others == [spec, threshold]
    assert all(torch.equal(again.state_dict()[name], value) for name, value in head.state_dict().items())


@pytest.mark.parametrize("content", ["[]", '{"settings": 1}', "{"])
def test_other_metadata(content: str, tmp_path: Path) -> None:
    path = tmp_path / "head.safetensors"
    save_file(load_file(WRITTEN), path, {"braincodec_seizure": content})
    with pytest.raises(UserError, match=r"not a head that .* wrote \(.*; train it again"):
        load_head(path)


def test_an_added_tensor(tmp_path: Path) -> None:
    path = write(tmp_path / "head.safetensors", {"more": torch.zeros(1)}, {})
    with pytest.raises(UserError, match=r"its weights do not fit spatial-fusion \(.*more.*\); train it again"):
        load_head(path)
