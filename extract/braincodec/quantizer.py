"""The residual vector quantizer of a BrainCodec: latents to codes and back."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from extract.braincodec.config import BrainCodecConfig
from store.runtime.errors import UserError

_ROWS_AT_ONCE = {"cpu": 1024, "cuda": 65_536}  # of a beam's search; a beam of 8 has 8 kB of distances a row


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
        self.codebooks = cast(Sequence[Codebook], books)  # torch's type says modules of any kind
        self.index_dtype = torch.uint8 if config.codebook_size <= 256 else torch.int32
        self.beam = config.beam

    def quantize(self, latents: Tensor, stages: int | None = None) -> Tensor:
        """``(N, D, F) -> (N, F, Q)`` codes, uint8 (int32 for more than 256 codes); see `search`.

        Parameters
        ----------
        latents : Tensor
        stages
            Q, how many of the quantizers code, the first ones; all by default.

        Raises
        ------
        UserError
            If the quantizer was never trained.
        """
        self._require_trained()
        codes = self.search(latents.transpose(1, 2).flatten(0, 1).float(), stages)
        return codes.view(*latents.shape[::2], -1).to(self.index_dtype)

    def search(self, rows: Tensor, stages: int | None = None) -> Tensor:
        """Codes of rows by the first stages, ``(rows, D) -> (rows, stages)`` int64.

        A beam of 1 takes the vector nearest to what is left over, stage after stage, as published. A wider beam
        keeps that many of the best sums of vectors at each stage, and the best at the last.
        """
        codebooks = list(self.codebooks)[:stages]
        if self.beam == 1:
            return _search_greedily(codebooks, rows)
        return torch.cat([_search_beam(codebooks, part, self.beam)[-1] for part in _split(rows)])

    def search_prefixes(self, rows: Tensor) -> list[Tensor]:
        """Codes by the first stage alone, by the first two, and so on: what `search` finds for each number."""
        codebooks = list(self.codebooks)
        if self.beam == 1:
            codes = _search_greedily(codebooks, rows)
            return [codes[:, : count + 1] for count in range(len(codebooks))]
        parts = [_search_beam(codebooks, part, self.beam, every=True) for part in _split(rows)]
        return [torch.cat(prefix) for prefix in zip(*parts, strict=True)]

    def dequantize(self, codes: Tensor) -> Tensor:
        """``(N, F, Q) -> (N, D, F)`` float32, the sum of the stages' vectors; also of the first codes alone.

        Raises
        ------
        UserError
            If the quantizer was never trained.
        """
        self._require_trained()
        indices = codes.long().unbind(-1)
        parts = [codebook.vectors[index] for codebook, index in zip(self.codebooks, indices, strict=False)]
        return torch.stack(parts).sum(0).transpose(1, 2)

    def _require_trained(self) -> None:
        if not all(codebook.trained for codebook in self.codebooks):
            raise UserError(
                "the quantizer of this BrainCodec was never trained, so it has no codes; "
                "use latents, or a checkpoint whose codebooks are initialised"
            )


def _search_greedily(codebooks: Sequence[Codebook], rows: Tensor) -> Tensor:
    codes = []
    for codebook in codebooks:
        codes.append(codebook.nearest(rows))
        rows = rows - codebook.vectors[codes[-1]]
    return torch.stack(codes, dim=-1)


def _split(rows: Tensor) -> Sequence[Tensor]:
    return torch.split(rows, _ROWS_AT_ONCE.get(rows.device.type, _ROWS_AT_ONCE["cpu"]))


def _search_beam(codebooks: Sequence[Codebook], rows: Tensor, beam: int, every: bool = False) -> list[Tensor]:
    """Best codes by all stages; with ``every`` those by the first stage, by the first two and so on."""
    residual = rows[:, None]  # (rows, beam, D)
    codes = torch.zeros(len(rows), 1, 0, dtype=torch.int64, device=rows.device)
    best = []
    for number, codebook in enumerate(codebooks, start=1):
        vectors = codebook.vectors
        products = residual.flatten(0, 1) @ vectors.T
        distances = vectors.square().sum(1) - 2 * products.view(*residual.shape[:2], -1)
        distances = (distances + residual.square().sum(2, keepdim=True)).flatten(1)  # (rows, beam * K)
        width = min(beam, distances.shape[1])
        kept = distances.topk(width, 1, largest=False, sorted=False).indices
        parent, code = (kept // len(vectors))[..., None], kept % len(vectors)
        before = codes.gather(1, parent.expand(-1, -1, codes.shape[2]))
        codes = torch.cat([before, code[..., None]], dim=2)
        residual = residual.gather(1, parent.expand(-1, -1, rows.shape[1])) - vectors[code]
        if every or number == len(codebooks):
            first = residual.square().sum(2).argmin(1)
            best.append(codes[torch.arange(len(rows), device=rows.device), first])
    return best
