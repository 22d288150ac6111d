"""Capabilities of this machine: its GPUs and the arithmetic of its processor. torch is imported where needed."""

import multiprocessing
import re

from store.runtime.errors import UserError


def choose_device(name: str) -> str:
    """The torch device of that name, or for "auto" a GPU if there is one, to each process its own.

    Raises
    ------
    UserError
        If the name is unknown or the device is not there.
    """
    import torch  # here, so that commands that compute nothing start without it

    if name == "auto":
        gpus = torch.cuda.device_count()
        return f"cuda:{gpu_of_process(multiprocessing.current_process().name, gpus)}" if gpus else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device {name}: not usable here ({reason}); use cpu or auto") from error
    return name


def gpu_of_process(process: str, gpus: int) -> int:
    """Number of the GPU that a process takes: loky's processes, numbered from 1, take them in turn.

    >>> [gpu_of_process(f"LokyProcess-{number}", 2) for number in (1, 2, 3)], gpu_of_process("MainProcess", 2)
    ([0, 1, 0], 0)
    """
    match = re.fullmatch(r"LokyProcess-(\d+)", process)
    return (int(match[1]) - 1) % gpus if match else 0


def choose_precision(name: str, device: str) -> str:
    """The arithmetic of that name, or for "auto" bfloat16 where the device multiplies it, else float32."""
    import torch  # as above

    if name != "auto":
        return name
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    return "bfloat16" if {"avx512_bf16", "amx_bf16"} & _instructions() else "float32"


def can_use_avx512_kernels(precision: str) -> bool:
    """Whether our code for AVX-512 runs on this processor in that precision, and torch has nothing faster."""
    import torch  # as above

    has_avx512 = torch.backends.cpu.get_cpu_capability() == "AVX512"
    if precision == "bfloat16":
        return has_avx512 and "avx512_bf16" in _instructions() and not has_amx()  # which torch uses
    return has_avx512


def has_amx() -> bool:
    """Whether torch multiplies bfloat16 with AMX here."""
    return "amx_bf16" in _instructions()


def _instructions() -> set[str]:
    import torch  # as above

    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.10 and later know
    return {name for name, present in capabilities.items() if present is True}
