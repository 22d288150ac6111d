"""The loop of pretraining: it learns, resumes exactly, stops when it diverges; and the command around it."""

import dataclasses
import subprocess
import sys

import pytest
import torch

from extract.braincodec.config import BrainCodecConfig
from extract.pretrain.data import Person, TrainingSignal, WindowSampler, cut_windows
from extract.pretrain.discriminator import Adversary
from extract.pretrain.folding import UNIT_UV, fold_units
from extract.pretrain.losses import prd
from extract.pretrain.origin import Origin
from extract.pretrain.quantizer import rows_of
from extract.pretrain.settings import TrainingSettings
from extract.pretrain.training import Training, train
from extract.pretrain.validation import validate
from store.runtime.errors import DiskFullError, UserError
from tests.helpers.paths import ROOT

CONFIG = BrainCodecConfig(
    ratios=(2, 2),
    n_filters=4,
    max_filters=8,
    dimension=6,
    quantizers=2,
    codebook_size=16,
    sample_rate_hz=32,
    beam=3,
)
SETTINGS = TrainingSettings(
    steps=12, batch=4, warmup=3, quantize_from=5, every=4, l1=0.1, line_length=0.1, spectrogram=0.1
)


def waves(person, seed=0):
    """Three channels of 40 s with two rhythms each, microvolts."""
    generator = torch.Generator().manual_seed(seed)
    times = torch.arange(40 * 32) / 32
    hertz, phases = 1 + 2 * torch.rand(3, 2, 1, generator=generator), 6 * torch.rand(3, 2, 1, generator=generator)
    return TrainingSignal(Person("x", person), 32.0, 60 * torch.sin(2 * torch.pi * hertz * times + phases).sum(1))


@pytest.fixture
def signals():
    return [waves("a", 1), waves("b", 2)]


@pytest.fixture
def sampler(signals):
    return WindowSampler(signals, CONFIG)


def weights(training):
    return {name: tensor.clone() for name, tensor in training.model.state_dict().items()}


def assert_same_weights(first, second):
    """Of the models that are trained and of their running means, bit for bit."""
    torch.testing.assert_close(weights(first), weights(second), rtol=0, atol=0)
    torch.testing.assert_close(first.averaged.state_dict(), second.averaged.state_dict(), rtol=0, atol=0)


def test_learns_and_reports(sampler, tmp_path):
    settings = dataclasses.replace(SETTINGS, steps=200, batch=8, learning_rate=5e-3, quantize_from=100, every=100)
    training = Training(CONFIG, settings)
    figures = list(train(training, sampler, [waves("c", 3)], tmp_path / "state"))
    assert [f["step"] for f in figures] == [100, 200]
    assert figures[-1]["prd"] < 70
    part = validate(training.averaged, [waves("c", 3)])["x/c"]
    assert part["prd"] == pytest.approx(figures[-1]["prd"])
    assert part["windows"] == 30
    assert all(4 < value <= 16 for value in part["perplexity"])


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "float32"},
        {"nested": 0.5},
        {"quantize_from": 0},
        {"adversarial": 0.5, "feature_matching": 0.5, "adversarial_from": 6},
    ],
)
def test_resumed_run_gives_the_same_weights(sampler, tmp_path, changes):
    settings, held_out = dataclasses.replace(SETTINGS, **changes), [waves("c", 3)]
    whole = Training(CONFIG, settings)
    list(train(whole, sampler, held_out, tmp_path / "whole"))
    for stop in (4, 8):
        killed = Training(CONFIG, settings)
        for figures in train(killed, sampler, held_out, tmp_path / "killed"):
            if figures["step"] == stop:
                break
        killed.advance(sampler)  # lost: it came after the state was saved
        resumed = Training(CONFIG, settings)
        resumed.load(tmp_path / "killed")
        assert resumed.step == stop
        list(train(resumed, sampler, held_out, tmp_path / "killed"))
        assert_same_weights(resumed, whole)
        assert resumed.history == whole.history


def test_discriminator_learns_to_tell_real_from_made(signals):
    real = cut_windows(signals[0], CONFIG)
    made = real.flip(-1) + 20 * torch.randn(real.shape, generator=torch.Generator().manual_seed(1))
    adversary = Adversary(seed=0)
    first, *_, last = [adversary.compete(real, made.requires_grad_(), 1e-3) for _ in range(4)]
    assert last["adversarial"] > first["adversarial"]
    (pull,) = torch.autograd.grad(last["adversarial"] + last["feature_matching"], made)
    assert pull.abs().sum() > 0
    assert adversary.compete(real, real, 0.0)["feature_matching"] == 0


@pytest.fixture
def begun(sampler):
    """A model with trained codebooks."""
    training = Training(CONFIG, dataclasses.replace(SETTINGS, quantize_from=0))
    for _ in range(20):
        training.advance(sampler)
    return training.model


def test_where_the_encoder_is_frozen_codebooks_are_fitted_once_and_the_decoder_learns(signals, sampler, begun):
    training = Training(CONFIG, dataclasses.replace(SETTINGS, quantize_from=5, freeze_encoder=True))
    training.start_from(begun)
    start, signal = weights(training), cut_windows(signals[0], CONFIG) / UNIT_UV
    before = training.model.encode(signal)
    first = training.advance(sampler)
    fitted = weights(training)
    *_, last = [training.advance(sampler) for _ in range(30)]
    after = weights(training)
    assert last < first
    for name, tensor in after.items():
        is_mapped = name.startswith(("encoder.last", "quantizer"))
        assert torch.equal(fitted[name], tensor) == (not name.startswith("decoder")), name
        if name.startswith("encoder") and not is_mapped:
            assert torch.equal(start[name], tensor), name
        if name.endswith("vectors"):
            assert not torch.equal(start[name], tensor), name
    x, y = (rows_of(z).detach() for z in (before, training.model.encode(signal)))
    matrix = torch.linalg.lstsq(x, y).solution
    torch.testing.assert_close(x @ matrix, y, rtol=1e-3, atol=1e-3)


def test_a_frozen_encoder_resumes_exactly(sampler, begun, tmp_path):
    settings = dataclasses.replace(SETTINGS, freeze_encoder=True)
    whole = Training(CONFIG, settings)
    whole.start_from(begun)
    list(train(whole, sampler, [], tmp_path / "whole"))
    killed = Training(CONFIG, settings)
    killed.start_from(begun)
    next(train(killed, sampler, [], tmp_path / "killed"))
    resumed = Training(CONFIG, settings)
    resumed.start_from(begun)
    resumed.load(tmp_path / "killed")
    list(train(resumed, sampler, [], tmp_path / "killed"))
    assert_same_weights(resumed, whole)


def test_fitted_codebooks_are_kept_before_the_first_step(sampler, begun, tmp_path, monkeypatch):
    settings = dataclasses.replace(SETTINGS, freeze_encoder=True)
    whole, killed, resumed = (Training(CONFIG, settings) for _ in range(3))
    for training in (whole, killed):
        training.start_from(begun)
    whole.advance(sampler)
    with pytest.raises(KeyboardInterrupt):
        killed.advance(sampler, keep_fit=lambda: [killed.save(tmp_path / "state"), interrupt()])
    monkeypatch.setattr("extract.pretrain.training.fit_codes", interrupt)
    resumed.load(tmp_path / "state")
    assert resumed.step == 0
    resumed.advance(sampler)
    assert_same_weights(resumed, whole)


def interrupt(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("quantizers", "nested", "shares"),
    [(8, 0.0, [0.0] * 7 + [1.0]), (8, 0.25, [0.03125] * 3 + [0.78125] + [0.03125] * 4), (2, 0.5, [0.25, 0.75])],
)
def test_codebooks_are_fitted_for_the_numbers_of_stages_that_code_batches(quantizers, nested, shares):
    config = dataclasses.replace(CONFIG, quantizers=quantizers)
    training = Training(config, dataclasses.replace(SETTINGS, nested=nested))
    assert training._stage_shares() == pytest.approx(shares)
    drawn = []
    for training.step in range(2000):
        drawn.append(training._draw_stages())
    counted = [drawn.count(stages) / 2000 for stages in range(1, quantizers + 1)]
    assert counted == pytest.approx(shares, abs=0.03)


@pytest.mark.parametrize(("quantize_from", "is_kept"), [(0, True), (2, False)])
def test_trained_codebooks_are_kept_where_the_quantizer_is_on_from_the_start(
    signals, sampler, quantize_from, is_kept
):
    first = Training(CONFIG, dataclasses.replace(SETTINGS, quantize_from=0))
    for _ in range(20):
        first.advance(sampler)
    second = Training(CONFIG, dataclasses.replace(SETTINGS, quantize_from=quantize_from, seed=5))
    second.start_from(fold_units(first.model, cut_windows(signals[0], CONFIG) / UNIT_UV))
    before = second.model.quantizer.codebooks[0].vectors.clone()
    for _ in range(3):
        second.advance(sampler)
    moved = (second.model.quantizer.codebooks[0].vectors - before).norm() / before.norm()
    assert (moved < 0.3) == is_kept


def test_quantizers_are_added_to_a_trained_model(signals, sampler):
    first = Training(CONFIG, dataclasses.replace(SETTINGS, quantize_from=0))
    for _ in range(20):
        first.advance(sampler)
    more = dataclasses.replace(CONFIG, quantizers=CONFIG.quantizers + 2)
    second = Training(more, dataclasses.replace(SETTINGS, quantize_from=0, learning_rate=0.0, adamw_rate=0.0))
    second.start_from(first.model)
    books = second.model.quantizer.codebooks
    assert [bool(book.trained) for book in books] == [True] * CONFIG.quantizers + [False] * 2
    second.advance(sampler)
    assert all(book.trained for book in books)
    latents = second.model.encode(cut_windows(signals[0], CONFIG) / UNIT_UV).detach()
    left = [
        float((latents - second.model.dequantize(second.model.quantize(latents, stages))).square().mean())
        for stages in (CONFIG.quantizers, CONFIG.quantizers + 1, CONFIG.quantizers + 2)
    ]
    assert left[0] > left[1] > left[2]


def test_seed_decides_the_weights(sampler, tmp_path):
    runs = []
    for seed in (1, 1, 2):
        training = Training(CONFIG, dataclasses.replace(SETTINGS, seed=seed))
        list(train(training, sampler, [], tmp_path / "state"))
        runs.append(weights(training))
    torch.testing.assert_close(runs[0], runs[1], rtol=0, atol=0)
    assert not torch.equal(runs[0]["encoder.first.weight"], runs[2]["encoder.first.weight"])


def test_divergence_stops_with_the_last_good_state_kept(sampler, tmp_path):
    training = Training(CONFIG, SETTINGS)
    run = train(training, sampler, [], tmp_path / "state")
    assert [next(run)["step"], next(run)["step"]] == [4, 8]
    training.model.decoder.first.bias.data.fill_(float("inf"))
    with pytest.raises(ValueError, match=r"diverged at step 8: .*not finite"):
        next(run)
    kept = Training(CONFIG, SETTINGS)
    kept.load(tmp_path / "state")
    assert kept.step == 8
    assert all(tensor.isfinite().all() for tensor in kept.model.state_dict().values())


def test_state_of_other_settings_or_configuration_is_refused(sampler, tmp_path):
    path = tmp_path / "state"
    list(train(Training(CONFIG, SETTINGS), sampler, [], path))
    with pytest.raises(ValueError, match=r"state: started with batch 4, now 5; use the same settings"):
        Training(CONFIG, dataclasses.replace(SETTINGS, batch=5)).load(path)
    with pytest.raises(ValueError, match=r"started with ratios \(2, 2\), now \(2, 4\)"):
        Training(dataclasses.replace(CONFIG, ratios=(2, 4)), SETTINGS).load(path)
    Training(CONFIG, dataclasses.replace(SETTINGS, steps=99)).load(path)


def origin(seen, held_out="", begun_with=""):
    """Of persons of one letter each."""
    persons = [frozenset(Person("x", name) for name in names) for names in (seen, held_out)]
    return Origin(*persons, begun_with)


@pytest.mark.parametrize(
    ("now", "message"),
    [
        (origin("a", "bc"), r"x/b trained on \(now held out\)"),
        (origin("ac", "b"), r"x/b trained on \(now held out\), x/c held out \(now trained on\)"),
        (origin("abd", "c"), r"x/d left out \(now trained on\)"),
        (origin("ab"), r"x/c held out \(now left out\)"),
        (origin("ab", "c", "1234567890"), r"weights random \(now 12345678\)"),
    ],
)
def test_state_of_another_origin_is_refused(tmp_path, now, message):
    training = Training(CONFIG, SETTINGS)
    training.origin = origin("ab", "c")
    training.save(tmp_path / "state")
    training.load(tmp_path / "state")
    training.origin = now
    text = f"state: started with {message}; give the same --bids, --hold-out and --start, or another --out$"
    with pytest.raises(UserError, match=text):
        training.load(tmp_path / "state")


def test_state_of_an_earlier_version_has_the_origin_that_is_known(tmp_path):
    path = tmp_path / "state"
    training = Training(CONFIG, SETTINGS)
    training.save(path)
    state = torch.load(path, weights_only=True)
    del state["origin"]
    torch.save(state, path)
    training.origin = origin("a", "b")
    training.load(path)
    training.load(path, origin("a", "b"))
    with pytest.raises(UserError, match=r"started with x/b trained on \(now held out\); give the same"):
        training.load(path, origin("ab"))


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_damaged_state_is_refused(sampler, tmp_path, share):
    path = tmp_path / "state"
    list(train(Training(CONFIG, SETTINGS), sampler, [], path))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match="state: not the state of a training"):
        Training(CONFIG, SETTINGS).load(path)


def test_a_full_disk_is_said_and_leaves_the_last_state_alone(tmp_path, monkeypatch):
    path = tmp_path / "state"
    training = Training(CONFIG, SETTINGS)
    training.save(path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DiskFullError, match="state: disk full"):
        training.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("damaged", [3, {"persons_seen": 3}, {"persons_held_out": {"x": 3}}])
def test_a_state_with_a_damaged_origin_is_refused(tmp_path, damaged):
    path = tmp_path / "state"
    training = Training(CONFIG, SETTINGS)
    training.save(path)
    torch.save(torch.load(path, weights_only=True) | {"origin": damaged}, path)
    with pytest.raises(UserError, match=r"state: not the state of a training; remove state to train anew"):
        training.load(path)


@pytest.mark.parametrize(
    "changes", [{"model": {}}, {"optimizers": 3}, {"step": None, "norms": 1}, {"history": "missing"}]
)
def test_a_state_with_damaged_parts_is_refused(tmp_path, changes):
    path = tmp_path / "state"
    training = Training(CONFIG, SETTINGS)
    training.save(path)
    state = torch.load(path, weights_only=True) | changes
    if changes.get("history"):
        del state["history"]
    torch.save(state, path)
    with pytest.raises(UserError, match=r"state: damaged state of a training; remove state to train anew"):
        training.load(path)


def test_units_are_folded_into_the_weights(signals, sampler, tmp_path):
    training = Training(CONFIG, SETTINGS)
    list(train(training, sampler, [], tmp_path / "state"))
    model = training.averaged
    model.encoder.last.weight.data *= 1e5  # as after a long training
    model.encoder.last.bias.data *= 1e5
    for codebook in model.quantizer.codebooks:
        codebook.vectors *= 1e5
    signal_uv = cut_windows(signals[0], CONFIG)
    folded = fold_units(model, signal_uv / UNIT_UV)
    latents = folded.encode(signal_uv)
    assert latents.square().mean().sqrt().item() == pytest.approx(1, rel=1e-3)
    before = model.encode(signal_uv / UNIT_UV)
    expected = UNIT_UV * model.decode(before)
    atol = 1e-4 * expected.abs().max().item()  # sums of large terms that cancel
    torch.testing.assert_close(folded.decode(latents), expected, rtol=1e-3, atol=atol)
    codes = folded.quantize(latents)
    assert torch.equal(codes, model.quantize(before))
    decoded, expected = folded.decode(folded.dequantize(codes)), model.decode(model.dequantize(codes))
    torch.testing.assert_close(decoded, UNIT_UV * expected, rtol=1e-3, atol=atol)


def test_silent_windows_do_not_spoil_the_mean_error_of_batches(signals, tmp_path):
    silent = TrainingSignal(Person("x", "a"), 32.0, torch.zeros(3, 40 * 32))
    training = Training(CONFIG, dataclasses.replace(SETTINGS, batch=8))
    figures = list(train(training, WindowSampler([*signals, silent], CONFIG), [], tmp_path / "state"))
    assert all(10 < f["batch_prd"] < 200 for f in figures)


def test_all_zero_windows_have_no_prd_and_do_not_count(signals):
    training = Training(CONFIG, SETTINGS)
    quiet = TrainingSignal(Person("x", "a"), 32.0, torch.cat([torch.zeros(3, 128), signals[0].signal_uv], dim=1))
    assert validate(training.model, [quiet]) == validate(training.model, [signals[0]])
    assert prd(torch.zeros(1, 1, 4), torch.ones(1, 1, 4)).isinf().all()


def test_training_loads_without_mne():
    code = "import sys, extract.pretrain.training; sys.exit('mne' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
