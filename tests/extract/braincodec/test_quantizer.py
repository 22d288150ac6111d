"""Codes chosen greedily and by a beam, against all sums of vectors."""

import itertools
from dataclasses import replace

import pytest
import torch

from extract.braincodec.config import BrainCodecConfig
from extract.braincodec.quantizer import ResidualQuantizer
from store.runtime.errors import UserError

CONFIG = BrainCodecConfig(dimension=3, quantizers=3, codebook_size=5)


def make(beam):
    quantizer = ResidualQuantizer(replace(CONFIG, beam=beam))
    for q, codebook in enumerate(quantizer.codebooks):
        codebook.vectors.normal_(generator=torch.Generator().manual_seed(q))
        codebook.trained.fill_(1)
    return quantizer


def latents(rows):
    return 2 * torch.randn(rows, 3, 7, generator=torch.Generator().manual_seed(9))


def distances(quantizer, signal):
    return (quantizer.dequantize(quantizer.quantize(signal)) - signal).square().sum(1)


def test_a_beam_that_keeps_all_finds_the_nearest_of_all_sums():
    quantizer, signal = make(beam=25), latents(40)
    books = [codebook.vectors for codebook in quantizer.codebooks]
    sums = torch.stack([sum(vectors) for vectors in itertools.product(*books)])
    rows = signal.transpose(1, 2).flatten(0, 1)
    nearest = torch.cdist(rows, sums).argmin(1)
    expected = torch.stack([nearest // 25, nearest // 5 % 5, nearest % 5], 1).view(40, 7, 3)
    codes = quantizer.quantize(signal)
    assert codes.dtype == torch.uint8
    assert torch.equal(codes.long(), expected)


def test_one_is_greedy_and_more_comes_nearer():
    signal = latents(40)
    greedy = make(beam=1)
    residual = signal.transpose(1, 2).flatten(0, 1)
    for q, codebook in enumerate(greedy.codebooks):
        code = torch.cdist(residual, codebook.vectors).argmin(1)
        assert torch.equal(greedy.quantize(signal)[..., q].flatten().long(), code)
        residual = residual - codebook.vectors[code]
    means = [distances(make(beam), signal).mean().item() for beam in (1, 2, 4, 25)]
    assert means == sorted(means, reverse=True)
    assert means[-1] < 0.9 * means[0]


def test_codes_of_a_window_do_not_depend_on_those_beside_it():
    quantizer, signal = make(beam=4), latents(400)  # more rows than are searched at once
    together = quantizer.quantize(signal)
    assert torch.equal(torch.cat([quantizer.quantize(part) for part in signal.split(150)]), together)


@pytest.mark.parametrize("beam", [1, 25])
def test_the_first_stages_alone_are_a_quantizer_of_their_own(beam):
    quantizer, signal = make(beam), latents(40)
    short = ResidualQuantizer(replace(CONFIG, quantizers=2, beam=beam))
    short.load_state_dict({k: v for k, v in quantizer.state_dict().items() if not k.startswith("codebooks.2")})
    codes = quantizer.quantize(signal, 2)
    assert torch.equal(codes, short.quantize(signal))
    torch.testing.assert_close(quantizer.dequantize(codes), short.dequantize(codes))


@pytest.mark.parametrize("beam", [1, 4])
def test_one_search_finds_the_codes_of_every_number_of_stages(beam):
    quantizer = make(beam)
    rows = latents(40).transpose(1, 2).flatten(0, 1)
    prefixes = quantizer.search_prefixes(rows)
    assert len(prefixes) == CONFIG.quantizers
    for stages, codes in enumerate(prefixes, start=1):
        assert torch.equal(codes, quantizer.search(rows, stages))


@pytest.mark.parametrize("beam", [1, 4])
def test_an_untrained_quantizer_has_no_codes(beam):
    with pytest.raises(UserError, match="never trained"):
        ResidualQuantizer(replace(CONFIG, beam=beam)).quantize(latents(1))
