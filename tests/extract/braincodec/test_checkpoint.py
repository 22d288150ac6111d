"""Weights out and in: own and published files, and each refusal."""

import dataclasses
import json
import pathlib
import resource
import subprocess
import sys
import zipfile

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extract.braincodec.checkpoint import load_checkpoint, published_names, save_checkpoint, weights_sha256
from extract.braincodec.config import BrainCodecConfig
from extract.braincodec.network import BrainCodec
from store.runtime.errors import DiskFullError, UserError
from tests.helpers.paths import REAL, ROOT

TINY = BrainCodecConfig(ratios=(2, 3), n_filters=4, max_filters=8, dimension=5, quantizers=3, codebook_size=7)
PARITY = REAL / "parity"
FIRST = "model.encoder.model.0.conv.conv.weight"


def trained_model(config=TINY):
    model = BrainCodec(config, seed=8)
    for q, codebook in enumerate(model.quantizer.codebooks):
        codebook.vectors.normal_(generator=torch.Generator().manual_seed(q))
        codebook.trained.fill_(1)
    return model


def published_state(model):
    ours = model.state_dict()
    return {
        theirs: ours[name][None].clone() if name.endswith(("counts", "sums", "vectors")) else ours[name].clone()
        for theirs, name in published_names(model.config)
    }


def save_torch(tmp_path, content):
    torch.save(content, tmp_path / "published.ckpt")
    return tmp_path / "published.ckpt"


@pytest.mark.parametrize("wrap", ["plain", "lightning", "discriminator", "legacy"])
@pytest.mark.parametrize("ratios", [(2, 3), (2,)])
def test_published_files_load_in_any_wrapping(tmp_path, wrap, ratios):
    model = trained_model(dataclasses.replace(TINY, ratios=ratios))
    state = published_state(model)
    path = tmp_path / "published.pt"
    if wrap == "lightning":
        torch.save({"epoch": 3, "state_dict": state, "hyper_parameters": {"lr": 1e-3}}, path)
    elif wrap == "discriminator":
        torch.save(state | {"discriminator.convs.0.weight": torch.zeros(2)}, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=wrap == "plain")
    checkpoint = load_checkpoint(path)
    assert checkpoint.sha256 == weights_sha256(model)
    assert checkpoint.metadata == {}
    assert checkpoint.model.config == dataclasses.replace(model.config, max_filters=max(model.config.widths))
    latents = torch.randn(1, 5, 4, generator=torch.Generator().manual_seed(9))
    assert torch.equal(checkpoint.model.quantize(latents), model.quantize(latents))
    assert torch.equal(checkpoint.model.decode(latents), model.decode(latents))


def test_own_file_keeps_weights_config_and_metadata(tmp_path):
    config = dataclasses.replace(TINY, sample_rate_hz=256, window_s=3)
    model = trained_model(config)
    save_checkpoint(tmp_path / "own.safetensors", model, {"persons": ["01", "chb02"], "prd": 12.5})
    checkpoint = load_checkpoint(tmp_path / "own.safetensors")
    assert checkpoint.model.config == config
    assert checkpoint.metadata == {"persons": ["01", "chb02"], "prd": 12.5}
    assert checkpoint.sha256 == weights_sha256(model)
    assert not checkpoint.model.training


def test_one_changed_weight_changes_the_hash():
    model = trained_model()
    before = weights_sha256(model)
    model.decoder.last.bias.data += 1e-3
    assert weights_sha256(model) != before


@pytest.mark.parametrize(("name", "ratios", "count"), [("hop64", (2,) * 6, 96), ("hop16", (2,) * 4, 72)])
def test_names_and_shapes_are_the_published_ones(name, ratios, count):
    state = published_state(BrainCodec(BrainCodecConfig(ratios=ratios)))
    assert len(state) == count
    if not PARITY.exists():
        pytest.skip("needs ../shared/data/parity, the published keys, which do not travel with the project")
    table = [line.split("\t") for line in (PARITY / "state_dict_keys.tsv").read_text().splitlines()]
    listed = [(key, shape) for config, key, shape, _ in table if config == name]
    assert listed == [(key, str(list(tensor.shape))) for key, tensor in state.items()]


def test_missing_tensor_is_refused(tmp_path):
    for name in published_state(trained_model()):
        state = published_state(trained_model())
        del state[name]
        path = save_torch(tmp_path, state)
        with pytest.raises(ValueError, match=f"published.ckpt: 1 tensors missing: {name};"):
            load_checkpoint(path)


def test_renamed_tensor_is_refused(tmp_path):
    state = published_state(trained_model())
    state["encoder.odd"] = state.pop("model.decoder.model.0.conv.conv.bias")
    with pytest.raises(ValueError, match=r"missing: model.decoder.model.0.*1 unknown tensors: encoder.odd"):
        load_checkpoint(save_torch(tmp_path, state))


def test_keys_without_their_prefix_are_refused_not_dropped(tmp_path):
    state = {name.removeprefix("model."): t for name, t in published_state(trained_model()).items()}
    with pytest.raises(ValueError, match=f"missing: {FIRST}"):
        load_checkpoint(save_torch(tmp_path, state))


def test_other_shape_is_refused(tmp_path):
    for name, tensor in published_state(trained_model()).items():
        state = published_state(trained_model())
        state[name] = torch.cat([tensor, tensor])
        path = save_torch(tmp_path, state)
        with pytest.raises(ValueError, match=r"published.ckpt: .*(another shape|missing|unknown)"):
            load_checkpoint(path)
    state["quantizer.layers.0._codebook.embed"] = torch.zeros(7)
    with pytest.raises(ValueError, match=r"embed is \(7,\), expected three axes"):
        load_checkpoint(save_torch(tmp_path, state))


def test_values_that_are_not_finite_are_refused(tmp_path):
    state = published_state(trained_model())
    state[FIRST][0] = float("nan")
    with pytest.raises(ValueError, match=r"not finite: encoder.first.weight"):
        load_checkpoint(save_torch(tmp_path, state))


def test_pickled_object_is_refused_and_not_run(tmp_path):
    state = published_state(trained_model())
    path = save_torch(tmp_path, {"state_dict": state, "hyper_parameters": pathlib.PurePosixPath("x")})
    with pytest.raises(ValueError, match=r"published.ckpt: holds a pickled object \(pathlib.*state dict"):
        load_checkpoint(path)


@pytest.mark.parametrize("content", [{"a": 1}, [1, 2], {"state_dict": {"a": "b"}}, torch.zeros(2)])
def test_file_without_state_dict_is_refused(tmp_path, content):
    with pytest.raises(ValueError, match=r"published.ckpt: no state dict; allowed"):
        load_checkpoint(save_torch(tmp_path, content))


@pytest.mark.parametrize("name", ["published.ckpt", "own.safetensors"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.999])
def test_truncated_file_is_refused(tmp_path, name, share):
    path = tmp_path / name
    if name == "own.safetensors":
        save_checkpoint(path, trained_model(), {})
    else:
        save_torch(tmp_path, published_state(trained_model()))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=f"{name}: damaged or cut off"):
        load_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"hello, not weights"])
def test_other_file_is_refused(tmp_path, content):
    (tmp_path / "other.bin").write_bytes(content)
    with pytest.raises(ValueError, match=r"other.bin: neither a safetensors nor a PyTorch file"):
        load_checkpoint(tmp_path / "other.bin")


def test_absent_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"absent.pt: no such file"):
        load_checkpoint(tmp_path / "absent.pt")


def test_safetensors_of_another_kind_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"x": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match=r"other.safetensors: not a checkpoint of a BrainCodec; give a file that"):
        load_checkpoint(path)
    safetensors.torch.save_file({"x": torch.zeros(2)}, path, {"format": "braincodec-weights", "version": "9"})
    with pytest.raises(ValueError, match=r"other.safetensors: checkpoint of version '9'; allowed: version '1'"):
        load_checkpoint(path)
    safetensors.torch.save_file(
        {"x": torch.zeros(2)}, path, {"format": "braincodec-weights", "version": "1", "config": "{}"}
    )
    with pytest.raises(ValueError, match=r"other.safetensors: damaged header"):
        load_checkpoint(path)


def own_file(path, header=None, **config):
    """A checkpoint of ours whose configuration or header says something else than its tensors."""
    model = trained_model()
    written = {**dataclasses.asdict(model.config), **config}
    fields = {"format": "braincodec-weights", "version": "1", "sha256": "", "metadata": "{}"}
    fields |= {"config": json.dumps(written), **(header or {})}
    safetensors.torch.save_file({name: t.contiguous() for name, t in model.state_dict().items()}, path, fields)
    return path


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"quantizers": 1_000_000}, "quantizers is 1000000; allowed: whole numbers from 1 to 64"),
        ({"codebook_size": 2**40}, "codebook_size is 1099511627776; allowed"),
        ({"n_filters": -4}, "n_filters is -4; allowed"),
        ({"dimension": "5"}, "dimension is '5'; allowed"),
        ({"window_s": 4.5}, "window_s is 4.5; allowed"),
        ({"ratios": [2, 0]}, r"ratios are \(2, 0\); allowed: 1 to 16 whole numbers"),
        ({"ratios": [2] * 99}, r"ratios are \(2, 2.*; allowed: 1 to 16"),
        ({"ratios": [64, 64]}, r"make a frame of 4096 samples; a window has 2048"),
        ({"compress": 9}, "compress is 9; allowed: at most n_filters"),
        ({"n_filters": 1024, "max_filters": 4096, "ratios": [2] * 8}, "tensors missing"),
        ({"odd": 1}, "damaged header"),
        ({"ratios": None}, "config holds no list of ratios"),
        ({"ratios": 3}, "config holds no list of ratios"),
    ],
)
def test_a_shape_that_no_network_has_is_refused_before_memory_is_taken(tmp_path, config, message):
    path = own_file(tmp_path / "own.safetensors", **config)
    resource_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=message):
        load_checkpoint(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resource_before < 50_000


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"metadata": "[1]"}, "metadata is a list"),
        ({"metadata": "{"}, ""),
        ({"metadata": "[" * 100_000}, ""),
        ({"config": "[]"}, "config holds no list of ratios"),
        ({"config": "nan"}, ""),
    ],
)
def test_a_header_that_is_no_json_of_ours_is_refused(tmp_path, header, reason):
    with pytest.raises(UserError, match=rf"own.safetensors: damaged header \({reason}"):
        load_checkpoint(own_file(tmp_path / "own.safetensors", header))


@pytest.mark.filterwarnings(
    "ignore:torch.quantize_per_tensor"
)  # files of earlier versions still hold such tensors
def test_published_shapes_that_no_network_has_are_refused(tmp_path):
    state = published_state(trained_model())
    state[FIRST] = torch.zeros(1).expand(2_000_000, 1, 3)
    with pytest.raises(
        UserError, match=r"published.ckpt: n_filters is 2000000; allowed: .* do not fit a BrainCodec"
    ):
        load_checkpoint(save_torch(tmp_path, state))
    for tensor in (
        torch.zeros(4, 1, 3).to_sparse(),
        torch.quantize_per_tensor(torch.zeros(4, 1, 3), 1, 0, torch.qint8),
    ):
        state[FIRST] = tensor
        with pytest.raises(UserError, match=r"not plain real numbers: encoder.first.weight"):
            load_checkpoint(save_torch(tmp_path, state))


def test_an_archive_that_unpacks_to_more_than_it_holds_is_refused(tmp_path):
    path = save_torch(tmp_path, published_state(trained_model()))
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content + bytes(10_000_000 * name.endswith("/data/0")))
    with pytest.raises(UserError, match=r"published.ckpt: damaged or cut off .*unpacks to \d+ bytes"):
        load_checkpoint(path)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(["own", "zip", "legacy"]), at=st.floats(0, 1), new=st.binary(min_size=1, max_size=6))
def test_bytes_written_over_give_one_line_or_a_whole_model(tmp_path, kind, at, new):
    """Wherever they fall; our files have a checksum, so there any model is the one that was saved."""
    path, model = tmp_path / "damaged", trained_model()
    if kind == "own":
        save_checkpoint(path, model, {"a": 1})
    else:
        torch.save(published_state(model), path, _use_new_zipfile_serialization=kind == "zip")
    content = bytearray(path.read_bytes())
    place = int(at * (len(content) - len(new)))
    content[place : place + len(new)] = new
    path.write_bytes(content)
    message = ""
    try:
        checkpoint = load_checkpoint(path)
    except UserError as error:
        message = str(error)
    else:
        assert kind != "own" or checkpoint.sha256 == weights_sha256(model)
    assert "\n" not in message


def test_flipped_bit_in_an_own_file_is_refused(tmp_path):
    path = tmp_path / "own.safetensors"
    save_checkpoint(path, trained_model(), {})
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="checksum"):
        load_checkpoint(path)


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "own.safetensors"
    save_checkpoint(path, trained_model(), {})
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DiskFullError, match=r"own.safetensors: disk full"):
        save_checkpoint(path, trained_model(), {"new": True})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_network_and_checkpoint_load_without_mne():
    code = "import sys, extract.braincodec.checkpoint; sys.exit('mne' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
