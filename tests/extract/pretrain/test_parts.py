"""Losses, quantizer training and data of pretraining, each against a plain form."""

import math

import pytest
import torch
from torch import Generator

from extract.braincodec.config import BrainCodecConfig
from extract.braincodec.quantizer import Codebook, ResidualQuantizer
from extract.pretrain.data import (
    Person,
    TrainingSignal,
    WindowSampler,
    augment,
    cut_windows,
    find_persons,
    shares,
    split,
)
from extract.pretrain.losses import LOSSES, Balancer, line_length, prd, reconstruction_losses
from extract.pretrain.quantizer import (
    DECAY,
    kmeans,
    perplexity,
    quantize_in_training,
    rows_of,
    start_codebooks,
    update,
)
from extract.pretrain.settings import TrainingSettings

CONFIG = BrainCodecConfig(
    ratios=(4, 4), n_filters=2, max_filters=4, dimension=3, quantizers=2, codebook_size=5, sample_rate_hz=64
)


def noise(*shape, seed=1):
    return torch.randn(*shape, generator=Generator().manual_seed(seed))


def test_prd_of_each_window():
    signal = noise(4, 1, 50)
    other = signal + 0.25 * signal.flip(0)
    ratio = (signal.flip(0) ** 2).sum((1, 2)) / (signal**2).sum((1, 2))
    torch.testing.assert_close(prd(signal, other), 25 * ratio.sqrt())


@pytest.mark.parametrize("name", LOSSES)
def test_losses_vanish_on_equal_signals_and_ignore_the_scale(name):
    signal, other = 50 * noise(3, 1, 512), 50 * noise(3, 1, 512, seed=2)
    (same,) = reconstruction_losses(signal, signal, [name]).values()
    (apart,) = reconstruction_losses(signal, other, [name]).values()
    (louder,) = reconstruction_losses(8 * signal, 8 * other, [name]).values()
    assert same < 0.01 * apart
    torch.testing.assert_close(apart, louder)


def test_every_loss_can_be_given_a_weight():
    weights = dict.fromkeys(LOSSES, 2.0)
    assert list(TrainingSettings(**weights).loss_weights) == list(LOSSES)


def test_l2_is_the_prd():
    signal, other = 50 * noise(3, 1, 512), 50 * noise(3, 1, 512, seed=2)
    (l2,) = reconstruction_losses(signal, other, ["l2"]).values()
    assert 100 * l2.item() == pytest.approx(prd(signal, other).mean().item(), rel=1e-4)


def test_line_length_is_a_mean_of_steps():
    signal = noise(2, 1, 300)
    steps = signal[0, 0].diff().abs()
    assert line_length(signal)[0, 0, 1].item() == pytest.approx(steps[64:191].mean().item(), rel=1e-5)


def test_unknown_loss_is_refused():
    with pytest.raises(ValueError, match="unknown loss: huber; allowed: l2, l1, line_length, spectrogram"):
        reconstruction_losses(noise(1, 1, 8), noise(1, 1, 8), ["huber"])


def test_balancer_gives_each_loss_its_share():
    output = noise(6).requires_grad_()
    first, second = torch.eye(6)[:2]
    losses = {"a": 1000 * (output * first).sum(), "b": 0.001 * (output * second).sum()}
    gradient = Balancer({"a": 3.0, "b": 1.0, "c": 0.0}).gradient(losses, output)
    torch.testing.assert_close(gradient, 0.75 * first + 0.25 * second)


def test_kmeans_finds_planted_clusters():
    centres = 20 * noise(4, 3)
    rows = (centres[:, None] + 0.01 * noise(4, 50, 3, seed=2)).flatten(0, 1)
    actual = min(
        (kmeans(rows, 4, Generator().manual_seed(seed)) for seed in range(8)),
        key=lambda vectors: torch.cdist(rows, vectors).amin(1).sum().item(),
    )
    assert torch.cdist(centres, actual).amin(1).max() < 0.1


def test_too_few_vectors_for_the_codes():
    with pytest.raises(ValueError, match="4 latent vectors for 5 codes; give more windows"):
        kmeans(noise(4, 3), 5, Generator())


def test_update_is_a_running_mean():
    codebook = Codebook(2, 3)
    codebook.counts.fill_(6.0)
    codebook.sums.copy_(6 * noise(2, 3))
    counts, sums = codebook.counts.clone(), codebook.sums.clone()
    rows, index = noise(12, 3, seed=3), torch.tensor([0, 1, 1] * 4)
    update(codebook, rows, index, Generator())
    for code in range(2):
        mine = rows[index == code]
        count = DECAY * counts[code] + (1 - DECAY) * len(mine)
        total = DECAY * sums[code] + (1 - DECAY) * mine.sum(0)
        torch.testing.assert_close(codebook.vectors[code], total / count)


def test_dead_code_moves_to_a_row():
    codebook = Codebook(3, 2)
    codebook.counts.copy_(torch.tensor([9.0, 0.01, 9.0]))
    codebook.vectors.copy_(torch.tensor([[0.0, 0.0], [99.0, 99.0], [1.0, 1.0]]))
    codebook.sums.copy_(codebook.vectors * codebook.counts[:, None])
    rows = torch.rand(40, 2, generator=Generator().manual_seed(1))
    update(codebook, rows, codebook.nearest(rows), Generator().manual_seed(2))
    assert torch.cdist(codebook.vectors[1:2], rows).min() < 1e-5


def test_training_quantizes_as_the_quantizer_does_and_passes_gradients():
    quantizer = ResidualQuantizer(CONFIG)
    latents = noise(4, 3, 7).requires_grad_()
    start_codebooks(quantizer, latents.detach(), Generator().manual_seed(1))
    expected = quantizer.dequantize(quantizer.quantize(latents))
    quantized, commitment = quantize_in_training(quantizer, latents, Generator().manual_seed(2))
    torch.testing.assert_close(quantized, expected)
    assert 0 < commitment < 1
    weights = noise(4, 3, 7, seed=9)
    (straight,) = torch.autograd.grad((quantized * weights).sum(), latents, retain_graph=True)
    torch.testing.assert_close(straight, weights)
    (pull,) = torch.autograd.grad(commitment, latents)
    assert ((latents - expected) * pull).sum() > 0


def test_stages_that_do_not_code_stay():
    quantizer = ResidualQuantizer(CONFIG)
    latents = noise(30, 3, 8)
    start_codebooks(quantizer, latents, Generator().manual_seed(1))
    before = [codebook.vectors.clone() for codebook in quantizer.codebooks]
    expected = quantizer.dequantize(quantizer.quantize(latents, 1))
    quantized, _ = quantize_in_training(quantizer, latents, Generator().manual_seed(2), stages=1)
    torch.testing.assert_close(quantized, expected)
    assert not torch.equal(quantizer.codebooks[0].vectors, before[0])
    assert torch.equal(quantizer.codebooks[1].vectors, before[1])


def test_codebooks_that_are_kept_stay_and_the_others_start_from_what_they_leave():
    quantizer, latents = ResidualQuantizer(CONFIG), noise(30, 3, 8)
    start_codebooks(quantizer, 2 * noise(30, 3, 8, seed=5), Generator().manual_seed(1))
    before = [codebook.vectors.clone() for codebook in quantizer.codebooks]
    start_codebooks(quantizer, latents, Generator().manual_seed(2), kept=1)
    assert torch.equal(quantizer.codebooks[0].vectors, before[0])
    left = (latents - quantizer.dequantize(quantizer.quantize(latents, 1))).transpose(1, 2).flatten(0, 1)
    expected = kmeans(left, CONFIG.codebook_size, Generator().manual_seed(2))
    torch.testing.assert_close(quantizer.codebooks[1].vectors, expected)


def test_codebooks_learn_what_they_code():
    quantizer = ResidualQuantizer(CONFIG)
    latents = 3 * noise(30, 3, 8) + 5
    start_codebooks(quantizer, noise(30, 3, 8, seed=5), Generator().manual_seed(1))
    losses = [
        quantize_in_training(quantizer, latents, Generator().manual_seed(step))[1].item() for step in range(400)
    ]
    assert losses[-1] < 0.5 * losses[0]


def test_perplexity_counts_codes_in_use():
    codes = torch.tensor([[[0, 2], [1, 2], [0, 2], [1, 2]]], dtype=torch.uint8)
    assert perplexity(codes, 4).tolist() == pytest.approx([2.0, 1.0])


def test_rows_keep_window_and_frame_together():
    latents = noise(2, 3, 4)
    assert torch.equal(rows_of(latents)[4 + 1], latents[1, :, 1])


def ramp(person, seconds, rate_hz=32.0, channels=2, dataset="x"):
    """Channel c holds 1000 * c + the time in seconds."""
    times = torch.arange(int(seconds * rate_hz)) / rate_hz
    return TrainingSignal(Person(dataset, person), rate_hz, times + 1000.0 * torch.arange(channels)[:, None])


def test_drawn_windows_are_pieces_of_one_channel():
    signals = [ramp("a", 30), ramp("b", 4.0), ramp("c", 9, rate_hz=50.0, channels=3)]
    sampler = WindowSampler(signals, CONFIG)
    windows = sampler.draw(64, Generator().manual_seed(1))
    assert windows.shape == (64, 1, 256)
    steps = windows.diff(dim=-1)[..., 8:-8]
    torch.testing.assert_close(steps, torch.full_like(steps, 1 / 64), rtol=0, atol=3e-3)
    assert {int(v) // 1000 for v in windows[:, 0, 0]} == {0, 1, 2}
    assert torch.equal(windows, sampler.draw(64, Generator().manual_seed(1)))
    assert not torch.equal(windows, sampler.draw(64, Generator().manual_seed(2)))


def test_drawn_windows_are_resampled_pieces_of_the_signals():
    """Of channels of the shortest length there is one piece, so the plain form is known."""
    signals = [
        TrainingSignal(Person("x", name), rate_hz, noise(channels, round(4 * rate_hz), seed=len(name)))
        for name, rate_hz, channels in (("a", 25.0, 2), ("bb", 64.0, 1), ("ccc", 200.0, 3))
    ]
    plain = torch.cat([cut_windows(signal, CONFIG) for signal in signals])
    drawn = WindowSampler(signals, CONFIG).draw(200, Generator().manual_seed(1))
    distances = (drawn - plain.transpose(0, 1)).abs().amax(2)  # (200, 6)
    assert distances.amin(1).max() < 1e-5
    assert set(distances.argmin(1).tolist()) == set(range(6))


def test_cut_windows_are_all_whole_ones_in_order():
    windows = cut_windows(ramp("a", 10.5), CONFIG)
    assert windows.shape == (2 * 2, 1, 256)
    assert windows[:, 0, 128].round().tolist() == [2, 6, 1002, 1006]


def test_augmentation_keeps_shape_and_some_windows_as_they_are():
    windows, others = noise(400, 1, 64), noise(400, 1, 64, seed=2)
    changed = augment(windows, others, Generator().manual_seed(3))
    assert changed.shape == windows.shape
    same = (changed == windows).all((1, 2)).float().mean().item()
    assert same == pytest.approx((2 / 3) ** 2 / 8, abs=0.04)
    turned = (changed == -windows).all((1, 2)).float().mean().item()
    assert turned == pytest.approx((2 / 3) ** 2 / 8, abs=0.04)
    assert math.isfinite(changed.abs().max())


def test_shares_are_roots_of_what_data_sets_and_persons_have():
    signals = [ramp("a", 36), ramp("b", 4), ramp("a", 12, dataset="y"), ramp("a", 24, dataset="y")]
    chances = shares(signals).double()
    of_x, of_y = chances[:2].sum(), chances[2:].sum()
    assert of_x / of_y == pytest.approx(math.sqrt(40 / 36), rel=1e-5)
    assert chances[0] / chances[1] == pytest.approx(math.sqrt(36 / 4), rel=1e-5)
    assert chances[3] / chances[2] == pytest.approx(24 / 12, rel=1e-5)


def test_split_holds_out_whole_persons_and_leaves_out_short_recordings():
    signals = [ramp("a", 30), ramp("b", 20), ramp("a", 3), ramp("b", 12), ramp("b", 8, dataset="y")]
    train, held_out = split(signals, {Person("x", "b")}, CONFIG, 8)
    assert [s.person for s in train] == [("x", "a"), ("y", "b")]
    assert [s.person for s in held_out] == [("x", "b"), ("x", "b")]


def test_a_person_is_held_out_of_every_data_set_whose_name_means_the_same():
    names = ("CHB-MIT seizure clips", "CHB-MIT Scalp EEG Database", "Siena")
    signals = [ramp(person, 20, dataset=name) for name in names for person in ("01", "02")]
    train, held_out = split(signals, {Person(names[0], "02")}, CONFIG, 8)
    assert [s.person for s in train] == [(names[0], "01"), (names[1], "01"), (names[2], "01"), (names[2], "02")]
    assert [s.person for s in held_out] == [(names[0], "02"), (names[1], "02")]


def test_split_names_what_is_wrong():
    with pytest.raises(ValueError, match="10 windows of 4 s to train on, a batch has 11; give more EEG"):
        split([ramp("a", 23), ramp("b", 20)], {Person("x", "b")}, CONFIG, 11)


def test_persons_are_found_by_data_set_or_folder():
    persons = {Person("Long name", "03"), Person("y", "03"), Person("y", "04")}
    folders = {"long": "Long name", "y": "y"}
    assert find_persons(["04"], persons, folders) == {("y", "04")}
    assert find_persons(["long/03"], persons, folders) == {("Long name", "03")}
    assert find_persons(["Long name/03", "y/03"], persons, folders) == {("Long name", "03"), ("y", "03")}
    with pytest.raises(ValueError, match=r"03 is a person of several data sets; write long/03 or y/03$"):
        find_persons(["03"], persons, folders)
    with pytest.raises(ValueError, match=r"no EEG of person 05; there: 03, 04$"):
        find_persons(["05"], persons, folders)
    with pytest.raises(ValueError, match=r"no EEG of person long/04; there: 03$"):
        find_persons(["long/04"], persons, folders)
    with pytest.raises(ValueError, match=r"lon/04: no data set lon \(did you mean long\?\); there: long, y$"):
        find_persons(["lon/04"], persons, folders)


def test_persons_are_found_by_the_name_of_their_subject_folder():
    persons = {Person("x", "03"), Person("x", "04"), Person("x", "sub-04")}
    assert find_persons(["sub-03", "x/sub-04"], persons, {"x": "x"}) == {("x", "03"), ("x", "sub-04")}
