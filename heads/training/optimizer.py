"""AdamW for many heads at once."""

import torch
from torch import Tensor

_BETAS = (0.9, 0.999)
_EPSILON = 1e-8


def adamw_step(
    parameters: Tensor,
    gradient: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    step: int,
    weights: int,
    lr: Tensor,
    weight_decay: Tensor,
    clip_norm: Tensor,
) -> None:
    """Take one step of AdamW (Loshchilov and Hutter, 2019) in place; each row has its own rates ``(K,)``.

    Parameters
    ----------
    parameters, gradient, exp_avg, exp_avg_sq : (K, P)
        Parameters, one row per head, with their gradient, which is overwritten, and its moments.
    step
        Number of the step, from 1.
    weights
        Number of leading columns that are weights, which decay; the others are biases.
    clip_norm
        Largest norm of a head's gradient.
    """
    beta1, beta2 = _BETAS
    lr, weight_decay, clip_norm = (rate[:, None] for rate in (lr, weight_decay, clip_norm))
    gradient.mul_((clip_norm / (gradient.norm(dim=1, keepdim=True) + 1e-6)).clamp(max=1.0))
    exp_avg.lerp_(gradient, 1 - beta1)
    exp_avg_sq.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    parameters[:, :weights].mul_(1 - lr * weight_decay)
    correction = (1 - beta2**step) ** 0.5
    denominator = torch.sqrt(exp_avg_sq, out=gradient)  # fresh memory costs more than a pass
    ratio = torch.div(exp_avg, denominator.add_(_EPSILON * correction), out=gradient)
    parameters.addcmul_(ratio, lr * correction / (beta1**step - 1))
