"""Training of the residual quantizer: k-means start, running means, revival of dead codes."""

import torch
from torch import Generator, Tensor

from extract.braincodec.quantizer import Codebook, ResidualQuantizer
from store.runtime.errors import UserError

DECAY = 0.99
DEAD_BELOW = 2.0  # vectors a batch, on the running mean
GRACE = 4  # a new code starts this far above dead


@torch.no_grad()
def start_codebooks(quantizer: ResidualQuantizer, latents: Tensor, generator: Generator, kept: int = 0) -> None:
    """Set codebooks by k-means, each on what the ones before left over; the first ``kept`` stay.

    Raises
    ------
    UserError
        If there are fewer latent vectors in ``(N, D, F)`` than codes.
    """
    residual = rows_of(latents)
    for codebook in quantizer.codebooks[:kept]:
        residual = residual - codebook.vectors[codebook.nearest(residual)]
    for codebook in quantizer.codebooks[kept:]:
        vectors = kmeans(residual, codebook.vectors.shape[0], generator)
        codebook.vectors.copy_(vectors)
        codebook.counts.fill_(GRACE * DEAD_BELOW)
        codebook.sums.copy_(vectors * codebook.counts[:, None])
        codebook.trained.fill_(1)
        residual = residual - vectors[codebook.nearest(residual)]


def kmeans(rows: Tensor, size: int, generator: Generator, rounds: int = 10) -> Tensor:
    """Centres ``(size, D)`` of rows ``(rows, D)``; one without rows moves to a random row.

    scikit-learn's takes as long and ends as near (within 1 %; k-means++ 2 % nearer in six times the time), but
    would give the same seed other weights. So this is ours.

    Raises
    ------
    UserError
        If there are fewer rows than centres.
    """
    if len(rows) < size:
        raise UserError(f"{len(rows)} latent vectors for {size} codes; give more windows")
    centres = rows[torch.randperm(len(rows), generator=generator, device=rows.device)[:size]]
    for _ in range(rounds):
        nearest = torch.addmm(centres.square().sum(1), rows, centres.T, alpha=-2).argmin(1)
        counts = torch.bincount(nearest, minlength=size).float()
        sums = torch.zeros_like(centres).index_add_(0, nearest, rows)
        spare = rows[torch.randint(len(rows), (size,), generator=generator, device=rows.device)]
        centres = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], spare)
    return centres


def quantize_in_training(
    quantizer: ResidualQuantizer,
    latents: Tensor,
    generator: Generator,
    stages: int | None = None,
    moves: bool = True,
) -> tuple[Tensor, Tensor]:
    """Quantize with a straight-through gradient, and move the codebooks towards what they code.

    Parameters
    ----------
    quantizer : ResidualQuantizer
    latents : Tensor
        ``(N, D, F)``.
    generator : Generator
        Of what moves to a random row.
    stages
        How many of the quantizers code, the first ones; all by default. The others stay.
    moves
        Whether the codebooks move.

    Returns
    -------
    quantized : Tensor
        ``(N, D, F)``, gradients pass to the latents.
    commitment : Tensor
        Scalar: squared distance of latents to codes over the latents' variance, mean over the stages.
    """
    rows = rows_of(latents)
    scale = rows.detach().var(0).mean().clamp(min=1e-12)
    codes = quantizer.search(rows.detach(), stages)
    total = torch.zeros_like(rows)
    commitment = rows.new_zeros(())
    for codebook, index in zip(quantizer.codebooks, codes.unbind(1), strict=False):
        residual = rows.detach() - total
        total = total + codebook.vectors[index]
        commitment = commitment + (rows - total).square().mean() / scale
        if moves:
            update(codebook, residual, index, generator)
    quantized = rows + (total - rows).detach()
    commitment = commitment / codes.shape[1]
    return quantized.view(*latents.shape[::2], -1).transpose(1, 2), commitment


@torch.no_grad()
def update(codebook: Codebook, rows: Tensor, index: Tensor, generator: Generator) -> None:
    """Running means of the rows that chose each vector; a vector that few choose moves to a random row."""
    size = codebook.counts.shape[0]
    ones = torch.ones_like(index, dtype=torch.float32)
    codebook.counts.lerp_(torch.zeros_like(codebook.counts).index_add_(0, index, ones), 1 - DECAY)
    codebook.sums.lerp_(torch.zeros_like(codebook.sums).index_add_(0, index, rows), 1 - DECAY)
    dead_below = min(DEAD_BELOW, len(rows) / size / GRACE)
    dead = codebook.counts < dead_below
    revived = rows[torch.randint(len(rows), (size,), generator=generator, device=rows.device)]
    codebook.counts.masked_fill_(dead, GRACE * dead_below)
    codebook.sums.copy_(torch.where(dead[:, None], GRACE * dead_below * revived, codebook.sums))
    codebook.vectors.copy_(codebook.sums / codebook.counts[:, None])


def rows_of(latents: Tensor) -> Tensor:
    """``(N, D, F) -> (N * F, D)`` float32."""
    return latents.transpose(1, 2).flatten(0, 1).float()


def perplexity(codes: Tensor, size: int) -> Tensor:
    """Codes in effective use by each quantizer, ``(N, F, Q) -> (Q,)``.

    >>> perplexity(torch.tensor([[[0, 3], [1, 3], [2, 3], [3, 3]]]), 4).tolist()
    [4.0, 1.0]
    """
    shares = torch.stack([torch.bincount(q.flatten().long(), minlength=size) for q in codes.unbind(-1)])
    shares = shares / shares.sum(1, keepdim=True)
    return torch.exp(torch.special.entr(shares).sum(1))
