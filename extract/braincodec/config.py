"""Shape of a BrainCodec."""

import math
from dataclasses import dataclass

from store.runtime.errors import UserError

PUBLISHED_QUANTIZERS = 4
_MOST = {
    **{"n_filters": 1024, "max_filters": 4096, "dimension": 4096, "compress": 1024},
    **{"kernel_size": 255, "last_kernel_size": 255, "residual_kernel_size": 255},
    **{"quantizers": 64, "codebook_size": 65_536, "sample_rate_hz": 100_000, "window_s": 600, "beam": 1024},
}


@dataclass(frozen=True)
class BrainCodecConfig:
    """Shape of a BrainCodec; the defaults are the released configuration."""

    ratios: tuple[int, ...] = (2, 2, 2, 2, 2, 2)  # strides, in the encoder's order
    n_filters: int = 16
    max_filters: int = 256
    dimension: int = 64
    kernel_size: int = 3
    last_kernel_size: int = 3
    residual_kernel_size: int = 3
    compress: int = 2  # a residual block is this much narrower inside
    quantizers: int = PUBLISHED_QUANTIZERS
    codebook_size: int = 256
    sample_rate_hz: int = 512
    window_s: int = 4
    beam: int = 1  # sums of vectors kept at each stage of choosing codes; 1 is greedy, as published

    def __post_init__(self) -> None:
        """Refuse a shape that no network should have, before memory is taken for it.

        Raises
        ------
        UserError
            Naming the field and what is allowed.
        """
        for name, most in _MOST.items():
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= most:
                raise UserError(f"{name} is {value!r}; allowed: whole numbers from 1 to {most}")
        if not 1 <= len(self.ratios) <= 16 or not all(type(r) is int and 1 <= r <= 64 for r in self.ratios):
            raise UserError(f"ratios are {self.ratios!r}; allowed: 1 to 16 whole numbers from 1 to 64")
        if self.hop > self.samples:
            raise UserError(
                f"ratios {self.ratios} make a frame of {self.hop} samples; a window has {self.samples}"
            )
        if self.compress > self.n_filters:
            raise UserError(f"compress is {self.compress}; allowed: at most n_filters, {self.n_filters}")

    @property
    def hop(self) -> int:
        """Input samples a frame.

        >>> BrainCodecConfig().hop, BrainCodecConfig(ratios=(2, 2, 2, 2)).hop
        (64, 16)
        """
        return math.prod(self.ratios)

    @property
    def samples(self) -> int:
        """Input samples a window."""
        return self.sample_rate_hz * self.window_s

    @property
    def frames(self) -> int:
        """F, frames a window.

        >>> BrainCodecConfig().frames
        32
        """
        return math.ceil(self.samples / self.hop)

    @property
    def bits_per_second(self) -> float:
        """Rate of one channel's codes.

        >>> BrainCodecConfig().bits_per_second
        256.0
        """
        return self.sample_rate_hz / self.hop * self.quantizers * math.log2(self.codebook_size)

    @property
    def default_quantizers(self) -> int:
        """Quantizers that code where nothing else is asked for: the published four, or all of fewer.

        >>> BrainCodecConfig(quantizers=8).default_quantizers
        4
        """
        return min(PUBLISHED_QUANTIZERS, self.quantizers)

    def count_quantizers(self, asked: int | None) -> int:
        """How many quantizers code: as many as are asked for, by default `default_quantizers`.

        Raises
        ------
        UserError
            If there are not so many.
        """
        count = self.default_quantizers if asked is None else asked
        if not 1 <= count <= self.quantizers:
            raise UserError(
                f"quantizers {count}: the encoder has {self.quantizers}; allowed: 1 to {self.quantizers}"
            )
        return count

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels before, between and after the strides.

        >>> BrainCodecConfig().widths
        (16, 32, 64, 128, 256, 256, 256)
        """
        return tuple(min(self.n_filters * 2**i, self.max_filters) for i in range(len(self.ratios) + 1))
