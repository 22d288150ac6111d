"""The command around pretraining: what it writes, what it begins with, what it refuses."""

import re
import shutil

import edfio
import numpy as np
import pytest
import torch

from extract.braincodec.checkpoint import load_checkpoint, save_checkpoint
from extract.braincodec.config import BrainCodecConfig
from extract.braincodec.network import BrainCodec
from extract.encoders.shipped import SHIPPED, WEIGHTS
from extract.io.montage import CHANNELS
from extract.pretrain import training
from extract.pretrain.__main__ import main


@pytest.fixture
def bids(tmp_path):
    """Three persons with 12 s each at 128 Hz."""
    rng = np.random.default_rng(1)
    times = np.arange(12 * 128) / 128
    for subject in ("01", "02", "03"):
        folder = tmp_path / "bids" / f"sub-{subject}" / "eeg"
        folder.mkdir(parents=True)
        rows = 40 * np.sin(2 * np.pi * rng.uniform(1, 9, (18, 1)) * times) + rng.normal(0, 5, (18, times.size))
        edf = edfio.Edf(
            [
                edfio.EdfSignal(row, 128, label=name, physical_dimension="uV", physical_range=(-500, 500))
                for row, name in zip(rows, CHANNELS, strict=True)
            ]
        )
        edf.write(folder / f"sub-{subject}_task-rest_eeg.edf")
    (tmp_path / "bids" / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.1"}')
    return tmp_path / "bids"


SHORT = ["--steps", "3", "--batch", "2", "--quantize-from", "1", "--every", "2", "--ratios", "8", "8"]


def test_command_writes_a_checkpoint_that_loads(bids, tmp_path, capsys):
    out = tmp_path / "mine.safetensors"
    command = ["--bids", str(bids), "--out", str(out), "--hold-out", "02", *SHORT]
    assert main(command) == 0
    checkpoint = load_checkpoint(out)
    assert checkpoint.metadata["persons_seen"] == {"x": ["01", "03"]}
    assert checkpoint.metadata["persons_held_out"] == {"x": ["02"]}
    assert checkpoint.metadata["validation"]["x/02"]["windows"] == 54
    assert checkpoint.model.config.hop == 64
    assert "trained on 2 persons" in capsys.readouterr().out
    assert main([*command, "--steps", "4"]) == 0
    assert "resuming from step 3" in capsys.readouterr().out
    assert main([*command, "--steps", "2"]) == 0
    assert "nothing left to train" in (told := capsys.readouterr().out)
    assert "is at step 4; to train on, give more --steps" in told


def test_a_training_begins_with_the_weights_of_a_checkpoint(bids, tmp_path, capsys):
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    assert main(["--bids", str(bids), "--out", str(first), "--hold-out", "02", *SHORT]) == 0
    start = ["--bids", str(bids), "--start", str(first), "--out", str(second)]
    assert main([*start, "--hold-out", "02", *SHORT, "--learning-rate", "0", "--adamw-rate", "0"]) == 0
    before, after = load_checkpoint(first), load_checkpoint(second)
    assert after.metadata["begun_with"] == before.sha256
    for name, tensor in before.model.encoder.state_dict().items():
        torch.testing.assert_close(after.model.encoder.get_parameter(name), tensor, rtol=1e-4, atol=1e-6)
    capsys.readouterr()
    assert main([*start, "--force", "--hold-out", "03", *SHORT]) == 2
    assert "first.safetensors was trained on bids/03; hold out others" in capsys.readouterr().err
    assert main([*start, "--force", *SHORT, "--ratios", "8", "4"]) == 2
    assert "first.safetensors: has ratios (8, 8), to train (8, 4); give --ratios 8 8" in capsys.readouterr().err
    by_name = ["--bids", str(bids), "--start", "braincodec-clips", "--out", str(tmp_path / "third.safetensors")]
    assert main([*by_name, *SHORT]) == 2
    assert (
        "braincodec-clips.safetensors: has ratios (2, 2, 2, 2, 2, 2), to train (8, 8)" in capsys.readouterr().err
    )
    assert main([*start, "--force", *SHORT, "--quantizers", "1"]) == 2
    assert "more than --quantizers 1; give" in capsys.readouterr().err


def test_a_training_goes_on_with_the_persons_and_weights_of_its_first_call_alone(bids, tmp_path, capsys):
    first, out = tmp_path / "first.safetensors", tmp_path / "mine.safetensors"
    state = tmp_path / "mine.safetensors.state"
    assert main(["--bids", str(bids), "--out", str(first), "--hold-out", "02", *SHORT]) == 0
    command = ["--bids", str(bids), "--out", str(out), *SHORT]
    assert main(command) == 0
    before = state.read_bytes(), out.read_bytes()
    on = [*command, "--steps", "4"]
    other = tmp_path / "other"
    shutil.copytree(bids, other)
    (other / "dataset_description.json").write_text('{"Name": "Other", "BIDSVersion": "1.10.1"}')
    capsys.readouterr()
    for options, message in (
        (["--hold-out", "02"], "bids/02 trained on (now held out)"),
        (["--bids", str(bids), str(other)], "other/01 left out (now trained on), other/02 left out"),
        (["--start", str(first)], "weights random (now "),
    ):
        assert main([*on, *options]) == 2
        error = capsys.readouterr().err
        assert f"mine.safetensors.state: started with {message}" in error
        assert error.count("\n") == 1
    assert (state.read_bytes(), out.read_bytes()) == before
    stored = torch.load(state, weights_only=True)
    del stored["origin"]  # as earlier versions wrote it: the checkpoint tells
    torch.save(stored, state)
    assert main([*on, "--hold-out", "02"]) == 2
    assert "bids/02 trained on (now held out)" in capsys.readouterr().err
    assert main(on) == 0
    assert load_checkpoint(out).metadata["persons_seen"] == {"x": ["01", "02", "03"]}
    assert main([*on, "--hold-out", "02"]) == 2  # the state says it now


def test_persons_that_the_weights_began_with_stay_on_record(bids, tmp_path):
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    assert main(["--bids", str(bids), "--out", str(first), *SHORT]) == 0
    for person in ("01", "03"):
        shutil.rmtree(bids / f"sub-{person}")
    command = ["--bids", str(bids), "--start", str(first), "--out", str(second), *SHORT]
    for steps in ("3", "4"):
        assert main([*command, "--steps", steps]) == 0
        assert load_checkpoint(second).metadata["persons_seen"] == {"x": ["01", "02", "03"]}


def test_a_person_of_a_second_copy_of_the_data_set_is_held_out_too(bids, tmp_path):
    copy, out = tmp_path / "copy", tmp_path / "mine.safetensors"
    shutil.copytree(bids, copy)
    (copy / "dataset_description.json").write_text('{"Name": "X seizure clips", "BIDSVersion": "1.10.1"}')
    assert main(["--bids", str(bids), str(copy), "--out", str(out), "--hold-out", "bids/02", *SHORT]) == 0
    metadata = load_checkpoint(out).metadata
    assert metadata["persons_seen"] == {"X seizure clips": ["01", "03"], "x": ["01", "03"]}
    assert metadata["persons_held_out"] == {"X seizure clips": ["02"], "x": ["02"]}
    assert list(metadata["validation"]) == ["X seizure clips/02", "x/02"]


def test_codebooks_and_decoder_of_a_checkpoint_are_trained_on(bids, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "FIT_WINDOWS", 64)
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    assert main(["--bids", str(bids), "--out", str(first), *SHORT]) == 0
    on = ["--bids", str(bids), "--start", str(first), "--freeze-encoder", "--out", str(second)]
    assert main([*on, *SHORT]) == 0
    before, after = load_checkpoint(first), load_checkpoint(second)
    assert after.metadata["begun_with"] == before.sha256
    assert after.metadata["settings"]["freeze_encoder"]
    kept, mapped = before.model.encoder, after.model.encoder
    torch.testing.assert_close(mapped.downs[1].weight, kept.downs[1].weight, rtol=0, atol=0)
    assert not torch.equal(mapped.last.weight, kept.last.weight)


def test_command_says_what_is_wrong_in_one_line(bids, tmp_path, capsys):
    def error_of(*arguments, out="o.safetensors"):
        assert main(["--out", str(tmp_path / out), *arguments, *SHORT]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len([line for line in lines if "error:" in line]) == 1
        return lines[-1]

    (tmp_path / "empty").mkdir()
    assert "no EEG" in error_of("--bids", str(tmp_path / "empty"))
    assert "no such folder" in error_of("--bids", str(tmp_path / "none"))
    assert "no EEG of person 9" in error_of("--bids", str(bids), "--hold-out", "9")
    everyone = ("01", "02", "03")
    assert "0 windows of 4 s" in error_of("--bids", str(bids), "--hold-out", *everyone)
    assert "--freeze-encoder: give the weights with" in error_of("--bids", str(bids), "--freeze-encoder")
    assert "no such folder for --out" in error_of("--bids", str(bids), out="none/o.safetensors")
    (tmp_path / "o.safetensors.state").write_bytes(b"no")
    assert re.search("o.safetensors.state: not the state", error_of("--bids", str(bids)))
    assert not (tmp_path / "o.safetensors").exists()
    assert "o.pt: the name does not fit what is written; give one that" in error_of(
        "--bids", str(bids), out="o.pt"
    )


def test_a_damaged_state_names_all_that_a_new_training_needs_removed(bids, tmp_path, capsys):
    out, state = tmp_path / "mine.safetensors", tmp_path / "mine.safetensors.state"
    command = ["--bids", str(bids), "--out", str(out), *SHORT]
    assert main(command) == 0
    state.write_bytes(state.read_bytes()[:-100])
    capsys.readouterr()
    assert main(command) == 2
    assert (
        f"{state}: not the state of a training; remove {state.name} and {out.name} to" in capsys.readouterr().err
    )


def test_weights_that_others_made_are_not_overwritten(bids, tmp_path, capsys):
    save_checkpoint(tmp_path / "theirs.safetensors", BrainCodec(BrainCodecConfig(n_filters=2, max_filters=4)), {})
    (tmp_path / "link.safetensors").symlink_to(WEIGHTS)
    (tmp_path / "second.safetensors").symlink_to(SHIPPED["braincodec-any-eeg"])
    before = (tmp_path / "theirs.safetensors").read_bytes()
    for name, message in (
        ("theirs", "is not overwritten"),
        ("link", "is the input"),
        ("second", "is the input"),
    ):
        assert main(["--bids", str(bids), "--out", str(tmp_path / f"{name}.safetensors"), *SHORT]) == 2
        assert message in capsys.readouterr().err
    assert (tmp_path / "theirs.safetensors").read_bytes() == before
