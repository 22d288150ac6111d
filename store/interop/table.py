"""A person's features as a flat table for other tools: one row per second, one column per electrode and dim."""

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from store.layout import Array, spread_frames
from store.reader import Store
from store.runtime.atomic import atomic_write, require_writable
from store.runtime.errors import UserError
from store.runtime.outputs import guard_output
from store.runtime.plurals import list_names
from store.schema import RecordingInfo

_BLOCK_WINDOWS = 256
_NPZ_FILES = {"features.npy", "columns.npy", "second.npy", "recordings.npy"}
_PARQUET_FOOTER_BYTES = 1 << 20


def export(store: Store, person: str, out: Path, *, force: bool = False) -> int:
    """Write a person's table as ``.npz`` or ``.parquet``, whole or not at all; return the seconds written.

    Parameters
    ----------
    force
        Whether an existing file that is not such a table is overwritten.

    Raises
    ------
    UserError
        If there is no such person, if frames do not divide into seconds, if the file cannot be written or is
        another's, or if pyarrow is not installed for parquet.
    """
    person = find_person(store, person)
    if store.spec.head_frames % store.spec.window_s:
        raise UserError(f"{store.spec.frames} frames in {store.spec.window_s} s give no whole number a second")
    recordings = [info for info in store.recordings if info.person == person]
    write: Callable[..., None] = {".npz": _write_npz, ".parquet": _write_parquet}[out.suffix]
    guard_output(out, inputs=[store.path], is_ours=_is_table, force=force)
    require_writable(out.parent)
    with atomic_write(out) as sink:
        write(sink, store, recordings)
    return sum(info.seconds for info in recordings)


def find_person(store: Store, name: str) -> str:
    """A person of a store by name, or by that of the subject's folder, as ``sub-01``.

    Raises
    ------
    UserError
        If there is no such person.
    """
    for person in (name, name.removeprefix("sub-")):
        if person in store.persons:
            return person
    raise UserError(f"person {name!r}: not in {store.path}; persons there: {list_names(store.persons)}")


def seconds_of(store: Store, info: RecordingInfo) -> Iterator[Array]:
    """Mean over the frames of each second, from the first window that holds it, ``(n, C, D)`` float32.

    Blocks that together give every second of the recording once.
    """
    spec = store.spec
    for start in range(0, info.windows, _BLOCK_WINDOWS):
        stop = min(start + _BLOCK_WINDOWS, info.windows)
        latents = spread_frames(store.latents(info, start, stop), spec.window_s)
        means = latents.reshape(len(latents), spec.window_s, -1, *latents.shape[2:]).mean(2)  # (B, S, C, D)
        fresh = [means[0] if start == 0 else means[0, -spec.stride_s :], *means[1:, -spec.stride_s :]]
        seconds = np.concatenate(fresh)
        done = 0 if start == 0 else (start - 1) * spec.stride_s + spec.window_s
        yield seconds[: info.seconds - done]


def column_names(store: Store) -> list[str]:
    """Names of the features: electrode and dim.

    ``FP1-F3.00`` is the first dim of the first electrode.
    """
    return [f"{channel}.{dim:02}" for channel in store.spec.channels for dim in range(store.latent_dims)]


def _write_npz(sink: Any, store: Store, recordings: list[RecordingInfo]) -> None:
    """Arrays ``features (T, C * D)``, ``columns``, ``labels``, ``second``, ``recording`` and, of each, its name.

    ``labelled`` says of each recording whether its labels count.
    """
    seconds = sum(info.seconds for info in recordings)
    columns = column_names(store)
    arrays = {
        "columns": np.array(columns),
        "labels": np.concatenate([store.stored_labels(info) for info in recordings]),
        "second": np.concatenate([np.arange(info.seconds) for info in recordings]),
        "recording": np.repeat(np.arange(len(recordings)), [info.seconds for info in recordings]),
        "recordings": np.array([info.name for info in recordings]),
        "labelled": np.array([info.labelled for info in recordings]),
    }
    with zipfile.ZipFile(sink, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array)
        with archive.open("features.npy", "w", force_zip64=True) as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (seconds, len(columns))}
            np.lib.format.write_array_header_1_0(file, header)
            for info in recordings:
                for block in seconds_of(store, info):
                    file.write(block.astype("<f4").tobytes())


def _write_parquet(sink: Any, store: Store, recordings: list[RecordingInfo]) -> None:
    """Columns ``recording``, ``second``, ``label`` (null where none is known) and the features.

    There is a row group for each block.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UserError(
            "parquet needs pyarrow: pip install --editable '.[parquet]' in the project's folder; or export npz"
        ) from error
    names = column_names(store)
    keys = [("recording", pa.string()), ("second", pa.int32()), ("label", pa.uint8())]
    schema = pa.schema([*keys, *((name, pa.float32()) for name in names)])
    with pq.ParquetWriter(sink, schema) as writer:
        for info in recordings:
            first = 0
            for block in seconds_of(store, info):
                labels = store.labels(info)[first : first + len(block)] if info.labelled else [None] * len(block)
                index = [[info.name] * len(block), range(first, first + len(block)), labels]
                features = np.ascontiguousarray(block.reshape(len(block), -1).T)
                arrays = [
                    pa.array(values, field.type) for values, field in zip([*index, *features], schema, strict=True)
                ]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
                first += len(block)


def _is_table(path: Path) -> bool:
    """Whether a file is a table that `export` wrote."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return set(archive.namelist()) >= _NPZ_FILES
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _PARQUET_FOOTER_BYTES))
        footer = file.read()
    return footer.endswith(b"PAR1") and all(name in footer for name in (b"recording", b"second", b"label"))
