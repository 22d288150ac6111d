"""The detector on files of known content, and the files and runs it refuses."""

import json
import re
import shutil
from pathlib import Path

import edfio
import numpy as np
import pytest
import torch

import store
from braincodec_seizure import main as main_of_console
from eval.__main__ import main as evaluate
from eval.detect import main
from eval.scoring.choice import POSTPROCESSING, read_choice
from eval.scoring.events import COLUMNS, Detections
from eval.scoring.postprocess import PostProcessing
from extract.braincodec.checkpoint import save_checkpoint
from extract.braincodec.config import BrainCodecConfig
from extract.braincodec.network import BrainCodec
from extract.encoders.registry import load_encoder
from heads.closed_form.electrodes import PooledElectrodes
from heads.dataset import StoreDataset
from heads.device_features import DeviceFeatures
from heads.inference import predict_persons, predict_recordings
from heads.models.saved import load_head
from heads.probe import main as probe
from heads.run_folder import Run
from heads.train import main as train
from store.runtime.errors import UserError
from tests.helpers.detectors import START, make_line, write


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_line(tmp_path_factory.mktemp("line"), "bandpower")


def find(line: Path, eeg: Path, *more: str) -> Detections:
    output = eeg.with_suffix(".tsv")
    assert main([str(eeg), str(output), "--run", str(line / "run"), *more]) == 0
    return Detections.from_tsv(output.read_text(), output.name)


def fails(capsys: pytest.CaptureFixture[str], eeg: Path, run: Path, *more: str) -> str:
    """The one line of a detection that must fail and must leave nothing behind."""
    output = eeg.with_suffix(".tsv")
    assert main([str(eeg), str(output), "--run", str(run), *more]) == 2
    assert not output.exists()
    (text,) = capsys.readouterr().err.splitlines()
    return text


def require_same(line: Path, tmp_path: Path, *more: str) -> list[Detections]:
    """Detect in every file of a line and compare with what its store and head say."""
    dataset = StoreDataset(store.open(line / "store"))
    head, _, _ = load_head(line / "run" / "folds" / "final" / "head.safetensors")
    state = {name: value[None] for name, value in head.state_dict().items()}
    features = DeviceFeatures(dataset, head, state["mean"].device)
    post = read_choice(line / "run" / "folds" / "final" / POSTPROCESSING).post
    output, table, detected = tmp_path / "events.tsv", tmp_path / "p.tsv", []
    for info in dataset.recordings:
        (wanted,) = predict_recordings(head, state, dataset, features, info.person)[info.name]
        eeg = line / "bids" / f"{info.relative_stem}_eeg.edf"
        assert main([str(eeg), str(output), "--run", str(line / "run"), "--probabilities", str(table), *more]) == 0
        found = np.loadtxt(table, skiprows=1)
        assert found[:, 0].tolist() == list(range(info.seconds))
        np.testing.assert_allclose(found[:, 1], wanted, atol=1e-4)
        rows = Detections(post.detect(wanted, info.duration_s), info.duration_s, "").to_tsv()
        assert [row.split("\t")[:4] for row in output.read_text().splitlines()] == [
            row.split("\t")[:4] for row in rows.splitlines()
        ]
        detected.append(Detections.from_tsv(output.read_text(), "events.tsv"))
    return detected


def test_a_file_gives_the_same_as_through_bids_and_store(line: Path, tmp_path: Path) -> None:
    for found in require_same(line, tmp_path):
        (event,) = found.events
        assert abs(event.onset_s - 20) <= 4
        assert abs(event.stop_s - 40) <= 4


@pytest.mark.parametrize("encoder", ["bandpower", "random"])
def test_a_probe_sees_the_same_seconds_as_through_the_store(
    tmp_path: Path, encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Context reaches over windows and blocks, and ends with the recording; missing electrodes are left out."""
    monkeypatch.setattr("eval.detection.detector._BLOCK_WINDOWS", 4)
    line = make_line(tmp_path, encoder, "--missing", "zero", heads=probe, missing=5)
    (info, *_), dataset = (opened := store.open(line / "store")).recordings, StoreDataset(opened)
    assert info.channel_mask == (False,) * 5 + (True,) * 13
    require_same(line, tmp_path, "--missing", "zero")
    fold = Run.open(line / "run").fold_path("final")
    head, _, _ = load_head(fold / "head.safetensors")
    seconds = PooledElectrodes(dataset, tmp_path)
    with torch.no_grad():
        wanted = head.out(torch.from_numpy(np.array(seconds.values(info)))).sigmoid()[:, 0]
    found = predict_persons(head, [info.person], dataset, torch.device("cpu"))[info.name]
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("features", ["latents", "codes"])
def test_a_checkpoint_gives_the_same_as_through_bids_and_store(
    tmp_path: Path, features: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = BrainCodec(BrainCodecConfig(n_filters=2, max_filters=4, dimension=3, quantizers=2, codebook_size=16))
    for seed, codebook in enumerate(model.quantizer.codebooks):
        codebook.vectors.normal_(generator=torch.Generator().manual_seed(seed))
        codebook.trained.fill_(1)
    weights = tmp_path / "my.safetensors"
    save_checkpoint(weights, model, {})
    line = make_line(tmp_path / "line", str(weights), "--features", features)
    require_same(line, tmp_path, "--encoder", str(weights))
    capsys.readouterr()
    eeg = write(tmp_path / "x")
    assert "the run's encoder is my.safetensors, which does not ship; give its checkpoint file" in fails(
        capsys, eeg, line / "run"
    )
    model.encoder.first.weight.data += 1
    save_checkpoint(weights, model, {})
    load_encoder.cache_clear()  # a process keeps its encoder
    refusal = fails(capsys, eeg, line / "run", "--encoder", str(weights))
    assert "is not the one that the head was trained on: weights_sha256 is" in refusal


@pytest.mark.parametrize("rate_hz", [200, 250, 500, 512, 1000])
def test_any_rate_is_taken(line: Path, tmp_path: Path, rate_hz: int) -> None:
    found = find(line, write(tmp_path / "x", rate_hz))
    assert found.duration_s == 40
    assert found.start == START.isoformat()
    assert abs(found.events[-1].onset_s - 20) <= 4
    assert found.events[-1].stop_s == 40


@pytest.mark.parametrize("seconds", [1, 10])
def test_a_short_file_is_taken(line: Path, tmp_path: Path, seconds: int) -> None:
    assert find(line, write(tmp_path / "x", seconds=seconds)).duration_s == seconds


def test_a_bdf_is_taken(line: Path, tmp_path: Path) -> None:
    assert find(line, write(tmp_path / "x", suffix=".bdf")) == find(line, write(tmp_path / "x"))


def test_missing_channels_are_refused_or_zeros(
    line: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    eeg = write(tmp_path / "x", channels=5)
    assert "missing channel F7-T7, T7-P7" in fails(capsys, eeg, line / "run")
    assert find(line, eeg, "--missing", "zero").duration_s == 40


def test_files_that_cannot_be_used_are_refused(
    line: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write(tmp_path / "good")
    truncated = tmp_path / "truncated.edf"
    truncated.write_bytes(good.read_bytes()[:-1000])
    gaps = tmp_path / "gaps.edf"
    discontinuous = bytearray(good.read_bytes())
    discontinuous[192:197] = b"EDF+D"
    gaps.write_bytes(discontinuous)
    text = tmp_path / "text.edf"
    text.write_text("no EEG")
    emg = tmp_path / "emg.edf"
    edfio.Edf([edfio.EdfSignal(np.arange(256) % 50, 64, label="EMG", physical_dimension="uV")]).write(emg)
    for eeg, message in {
        truncated: "truncated.edf: truncated or still being written",
        gaps: "gaps.edf: discontinuous, and without times of its data records",
        text: "text.edf: no valid EDF or BDF header",
        emg: "emg.edf: no channel of double-banana can be derived; channels there: EMG",
        write(tmp_path / "unit", unit="degC"): "unit of FP1-F3 is 'degC'",
        tmp_path / "none.edf": "none.edf: no such file",
    }.items():
        assert message in fails(capsys, eeg, line / "run")


def test_a_run_that_is_not_ready_is_refused(
    line: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    eeg, run = write(tmp_path / "x"), tmp_path / "run"
    assert f"{run}: no such folder; " in fails(capsys, eeg, run)
    shutil.copytree(line / "run", run)
    (run / "folds" / "final" / POSTPROCESSING).write_text('{"threshold": 0.5}')
    assert (
        f"{POSTPROCESSING}: damaged (hysteresis_ratio is None, expected a number); run python -m eval {run}"
        in fails(capsys, eeg, run)
    )
    (run / "folds" / "final" / POSTPROCESSING).unlink()
    assert f"post-processing is not chosen yet; python -m eval {run} does it" in fails(capsys, eeg, run)
    (run / "folds" / "final" / "head.safetensors").unlink()
    command = (
        f"python -m heads.train --store {line / 'store'} --fold final --out {run} "
        "--filters 4 --hidden 4 --epochs 6 --lr 0.01"
    )
    folder = run / "folds" / "final"
    assert f"no trained head; remove {folder}, then {command} makes one" in fails(capsys, eeg, run)
    shutil.rmtree(folder)
    text = fails(capsys, eeg, run)
    assert f"no trained head; {command} makes one" in text
    assert main_of_console(["export", str(run), str(tmp_path / "d.onnx")]) == 2
    assert command.replace("python -m heads.train", "braincodec-seizure train") in capsys.readouterr().err
    typed = text.partition("heads.train ")[2].removesuffix(" makes one").split()
    assert train(typed) == 0
    assert evaluate([str(run)]) == 0
    assert find(tmp_path, eeg)


def test_a_folder_of_scores_on_other_data_has_no_heads(
    line: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    eeg, out, run = write(tmp_path / "x"), tmp_path / "out", line / "run"
    asked = ["--on", str(line / "store"), "--allow-training-persons", "--no-report", "--out", str(out)]
    assert evaluate([str(run), *asked]) == 0
    capsys.readouterr()
    assert f"{out}: holds scores on other data and no heads; give the run, {run}" in fails(capsys, eeg, out)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not valid JSON (Expecting value"),
        (b"\xff{", "not valid JSON ("),
        (b"[" * 100_000, "not valid JSON (maximum recursion depth"),
        (b"[]", "holds a list, expected a JSON object"),
        (b'{"threshold": NaN}', "threshold is nan, expected a number"),
        (
            b'{"threshold": 0.5, "release": 1, "smoothing_s": 0}',
            "smoothing_s is 0, expected whole seconds, 1 or more",
        ),
        (b'{"threshold": 0.5, "release": 1, "smoothing_s": 1.5}', "smoothing_s is 1.5, expected whole seconds"),
        (b'{"threshold": "0.5"}', "threshold is '0.5', expected a number"),
    ],
)
def test_damaged_post_processing_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "run" / "folds" / "final" / POSTPROCESSING
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"^{re.escape(str(path))}: ") as caught:
        read_choice(path)
    assert reason in str(caught.value)


def test_the_spelling_of_earlier_versions_is_read(tmp_path: Path) -> None:
    path = tmp_path / "run" / "folds" / "final" / POSTPROCESSING
    path.parent.mkdir(parents=True)
    path.write_text('{"threshold": 0.5, "release": 0.25, "smoothing_s": 5, "min_duration_s": 10}')
    assert read_choice(path).post == PostProcessing(0.5, 0.25, 5, 10)


def test_the_final_folds_post_processing_is_used(line: Path, tmp_path: Path) -> None:
    """A run whose post-processing drops every event."""
    run, eeg = tmp_path / "line" / "run", write(tmp_path / "x")
    shutil.copytree(line / "run", run)
    path = run / "folds" / "final" / POSTPROCESSING
    path.write_text(json.dumps({**json.loads(path.read_text()), "min_duration_s": 1000}))
    assert find(line, eeg).events
    assert find(run.parent, eeg).events == ()


def test_an_input_is_never_overwritten(line: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither by name, nor by a link, nor as the table of probabilities, nor the run's head, even by force."""
    run = Path(shutil.copytree(line / "run", tmp_path / "run"))
    eeg, head = write(tmp_path / "x"), run / "folds" / "final" / "head.safetensors"
    symbolic, hard, head_link = (tmp_path / name for name in ("symbolic.edf", "hard.edf", "head.tsv"))
    symbolic.symlink_to(eeg)
    hard.hardlink_to(eeg)
    head_link.hardlink_to(head)
    free = tmp_path / "free.tsv"
    before = {path: path.read_bytes() for path in (eeg, head)}
    for output, *more in (
        (eeg,),
        (symbolic,),
        (hard,),
        (head,),
        (head_link,),
        (free, "--probabilities", eeg),
        (free, "--probabilities", hard),
        (free, "--probabilities", head),
        (free, "--probabilities", free),
        (run / "config.json",),
    ):
        for force in ([], ["--force"]):
            assert main([str(eeg), str(output), "--run", str(run), *map(str, more), *force]) == 2
            (text,) = capsys.readouterr().err.splitlines()
            assert "give another path" in text
    assert {path: path.read_bytes() for path in before} == before
    assert not free.exists()


def test_what_another_wrote_is_overwritten_by_force_alone(
    line: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    eeg, notes, table = write(tmp_path / "x"), tmp_path / "notes.tsv", tmp_path / "p.tsv"
    run = ("--run", str(line / "run"))
    notes.write_text("mine")
    assert main([str(eeg), str(notes), *run]) == 2
    assert f"{notes}: already exists, and this command did not write it" in capsys.readouterr().err
    assert notes.read_text() == "mine"
    assert main([str(eeg), str(notes), *run, "--force"]) == 0
    for _ in range(2):
        assert main([str(eeg), str(notes), *run, "--probabilities", str(table)]) == 0
    table.write_text("mine")
    assert main([str(eeg), str(notes), *run, "--probabilities", str(table)]) == 2


@pytest.mark.parametrize("kind", ["bckg", "sz"])
def test_annotations_are_not_detections(
    line: Path, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    eeg = write(tmp_path / "sub-01_task-x_eeg")
    events = tmp_path / "sub-01_task-x_events.tsv"
    length_s = 40 if kind == "bckg" else 12
    row = f"0.00\t{length_s}.00\t{kind}\tn/a\tn/a\tn/a\t40.00\n"
    events.write_text("\t".join(COLUMNS) + "\n" + row)
    assert main([str(eeg), str(events), "--run", str(line / "run")]) == 2
    assert "this command did not write it" in capsys.readouterr().err
    assert events.read_text().endswith(row)
