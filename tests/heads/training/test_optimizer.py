"""One step of many heads against torch's own optimizer."""

import torch

from heads.training.optimizer import adamw_step


def test_every_row_moves_as_by_torch_with_its_own_rates() -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, 7, generator=generator)
    lr, decay, clip = torch.tensor([0.1, 0.01, 0.3]), torch.tensor([0.0, 0.5, 0.2]), torch.tensor([1.0, 0.1, 9.0])
    rows = start.clone()
    exp_avg, exp_avg_sq = torch.zeros_like(rows), torch.zeros_like(rows)
    alone = [[part.clone().requires_grad_() for part in row.split([5, 2])] for row in start]
    optimizers = [
        torch.optim.AdamW(
            [{"params": [w], "weight_decay": d.item()}, {"params": [b], "weight_decay": 0.0}], r.item()
        )
        for (w, b), r, d in zip(alone, lr, decay, strict=True)
    ]
    for step in range(1, 4):
        gradient = torch.randn(3, 7, generator=generator)
        for own, one, optimizer, norm in zip(alone, gradient, optimizers, clip, strict=True):
            for part, value in zip(own, one.split([5, 2]), strict=True):
                part.grad = value.clone()
            torch.nn.utils.clip_grad_norm_(own, norm.item())
            optimizer.step()
        adamw_step(rows, gradient, exp_avg, exp_avg_sq, step, 5, lr, decay, clip)
    torch.testing.assert_close(rows, torch.stack([torch.cat(own).detach() for own in alone]))
