"""The BrainCodec network: convolutional encoder and decoder with a residual vector quantizer between.

Carzaniga et al., "The Case for Cleaner Biosignals", ICLR 2025, arXiv 2502.17462. One EEG channel at a time.
"""

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from extract.braincodec.config import BrainCodecConfig
from extract.braincodec.elu import padded_elu, reflect
from extract.braincodec.quantizer import ResidualQuantizer


def paddings(length: int, kernel_size: int, stride: int) -> tuple[int, int]:
    """Left and right padding of a convolution, so that no sample is lost.

    >>> paddings(2048, 4, 2), paddings(5, 4, 2), paddings(7, 3, 1)
    ((1, 1), (1, 2), (1, 1))
    """
    total = kernel_size - stride
    right = total // 2
    return total - right, right + -length % stride


class Conv(nn.Module):
    """Strided convolution with reflection, ``(N, C, 1, L) -> (N, C', 1, ceil(L / stride))``.

    One-dimensional, run as a two-dimensional one in channels-last memory: twice as fast on a CPU.
    """

    def __init__(self, width_in: int, width_out: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(torch.empty(width_out, width_in, kernel_size))
        self.bias = nn.Parameter(torch.empty(width_out))

    def forward(self, x: Tensor) -> Tensor:
        """Convolve as it is, without an ELU before."""
        return self._convolve(reflect(x, *self._paddings(x)))

    def after_elu(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        """The convolution of ``elu(x + added)``."""
        return self._convolve(padded_elu(x, added, *self._paddings(x)))

    def _paddings(self, x: Tensor) -> tuple[int, int]:
        return paddings(x.shape[-1], self.weight.shape[-1], self.stride)

    def _convolve(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        weight, bias = self.weight.unsqueeze(2).to(x.dtype), self.bias.to(x.dtype)
        y = F.conv2d(x, weight, bias, stride=(1, self.stride))
        return y.contiguous(memory_format=torch.channels_last)  # of one input channel it comes otherwise


class TransposedConv(nn.Module):
    """Up-sampling convolution, ``(N, C, 1, L) -> (N, C', 1, L * stride)``."""

    def __init__(self, width_in: int, width_out: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(torch.empty(width_in, width_out, 2 * stride))
        self.bias = nn.Parameter(torch.empty(width_out))

    def after_elu(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        """The up-sampling convolution of ``elu(x + added)``."""
        weight, bias = self.weight.unsqueeze(2).to(x.dtype), self.bias.to(x.dtype)
        y = F.conv_transpose2d(padded_elu(x, added), weight, bias, stride=(1, self.stride))
        left = self.stride - self.stride // 2
        return y[..., left : left + x.shape[-1] * self.stride]


class Residual(nn.Module):
    """What a residual block adds to its input: ``widen(elu(narrow(elu(x))))``."""

    def __init__(self, width: int, config: BrainCodecConfig) -> None:
        super().__init__()
        self.narrow = Conv(width, width // config.compress, config.residual_kernel_size)
        self.widen = Conv(width // config.compress, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the branch that is added to ``x``, of the same shape."""
        return self.widen.after_elu(self.narrow.after_elu(x))


class SEANetEncoder(nn.Module):
    """``(N, 1, samples) -> (N, D, F)``."""

    def __init__(self, config: BrainCodecConfig) -> None:
        super().__init__()
        widths = config.widths
        self.first = Conv(1, widths[0], config.kernel_size)
        residuals = nn.ModuleList(Residual(width, config) for width in widths[:-1])
        downs = nn.ModuleList(
            Conv(a, b, 2 * ratio, ratio)
            for a, b, ratio in zip(widths[:-1], widths[1:], config.ratios, strict=True)
        )
        self.residuals = cast(Sequence[Residual], residuals)  # torch's type says modules of any kind
        self.downs = cast(Sequence[Conv], downs)
        self.last = Conv(widths[-1], config.dimension, config.last_kernel_size)

    def forward(self, signal_uv: Tensor) -> Tensor:
        """Encode signals ``(N, 1, samples)`` in microvolts to latents ``(N, D, F)``."""
        x = self.first(signal_uv.unsqueeze(2))
        for residual, down in zip(self.residuals, self.downs, strict=True):
            x = down.after_elu(x, residual(x))
        return self.last.after_elu(x).squeeze(2)


class SEANetDecoder(nn.Module):
    """``(N, D, F) -> (N, 1, F * hop)``."""

    def __init__(self, config: BrainCodecConfig) -> None:
        super().__init__()
        widths, ratios = config.widths[::-1], config.ratios[::-1]
        self.first = Conv(config.dimension, widths[0], config.kernel_size)
        ups = nn.ModuleList(
            TransposedConv(a, b, ratio) for a, b, ratio in zip(widths[:-1], widths[1:], ratios, strict=True)
        )
        residuals = nn.ModuleList(Residual(width, config) for width in widths[1:])
        self.ups = cast(Sequence[TransposedConv], ups)  # as in the encoder
        self.residuals = cast(Sequence[Residual], residuals)
        self.last = Conv(widths[-1], 1, config.last_kernel_size)

    def forward(self, latents: Tensor) -> Tensor:
        """Decode latents ``(N, D, F)`` to signals ``(N, 1, F * hop)`` in microvolts."""
        x, added = self.first(latents.unsqueeze(2)), None
        for up, residual in zip(self.ups, self.residuals, strict=True):
            x = up.after_elu(x, added)
            added = residual(x)
        return self.last.after_elu(x, added).squeeze(2)


class BrainCodec(nn.Module):
    """Encoder, residual quantizer and decoder.

    Parameters
    ----------
    config : BrainCodecConfig
    seed : int, optional
        Of the uniform initial weights, bounded by one over the root of the fan-in; torch's own random
        state is not touched. None leaves them as they are. The quantizer starts untrained.
    """

    def __init__(self, config: BrainCodecConfig, seed: int | None = 0) -> None:
        super().__init__()
        self.config = config
        self.encoder = SEANetEncoder(config)
        self.decoder = SEANetDecoder(config)
        self.quantizer = ResidualQuantizer(config)
        if seed is None:
            return
        generator = torch.Generator().manual_seed(seed)
        for layer in self.modules():
            if isinstance(layer, Conv | TransposedConv):
                bound = 1 / math.sqrt(layer.weight[0].numel())
                for parameter in layer.parameters():
                    nn.init.uniform_(parameter, -bound, bound, generator=generator)

    def encode(self, signal_uv: Tensor) -> Tensor:
        """``(N, 1, samples)`` microvolts -> ``(N, D, F)`` latents, both float32.

        The arithmetic is that of the encoder's weights: ``model.encoder.bfloat16()`` changes it.
        """
        latents: Tensor = self.encoder(signal_uv.to(self.encoder.first.weight.dtype))
        return latents.float()

    def quantize(self, latents: Tensor, stages: int | None = None) -> Tensor:
        """``(N, D, F)`` latents -> ``(N, F, Q)`` codes; see `ResidualQuantizer.quantize`."""
        return self.quantizer.quantize(latents, stages)

    def dequantize(self, codes: Tensor) -> Tensor:
        """``(N, F, Q)`` codes -> ``(N, D, F)`` latents; see `ResidualQuantizer.dequantize`."""
        return self.quantizer.dequantize(codes)

    def decode(self, latents: Tensor) -> Tensor:
        """``(N, D, F)`` latents -> ``(N, 1, F * hop)`` microvolts, both float32."""
        signal_uv: Tensor = self.decoder(latents.to(self.decoder.first.weight.dtype))
        return signal_uv.float()
