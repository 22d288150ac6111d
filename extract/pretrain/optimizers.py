"""Muon for the convolutions' weight matrices, AdamW for everything else."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from store.runtime.errors import UserError

MOMENTUM = 0.95
ADAMW_BETAS = (0.9, 0.99)


class Optimizers:
    """Steps a model's weights: those of convolutions with several inputs by Muon, the others by AdamW.

    Muon (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/) takes matrices: a weight
    ``(out, in, kernel)`` is one of ``(out, in * kernel)``.

    Parameters
    ----------
    model : nn.Module
        Its weights' memory must stay where it is.
    weight_decay : float
        Of both.

    Raises
    ------
    UserError
        If torch is older than 2.9, which has no Muon.
    """

    def __init__(self, model: nn.Module, weight_decay: float) -> None:
        if not hasattr(torch.optim, "Muon"):
            raise UserError(
                f"pretraining needs torch 2.9 or later, whose Muon optimizer it uses; this is {torch.__version__}"
            )
        parameters = list(model.parameters())
        self._convolutions = [p for p in parameters if p.ndim == 3 and p.shape[1] > 1]
        self._matrices = [weight.detach().flatten(1).requires_grad_() for weight in self._convolutions]
        known = set(map(id, self._convolutions))
        others = [p for p in parameters if id(p) not in known]
        self.muon = torch.optim.Muon(
            self._matrices, lr=0.0, momentum=MOMENTUM, nesterov=True, weight_decay=weight_decay
        )
        self.adamw = torch.optim.AdamW(others, lr=0.0, betas=ADAMW_BETAS, weight_decay=weight_decay, fused=True)

    def step(self, muon_rate: float, adamw_rate: float) -> None:
        """Move the weights along the gradients that they hold; one without stays."""
        for weight, matrix in zip(self._convolutions, self._matrices, strict=True):
            matrix.grad = None if weight.grad is None else weight.grad.flatten(1)
        optimizers: tuple[torch.optim.Optimizer, ...] = (self.muon, self.adamw)
        for optimizer, rate in zip(optimizers, (muon_rate, adamw_rate), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """All that a step changes, but the weights."""
        return {"muon": self.muon.state_dict(), "adamw": self.adamw.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self.muon.load_state_dict(state["muon"])
        self.adamw.load_state_dict(state["adamw"])
