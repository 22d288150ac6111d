"""Fit the codebooks of all stages together to a frozen encoder and decoder, for the least decoded error."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from extract.braincodec.network import BrainCodec
from extract.braincodec.quantizer import ResidualQuantizer
from extract.pretrain.folding import BATCH_ENCODED, UNIT_UV, encode_all, map_latents
from extract.pretrain.losses import FLOOR_UV
from extract.pretrain.quantizer import rows_of

ROUNDS = 8
PROBED = 2048  # windows whose decoder's derivative is looked at
PROBES = 4  # random signals for each of them
LEAST_ERROR = 0.01  # windows that are decoded with less count as this
LEAST_DISTANCE = 1e-3  # of the mean; windows whose latents are nearer to their codes count as this
RIDGE = 0.02  # pull of vectors to where they are, of the mean count
SHARE = 0.5  # of the way to latents in which equal distances are equal errors; see `docs/pretraining.md`


def fit_codes(model: BrainCodec, windows: Tensor, shares: Sequence[float], generator: Generator) -> None:
    """Fit the codebooks to the latents of windows, for the least mean PRD of the decoded signals.

    The latents are mapped linearly, so that their distances say more of the decoded error, and the map is folded
    into the weights: signals without quantizer stay the same.

    Parameters
    ----------
    model : BrainCodec
        In its unit of training, with trained codebooks.
    windows : Tensor
        ``(N, 1, samples)`` in that unit; those that are all zero do not count.
    shares : sequence of float
        How much the codes of the first quantizer count, those of the first two, and so on.
    generator : Generator
        Of the signals that probe the decoder.
    """
    windows = windows[windows.abs().amax((1, 2)) > 0]
    print(f"fitting codebooks to {len(windows)} windows", flush=True)
    latents = encode_all(model, windows)
    stages = model.config.default_quantizers
    quantized, decoded = _quantize(model, latents, stages)
    scales = windows.square().mean((1, 2)).sqrt().clamp(min=FLOOR_UV / UNIT_UV)
    errors = (decoded - windows).square().mean((1, 2)).sqrt().div(scales).clamp(min=LEAST_ERROR)
    of_signals = 1 / (scales.square() * errors)  # weights of squared errors, so that the relative ones count
    metric = error_metric(model, quantized[:PROBED], of_signals[:PROBED], generator)
    matrix = power(metric, SHARE / 2)
    map_latents(model, matrix)
    latents = torch.einsum("de,nef->ndf", matrix, latents)
    distances = (torch.einsum("de,nef->ndf", matrix, quantized) - latents).square().sum((1, 2))
    of_latents = errors / distances.clamp(min=LEAST_DISTANCE * distances.mean())  # so that distances are errors
    fit_codebooks(model.quantizer, rows_of(latents), of_latents.repeat_interleave(latents.shape[2]), shares)


@torch.no_grad()
def _quantize(model: BrainCodec, latents: Tensor, stages: int) -> tuple[Tensor, Tensor]:
    """Quantized latents, and what they decode to."""
    quantized = [model.dequantize(model.quantize(p, stages)) for p in torch.split(latents, BATCH_ENCODED)]
    return torch.cat(quantized), torch.cat([model.decode(part) for part in quantized])


def error_metric(model: BrainCodec, latents: Tensor, weights: Tensor, generator: Generator) -> Tensor:
    """How the squared error of decoded signals grows with that of the latents of a frame, near these latents.

    The mean of ``J.T @ J`` over frames, where ``J`` is the decoder's derivative by the latents of a frame; by
    random signals through the decoder's backward pass, whose products have that mean.

    Returns
    -------
    Tensor
        ``(D, D)``, symmetric, of trace D.
    """
    metric = torch.zeros(model.config.dimension, model.config.dimension, device=latents.device)
    for part, weight in zip(torch.split(latents, BATCH_ENCODED), torch.split(weights, BATCH_ENCODED), strict=True):
        part = part.clone().requires_grad_()
        decoded = model.decoder(part)
        for _ in range(PROBES):
            probe = torch.randn(decoded.shape, generator=generator, device=decoded.device)
            (gradient,) = torch.autograd.grad(decoded, part, probe, retain_graph=True)
            rows = rows_of(gradient * weight.sqrt()[:, None, None])
            metric += rows.T @ rows
    return metric * (len(metric) / metric.trace())


def power(matrix: Tensor, exponent: float) -> Tensor:
    """Of a symmetric positive matrix; eigenvalues under a thousandth of the largest count as that.

    >>> power(torch.tensor([[4.0, 0.0], [0.0, 9.0]]), 0.5)
    tensor([[2., 0.],
            [0., 3.]])
    """
    values, vectors = torch.linalg.eigh(matrix)
    raised: Tensor = vectors * values.clamp(min=values[-1] / 1000) ** exponent @ vectors.T
    return raised


@torch.no_grad()
def fit_codebooks(
    quantizer: ResidualQuantizer, rows: Tensor, weights: Tensor, shares: Sequence[float], rounds: int = ROUNDS
) -> None:
    """Least squares over the vectors of all stages at once, in turn with a new choice of codes.

    Running means fit each stage to what those before leave over; here the stages know of each other (Babenko and
    Lempitsky, Additive Quantization for Extreme Vector Compression, CVPR 2014).

    Parameters
    ----------
    quantizer : ResidualQuantizer
    rows : Tensor
        ``(rows, D)``.
    weights : Tensor
        ``(rows,)`` of the squared distances.
    shares : sequence of float
        Of the codes by the first stage, by the first two, and so on.
    rounds : int
    """
    books = quantizer.codebooks
    size, dims = books[0].vectors.shape
    weights = weights / weights.mean()
    for number in range(1, rounds + 1):
        print(f"fitting codebooks, round {number} of {rounds}", flush=True)
        products = rows.new_zeros(len(books) * size, len(books) * size)
        sums = rows.new_zeros(len(books) * size, dims)
        for share, codes in zip(shares, quantizer.search_prefixes(rows), strict=True):
            if not share:
                continue
            columns = codes + size * torch.arange(codes.shape[1], device=codes.device)
            for column in columns.unbind(1):
                sums.index_add_(0, column, rows * (share * weights)[:, None])
                for other in columns.unbind(1):
                    products.view(-1).index_add_(0, column * len(products) + other, share * weights)
        before = torch.cat([book.vectors for book in books])
        ridge = RIDGE * products.diagonal().mean()
        left, right = products.cpu().double(), (sums + ridge * before).cpu().double()
        left.diagonal().add_(ridge.cpu())
        vectors = torch.linalg.solve(left, right).to(before)
        for book, part in zip(books, torch.split(vectors, size), strict=True):
            book.vectors.copy_(part)
            book.sums.copy_(part * book.counts[:, None])
