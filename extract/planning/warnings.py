"""What an extraction was allowed to do, and may not have been meant to."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from extract.io.montage import TABLE
from extract.planning.extraction import Extraction
from extract.planning.paths import published_path
from store.reader import StoreFile, open_file
from store.runtime.errors import StoreError
from store.runtime.plurals import list_names, noun_with_names


def find_warnings(work: Extraction) -> Iterator[str]:
    """Say what to look at after an extraction, a line each: a second data set, a channel that no recording has."""
    store, data = work.command.store, work.source.data
    paths = {subject.name: published_path(store, subject.name) for subject in work.subjects if subject.found}
    new = [s.name for s in work.subjects if s.stored is None and s.name in paths and paths[s.name].exists()]
    if new and (others := sorted({file.dataset for file in work.source.list_foreign(work.subjects)})):
        yield (
            f"{store} holds {list_names(others)}, and now {data.name} too; unless that is its new name, "
            f"or this was meant, remove {list_names([paths[name].name for name in new])}"
        )
    if not work.outcomes.encoded:
        return
    stored = {file.path for file in work.source.list_files(work.subjects)}
    files = list(_open_readable(sorted(stored | {*paths.values()})))
    masks = [info.channel_mask for file in files for info in file.recordings]
    for spec in [file.spec for file in files[:1]]:
        present = [any(of_channel) for of_channel in zip(*masks, strict=True)]
        absent = [name for name, is_present in zip(spec.input_channels, present, strict=True) if not is_present]
        if absent:
            table = "; look for a mistake in the montage table" if spec.montage == TABLE else ""
            channels = noun_with_names("channel", absent)
            yield f"{channels} missing in every recording of the store, encoded as zeros{table}"


def _open_readable(paths: Iterable[Path]) -> Iterator[StoreFile]:
    """Files that are there; one that is damaged is said elsewhere."""
    for path in paths:
        with suppress(StoreError):
            if path.exists():
                yield open_file(path)
