"""python -m store."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from store.__main__ import main
from store.reader import open_file
from tests.helpers.paths import DATA, ROOT


def test_info_counts_persons_hours_and_seizures(
    make_store: Callable[..., Path], capsys: pytest.CaptureFixture
) -> None:
    path = make_store(persons=3, lengths_s=(120, 60))
    assert main(["info", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].split()[:6] == ["03", "03", "2", "0.05", "2", "30"]
    assert lines[-1].split()[:6] == ["all", "3", "6", "0.15", "6", "90"]


def test_info_as_json(make_store: Callable[..., Path], capsys: pytest.CaptureFixture) -> None:
    assert main(["info", str(make_store(persons=3)), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["persons"] == ["01", "02", "03"]
    assert content["subjects"]["02"]["seizures"] == 2
    assert content["spec"]["dims"] == 5


def test_verify_says_which_file_is_damaged(make_store: Callable[..., Path], capsys: pytest.CaptureFixture) -> None:
    path = make_store(persons=2)
    assert main(["verify", str(path)]) == 0
    file = open_file(path / "sub-02.h5")
    content = bytearray(file.path.read_bytes())
    content[file.offset] ^= 1
    file.path.write_bytes(content)
    capsys.readouterr()
    assert main(["verify", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out.startswith("sub-01.h5: intact")
    assert "sub-02.h5: features of" in err


def test_a_sample_reads_some_recordings_of_every_subject(
    make_store: Callable[..., Path], capsys: pytest.CaptureFixture
) -> None:
    path = make_store(persons=2, lengths_s=(40,) * 5)
    assert main(["verify", str(path), "--sample", "0.3"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"sub-{person}.h5: intact, 2 of 5 recordings read, 50 windows" for person in ("01", "02")
    ]
    assert main(["verify", str(path), "--sample", "0"]) == 2
    assert "--sample 0.0: allowed is a share above 0, up to 1" in capsys.readouterr().err


def test_info_names_persons_that_the_encoder_saw(capsys: pytest.CaptureFixture) -> None:
    path = str(DATA / "store-v1" / "codes")
    assert main(["info", path]) == 0
    assert "overlap   the encoder saw these persons in pretraining: 07\n" in capsys.readouterr().out
    assert main(["info", path, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["persons_seen_in_pretraining"] == ["07"]


def test_a_missing_store_is_one_line_and_status_2(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["info", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"python -m store: error: {tmp_path / 'none'}: no such store; python -m extract makes one"
    ]


def test_info_loads_no_torch(make_store: Callable[..., Path]) -> None:
    code = "import sys; from store.__main__ import main; main(sys.argv[1:]); print('torch' in sys.modules)"
    command = [sys.executable, "-c", code, "info", str(make_store(persons=1))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1] == "False"
