"""The runs of a study: one for each encoder, kind of features and head; its seeds train together."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.scoring.study_scores import Combination
from store.runtime.errors import UserError
from store.runtime.names import to_path_name

PROBE = "probe"  # the head that has no seed


@dataclass(frozen=True)
class Job:
    """A run to train and to score."""

    combination: Combination
    seeds: tuple[int, ...]  # of the run; none for a head without
    path: Path
    asked: tuple[int, ...] = ()  # those of its seeds that the study is about

    @property
    def test_path(self) -> Path:
        """Folder of the scores on other data."""
        return self.path / "test"

    def __str__(self) -> str:
        seeds = f", seed{'s' * (len(self.seeds) > 1)} {', '.join(map(str, self.seeds))}" if self.seeds else ""
        return f"{self.combination}{seeds}"


def list_jobs(
    runs: Path,
    pairs: Iterable[tuple[str, str]],
    heads: Sequence[str],
    seeds: Sequence[int],
    known: Mapping[Path, Sequence[int]],
) -> Iterator[Job]:
    """Jobs of a study, a combination after the other.

    Parameters
    ----------
    runs
        Folder of all runs.
    pairs
        Encoders, each with a kind of features.
    known
        Seeds of the runs that are there.
    """
    for encoder, features in pairs:
        for head in dict.fromkeys(heads):
            combination = Combination(encoder, features, head)
            folder = runs / f"{name_pair(encoder, features)}-{name_part(head)}"
            if head == PROBE:
                yield Job(combination, (), folder)
                continue
            ours = {path.name: known[path] for path in sorted(known) if path.parent == folder}
            for name, held in assign_seeds(seeds, ours).items():
                yield Job(combination, held, folder / name, tuple(seed for seed in held if seed in seeds))


def assign_seeds(seeds: Sequence[int], runs: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    """Runs that hold seeds: of those that are there the ones needed, then one with all other seeds together.

    A seed trains to the same head, up to rounding, whatever seeds train beside it: a new seed costs only itself.

    >>> assign_seeds((0, 1, 2), {})
    {'seeds-0-1-2': (0, 1, 2)}
    >>> assign_seeds((0, 1, 2, 3), {"seeds-0-1": (0, 1), "seed-5": (5,)})
    {'seeds-0-1': (0, 1), 'seeds-2-3': (2, 3)}
    """
    needed = {name: tuple(held) for name, held in runs.items() if set(held) & set(seeds)}
    held = {seed for some in needed.values() for seed in some}
    if added := tuple(seed for seed in dict.fromkeys(seeds) if seed not in held):
        needed[to_path_name(f"seed{'s' * (len(added) > 1)}-{'-'.join(map(str, added))}")] = added
    return needed


def name_pair(encoder: str, features: str) -> str:
    """Name of the store of an encoder's features."""
    return f"{name_part(encoder)}-{features}"


def name_part(reference: str) -> str:
    """Name of an encoder or a head as part of a path: of a file its stem, of an object its module and name.

    >>> name_part("weights/own.safetensors"), name_part("a.heads:Head"), name_part("linear")
    ('own', 'a.heads.Head', 'linear')
    """
    return to_path_name(reference.replace(":", ".") if ":" in reference else Path(reference).stem)


def require_distinct(option: str, references: Iterable[str]) -> None:
    """Refuse encoders or heads that would share a folder.

    Raises
    ------
    UserError
        Naming two of them.
    """
    by_name: dict[str, str] = {}
    for reference in references:
        other = by_name.setdefault(name_part(reference), reference)
        if other != reference:
            raise UserError(
                f"{option} {other} {reference}: both would have the folder {name_part(reference)}; rename one of "
                "the files, or give each a study of its own"
            )
