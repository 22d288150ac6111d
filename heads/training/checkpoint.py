"""The state of a training in a file, so that a killed training can resume."""

from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, cast

import torch
from torch import Tensor

from store.runtime.archives import require_unpacked_size
from store.runtime.atomic import atomic_write
from store.runtime.errors import UserError, os_errors


def save_checkpoint(path: Path, state: Mapping[str, object]) -> None:
    """Write a state, complete or not at all."""
    with atomic_write(path) as file:
        torch.save(dict(state), cast(IO[bytes], file))  # it has `write`, which is all that torch calls


def load_checkpoint(path: Path, fresh: Mapping[str, Any], device: torch.device) -> dict[str, Any] | None:
    """Read a state that `save_checkpoint` wrote; None if it is not known to be of the same data and heads.

    Parameters
    ----------
    fresh
        The state of a training that begins, which the file has to fit; its ``data`` says which data and heads.

    Raises
    ------
    UserError
        If the file is damaged, or is of another training.
    """
    with os_errors(path), path.open("rb"):
        pass  # what stops the reading is no damage
    try:
        require_unpacked_size(path)
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        if state.get("data") != fresh["data"]:
            return None
        _check(state, fresh)
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to call for
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise not_this_training(path, reason) from error
    return state


def not_this_training(path: Path, reason: str) -> UserError:
    """The error of a file that no training resumes from."""
    return UserError(
        f"{path}: not the state of this training ({reason}); remove the file, to train from the start"
    )


def _check(state: Mapping[str, Any], fresh: Mapping[str, Any]) -> None:
    """Raise a ValueError if types or sizes differ from the state of a fresh training."""
    heads, trials = len(fresh["running"]), len(fresh["history"])
    running = state["running"]
    if sorted(set(running)) != running or not set(running) <= set(range(heads)):
        raise ValueError("running is not a list of its heads")
    for name, value in fresh.items():
        if isinstance(value, Tensor):
            rows = len(running) if name in ("parameters", "exp_avg", "exp_avg_sq") else len(value)
            shape = (rows, *value.shape[1:])
            if state[name].shape != shape or state[name].dtype != value.dtype:
                raise ValueError(f"{name} is {state[name].dtype} {tuple(state[name].shape)}, expected {shape}")
            if state[name].layout != torch.strided or not state[name].isfinite().all():
                raise ValueError(f"{name} holds no finite numbers")
        elif isinstance(value, list):
            if len(state[name]) != trials and name != "running":
                raise ValueError(f"{name} has {len(state[name])} entries, expected {trials}")
        elif isinstance(value, int) and (type(state[name]) is not int or state[name] < 0):
            raise ValueError(f"{name} is {state[name]!r}, expected a count")
    for number in range(trials):
        epochs = [entry["epoch"] for entry in state["history"][number]]
        if not all(isinstance(score, float | int) for score in (state["best_score"][number], *epochs)):
            raise ValueError("history holds no numbers")
        if type(state["best_epoch"][number]) is not int:
            raise ValueError("best_epoch is not a number")
