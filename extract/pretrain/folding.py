"""The units of training, folded into the weights that are written."""

import torch
from torch import Tensor

from extract.braincodec.network import BrainCodec

UNIT_UV = 50.0  # the network trains on signals in this unit
BATCH_ENCODED = 64


def encode_all(model: BrainCodec, windows: Tensor) -> Tensor:
    """Latents of any number of windows, ``(N, 1, samples) -> (N, D, F)``."""
    return torch.cat([model.encode(part) for part in torch.split(windows, BATCH_ENCODED)])


@torch.no_grad()
def in_training_unit(model: BrainCodec) -> BrainCodec:
    """The model that does in the unit of training what this one does in microvolts."""
    return _scale_signal(model, UNIT_UV)


def _scale_signal(model: BrainCodec, factor: float) -> BrainCodec:
    """A model with the same codes for signals that are so many times smaller."""
    scaled = BrainCodec(model.config, seed=None).to(model.encoder.first.weight.device)
    scaled.load_state_dict(model.state_dict())
    scaled.encoder.first.weight.mul_(factor)
    scaled.decoder.last.weight.div_(factor)
    scaled.decoder.last.bias.div_(factor)
    return scaled


@torch.no_grad()
def fold_units(model: BrainCodec, windows: Tensor) -> BrainCodec:
    """The model that does in microvolts what this one does in its unit of training, with latents of unit scale.

    Codes and decoded signals are those of the model given, to rounding: signals are multiplied, latents divided,
    by a number before the first and after the last layer of encoder and decoder.

    Parameters
    ----------
    windows : Tensor
        ``(N, 1, samples)`` in the unit of training; the root mean square of their latents becomes one.
    """
    size = encode_all(model, windows).square().mean().sqrt()
    folded = _scale_signal(model, 1 / UNIT_UV)
    map_latents(folded, torch.eye(model.config.dimension, device=size.device) / size)
    return folded


@torch.no_grad()
def map_latents(model: BrainCodec, matrix: Tensor) -> None:
    """Multiply latents by an invertible matrix ``(D, D)``; what they decode to stays, to rounding.

    The matrix goes into the last layer of the encoder and the codebooks, its inverse into the first layer of the
    decoder.
    """
    last, first = model.encoder.last, model.decoder.first
    last.weight.copy_(torch.einsum("de,eck->dck", matrix, last.weight))
    last.bias.copy_(matrix @ last.bias)
    for codebook in model.quantizer.codebooks:
        codebook.vectors.copy_(codebook.vectors @ matrix.T)
        codebook.sums.copy_(codebook.sums @ matrix.T)
    first.weight.copy_(torch.einsum("cdk,de->cek", first.weight, torch.linalg.inv(matrix)))
