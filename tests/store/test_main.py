"""python -m store."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from store import Event, LeftOut
from store.__main__ import main
from store.reader import open_file
from store.writer import write_file
from tests.helpers.paths import DATA, ROOT
from tests.helpers.stores import SPEC, recording


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


def test_info_says_what_is_missing_and_why(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    short, mask = Event(3.2, 0.3, "sz"), (True, False, False)
    infos = [
        recording(0, 8, events=[short]),
        replace(recording(1, 8, mask=mask), labelled=False, first_window=2, first_second=8),
    ]
    infos = [replace(info, person="7\x1b[31m") for info in infos]
    left_out = [LeftOut("sub-01_run-09", "no samples\nat all")]
    blocks = (np.zeros((2, *SPEC.shape), np.float32) for _ in infos)
    path = tmp_path / "sub-01.h5"
    write_file(path, SPEC, infos, np.zeros(16, np.uint8), blocks, {}, dataset="Clips", left_out=left_out)
    assert main(["info", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "data set  Clips: 1 subject, format version 2"
    assert lines[5].split()[:3] == ["01", "7\\x1b[31m", "2"]
    stem = "sub-01_ses-01_task-szMonitoring_run"
    assert lines[7:] == [
        "left out  sub-01_run-09: no samples at all",
        f"no labels {stem}-01: no events file; not scored, only its time in alarm is reported",
        f"missing   {stem}-01: F3-C3, C3-P3",
        f"no second {stem}-00: the seizure at 3.20 s (0.30 s) covers more than half of no second, so it labels "
        "none and counts only in event scores",
    ]
    assert main(["info", str(tmp_path), "--json"]) == 0
    row = json.loads(capsys.readouterr().out)["subjects"]["01"]
    assert (row["dataset"], row["version"], row["unlabelled"]) == ("Clips", 2, [f"{stem}-01"])
    assert row["left_out"] == [{"name": "sub-01_run-09", "reason": "no samples\nat all"}]
    assert row["missing_channels"] == {f"{stem}-01": ["F3-C3", "C3-P3"]}
    assert row["events_without_label"] == [
        {"recording": f"{stem}-00", "onset_s": 3.2, "duration_s": 0.3, "kind": "sz"}
    ]


@pytest.mark.parametrize("by_dataset", [False, True])
@pytest.mark.parametrize(("dataset", "seen"), [("CHB-MIT clips", ["01"]), ("", ["01"]), ("Siena", [])])
def test_persons_seen_are_those_of_the_same_data_set(
    tmp_path: Path, capsys: pytest.CaptureFixture, dataset: str, seen: list[str], by_dataset: bool
) -> None:
    earlier = {"data": "CHB-MIT Scalp EEG Database, ODC-By 1.0", "persons_seen": ["01"]}
    provenance = {"encoder": {"persons_seen": {"CHB-MIT": ["01"], "TUSZ": ["02"]}} if by_dataset else earlier}
    blocks, labels = iter([np.zeros((2, *SPEC.shape), np.float32)]), np.zeros(8, np.uint8)
    write_file(tmp_path / "sub-01.h5", SPEC, [recording(0, 8)], labels, blocks, provenance, dataset=dataset)
    assert main(["info", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["persons_seen_in_pretraining"] == seen


def test_verify_names_every_damaged_file(make_store: Callable[..., Path], capsys: pytest.CaptureFixture) -> None:
    path = make_store(persons=3)
    (path / "sub-01.h5").write_bytes(b"")
    (path / "sub-03.h5").write_bytes((path / "sub-02.h5").read_bytes()[:3000])
    assert main(["verify", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out.startswith("sub-02.h5: intact")
    assert [line.partition(": unreadable")[0] for line in err.splitlines()] == [
        f"python -m store verify: error: {path / name}" for name in ("sub-01.h5", "sub-03.h5")
    ]


@pytest.mark.parametrize("command", ["info", "verify", "export"])
def test_help_has_an_example_and_names(command: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    out = capsys.readouterr().out
    assert f"Example: python -m store {command} STORE" in out
    assert "PATH" not in out


@pytest.mark.parametrize(("arguments", "status"), [([], 2), (["--help"], 0), (["--json"], 2)])
def test_help_lists_the_commands(arguments: list[str], status: int, capsys: pytest.CaptureFixture) -> None:
    """Asked for it is output; without a command it is what an error says."""
    assert main(arguments) == status
    output = capsys.readouterr()
    out = output.err if status else output.out
    assert "Example: python -m store info STORE" in out
    for command in ("info", "verify", "export"):
        assert f"\n  {command} " in out


def test_a_missing_store_is_one_line_and_status_2(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["info", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"python -m store info: error: {tmp_path / 'none'}: no such store; python -m extract makes one"
    ]


def test_info_loads_no_torch(make_store: Callable[..., Path]) -> None:
    code = "import sys; from store.__main__ import main; main(sys.argv[1:]); print('torch' in sys.modules)"
    command = [sys.executable, "-c", code, "info", str(make_store(persons=1))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1] == "False"
