"""How every command of the project reads its settings and ends."""

import os
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
