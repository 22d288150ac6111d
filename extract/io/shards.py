"""Divide recordings among the jobs of a job array."""

import re
from collections.abc import Mapping, Sequence

from store.runtime.errors import UserError


def parse_shard(text: str, environment: Mapping[str, str]) -> tuple[int, int]:
    """Index from 0 and number of shards, of ``i/n`` (i from 1) or of the Slurm job array that this runs in.

    >>> parse_shard("2/8", {})
    (1, 8)
    >>> job = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "5", "SLURM_ARRAY_TASK_COUNT": "4"}
    >>> parse_shard("slurm", job)
    (2, 4)

    Raises
    ------
    UserError
        If it is neither, or there is no such shard.
    """
    if text == "slurm":
        names = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT")
        if absent := [name for name in names if name not in environment]:
            raise UserError(
                f"--shard slurm: {', '.join(absent)} not set, this is not a Slurm job array; "
                "submit with sbatch --array=1-8, or give --shard 1/8"
            )
        number, first, count = (int(environment[name]) for name in names)
        index = number - first
        where = f"--shard slurm: task {number} of {count} from {first}; give the array consecutive numbers"
    else:
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        index, count = (int(match[1]) - 1, int(match[2])) if match else (-1, 0)
        where = f"--shard {text}: not a shard; allowed: i/n with i from 1 to n, as 1/8, or slurm in a job array"
    if not 0 <= index < count:
        raise UserError(where)
    return index, count


def split_by_duration(durations_s: Sequence[float], index: int, count: int) -> list[int]:
    """Indices of what a shard does, ascending: the longest first, each to the shard that has least so far.

    >>> [split_by_duration([5, 1, 1, 4, 2], index, 2) for index in range(2)]
    [[0, 1, 2], [3, 4]]
    """
    loads = [0.0] * count
    numbers = []
    for number in sorted(range(len(durations_s)), key=lambda number: -durations_s[number]):
        least = loads.index(min(loads))
        loads[least] += durations_s[number]
        if least == index:
            numbers.append(number)
    return sorted(numbers)
