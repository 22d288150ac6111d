"""How every command of the project reads its settings and ends."""

import multiprocessing
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from store.schema import StoreError


def run(
    command: Callable[[Any], int | None],
    settings_type: Any,
    argv: Sequence[str] | None,
    *,
    prog: str,
    description: str,
) -> int:
    """Make the settings from the command line, run the command, return the exit status.

    The command's own status is returned (None counts as 0); a mistake of the user's ends in one line on
    stderr and status 2, an interruption in status 130.
    """
    settings = tyro.cli(
        settings_type,
        args=argv,
        prog=prog,
        description=description,
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.HelptextFromCommentsOff),
    )
    try:
        return command(settings) or 0
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (StoreError, ValueError, OSError) as error:
        print(f"{prog}: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{prog}: interrupted; what is finished is kept, run the same command to go on", file=sys.stderr)
        return 130


def choose_device(name: str) -> str:
    """The torch device of that name, or for "auto" a GPU if there is one, to each process its own.

    Raises
    ------
    ValueError
        If the name is unknown or the device is not there.
    """
    import torch  # here, so that commands that compute nothing start without it

    if name == "auto":
        gpus = torch.cuda.device_count()
        return f"cuda:{own_gpu(multiprocessing.current_process().name, gpus)}" if gpus else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"--device {name}: not usable here ({reason}); use cpu or auto") from error
    return name


def choose_precision(name: str, device: str) -> str:
    """The arithmetic of that name, or for "auto" bfloat16 where the device multiplies it, else float32."""
    import torch  # as above

    if name != "auto":
        return name
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    able: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.10 and later know
    return "bfloat16" if able.get("avx512_bf16") or able.get("amx_bf16") else "float32"


def own_gpu(process: str, gpus: int) -> int:
    """Number of the GPU that a process takes: loky's processes, numbered from 1, take them in turn.

    >>> [own_gpu(f"LokyProcess-{number}", 2) for number in (1, 2, 3)], own_gpu("MainProcess", 2)
    ([0, 1, 0], 0)
    """
    match = re.fullmatch(r"LokyProcess-(\d+)", process)
    return (int(match[1]) - 1) % gpus if match else 0
