"""The residual vector quantizer of a BrainCodec: codes of latents, and latents of codes."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from extract.braincodec.config import BrainCodecConfig
from store.runtime.errors import UserError


class Codebook(nn.Module):
    """Vectors of one stage, with the running counts and sums that train them."""

    vectors: Tensor
    counts: Tensor
    sums: Tensor
    trained: Tensor

    def __init__(self, size: int, dimension: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.zeros(size, dimension))
        self.register_buffer("counts", torch.zeros(size))
        self.register_buffer("sums", torch.zeros(size, dimension))
        self.register_buffer("trained", torch.zeros(1))

    def nearest(self, rows: Tensor) -> Tensor:
        """Index of the vector closest to each row, ``(rows, D) -> (rows,)`` int64."""
        return torch.addmm(self.vectors.square().sum(1), rows, self.vectors.T, alpha=-2).argmin(1)


class ResidualQuantizer(nn.Module):
    """Each stage codes what the stages before it left over."""

    def __init__(self, config: BrainCodecConfig) -> None:
        super().__init__()
        books = nn.ModuleList(Codebook(config.codebook_size, config.dimension) for _ in range(config.quantizers))
        self.codebooks = cast(Sequence[Codebook], books)
        self.index_dtype = torch.uint8 if config.codebook_size <= 256 else torch.int32

    def quantize(self, latents: Tensor) -> Tensor:
        """``(N, D, F) -> (N, F, Q)`` codes, uint8 (int32 for more than 256 codes).

        Raises
        ------
        UserError
            If the quantizer was never trained.
        """
        self._require_trained()
        residual = latents.transpose(1, 2).flatten(0, 1).float()
        codes = []
        for codebook in self.codebooks:
            codes.append(codebook.nearest(residual))
            residual = residual - codebook.vectors[codes[-1]]
        return torch.stack(codes, dim=-1).view(*latents.shape[::2], -1).to(self.index_dtype)

    def dequantize(self, codes: Tensor) -> Tensor:
        """``(N, F, Q) -> (N, D, F)`` float32, the sum of the stages' vectors.

        Raises
        ------
        UserError
            If the quantizer was never trained.
        """
        self._require_trained()
        indices = codes.long().unbind(-1)
        parts = [codebook.vectors[index] for codebook, index in zip(self.codebooks, indices, strict=True)]
        return torch.stack(parts).sum(0).transpose(1, 2)

    def _require_trained(self) -> None:
        if not all(codebook.trained for codebook in self.codebooks):
            raise UserError(
                "the quantizer of this BrainCodec was never trained, so it has no codes; "
                "use latents, or a checkpoint whose codebooks are initialised"
            )
