"""Reconstruction losses, each relative to the scale of its window, and the balancer of their gradients."""

from collections.abc import Callable, Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

FLOOR_UV = 1.0  # windows flatter than this count as this large


def prd(signal: Tensor, reconstruction: Tensor) -> Tensor:
    """Percent root-mean-square difference of each window, ``(N, 1, L) -> (N,)``; not finite for a window of zeros.

    >>> prd(torch.tensor([[[3.0, 4.0]]]), torch.tensor([[[3.0, 3.0]]])).tolist()
    [20.0]
    """
    return 100 * ((signal - reconstruction).square().sum((1, 2)) / signal.square().sum((1, 2))).sqrt()


def reconstruction_losses(signal: Tensor, reconstruction: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
    """Scalar losses, of the names asked for: ``l2``, ``l1``, ``line_length``, ``spectrogram``.

    Parameters
    ----------
    signal, reconstruction : Tensor
        ``(N, 1, L)`` float32, microvolts.

    Raises
    ------
    ValueError
        If a name is unknown.
    """
    names = tuple(names)
    if unknown := set(names) - set(LOSSES):
        raise ValueError(f"unknown loss: {', '.join(sorted(unknown))}; allowed: {', '.join(LOSSES)}")
    scale = signal.square().mean((1, 2), keepdim=True).sqrt().clamp(min=FLOOR_UV)
    return {name: LOSSES[name](reconstruction / scale, signal / scale) for name in names}


def l2_loss(reconstruction: Tensor, signal: Tensor) -> Tensor:
    """Root of each window's mean square, then the mean: the PRD as a share."""
    return ((reconstruction - signal).square().mean((1, 2)) + 1e-6).sqrt().mean()


def line_length_loss(reconstruction: Tensor, signal: Tensor) -> Tensor:
    """L1 between the line lengths of both."""
    return F.l1_loss(line_length(reconstruction), line_length(signal))


def line_length(signal: Tensor, window: int = 127, hop: int = 64) -> Tensor:
    """Sum of absolute steps in sliding windows, ``(N, 1, L) -> (N, 1, windows)``, as a share of the window."""
    return F.avg_pool1d(signal.diff(dim=-1).abs(), window, hop)


def spectrogram_loss(reconstruction: Tensor, signal: Tensor) -> Tensor:
    """L1 and L2 of magnitude spectrograms with windows of 2**5 to 2**11 samples, ``(N, 1, L)`` each."""
    total = reconstruction.new_zeros(())
    for exponent in range(5, min(11, reconstruction.shape[-1].bit_length() - 1) + 1):
        size = 2**exponent
        window = torch.hann_window(size, device=reconstruction.device)
        both = torch.stft(
            torch.cat([reconstruction, signal])[:, 0],
            size,
            hop_length=size // 2,
            window=window,
            normalized=True,
            pad_mode="constant",
            return_complex=True,
        )
        ours, theirs = torch.view_as_real(both).square().sum(-1).clamp(min=1e-9).sqrt().chunk(2)
        total = total + (ours - theirs).abs().mean() + ((ours - theirs).square().mean() + 1e-9).sqrt()
    return total


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l2": l2_loss,
    "l1": F.l1_loss,
    "line_length": line_length_loss,
    "spectrogram": spectrogram_loss,
}


class Balancer:
    """Makes the share of each loss in the gradient equal its weight (Défossez et al., arXiv 2210.13438, 3.4).

    Parameters
    ----------
    weights : mapping of str to float
        Of each loss by name; a loss of weight zero is left out.
    decay : float
        Of the running mean of each gradient's norm.
    """

    def __init__(self, weights: Mapping[str, float], decay: float = 0.99) -> None:
        self.weights = {name: weight for name, weight in weights.items() if weight}
        self.decay = decay
        self.norms: dict[str, Tensor] = {}

    def gradient(self, losses: Mapping[str, Tensor], output: Tensor) -> Tensor:
        """Gradient of the losses at hand with respect to the output, of norm one or less on the running mean."""
        total = torch.zeros_like(output)
        weights = {name: weight for name, weight in self.weights.items() if name in losses}
        for name, weight in weights.items():
            (part,) = torch.autograd.grad(losses[name], output, retain_graph=True)
            norm = part.norm()
            self.norms[name] = torch.lerp(norm, self.norms.get(name, norm), self.decay)
            total += part * (weight / sum(weights.values()) / self.norms[name].clamp(min=1e-12))
        return total
