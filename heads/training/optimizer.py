"""AdamW of many heads at once."""

import torch
from torch import Tensor

_BETAS = (0.9, 0.999)
_EPSILON = 1e-8


def update(
    values: Tensor,
    gradient: Tensor,
    first: Tensor,
    second: Tensor,
    step: int,
    weights: int,
    lr: Tensor,
    weight_decay: Tensor,
    clip_norm: Tensor,
) -> None:
    """One step of AdamW (Loshchilov and Hutter, 2019) in place; each row has its own rates ``(K,)``.

    Parameters
    ----------
    values, gradient, first, second : (K, P)
        Parameters, a row a head, with their gradient, which is overwritten, and its moments.
    step
        Number of the step, from 1.
    weights
        So many columns are weights, which decay; the others are biases.
    clip_norm
        Largest norm of a head's gradient.
    """
    beta1, beta2 = _BETAS
    lr, weight_decay, clip_norm = (rate[:, None] for rate in (lr, weight_decay, clip_norm))
    gradient.mul_((clip_norm / (gradient.norm(dim=1, keepdim=True) + 1e-6)).clamp(max=1.0))
    first.lerp_(gradient, 1 - beta1)
    second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    values[:, :weights].mul_(1 - lr * weight_decay)
    correction = (1 - beta2**step) ** 0.5
    spread = torch.sqrt(second, out=gradient).add_(_EPSILON * correction)  # fresh memory costs more than a pass
    ratio = torch.div(first, spread, out=gradient)
    values.addcmul_(ratio, lr * correction / (beta1**step - 1))
