"""Checkpoints, ours and PyTorch's, edited and signed anew: refused in one line, or an encoder that encodes."""

import io
import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import safetensors.torch
import torch
from hypothesis import strategies as st

from extract.braincodec.checkpoint import published_names
from extract.braincodec.network import BrainCodecConfig
from extract.codec import main as codec
from tests.fuzz import base
from tests.fuzz.base import Entry, below, run_extract, write_data_set
from tests.fuzz.edits import FileEdit, JsonEdit, byte_edits, json_edits
from tests.fuzz.sandbox import Finding, Outcome, run

CONFIG = (
    "ratios",
    "n_filters",
    "max_filters",
    "dimension",
    "kernel_size",
    "last_kernel_size",
    "residual_kernel_size",
)
CONFIG += ("compress", "quantizers", "codebook_size", "sample_rate_hz", "window_s")
CONFIG_VALUES = (
    0,
    -1,
    1,
    3,
    7,
    10**6,
    10**12,
    2.0,
    0.5,
    "2",
    None,
    True,
    [],
    [2],
    [0, 2],
    [2] * 40,
    [2.5],
    ["2"],
    {},
)
TENSORS = (
    "nan",
    "huge",
    "shape",
    "axis",
    "double",
    "int",
    "half",
    "complex",
    "gone",
    "more",
    "empty",
    "zero",
    "scale",
)
TORCH = (
    "plain",
    "lightning",
    "pickle",
    "number",
    "nested",
    "list",
    "sparse",
    "quantized",
    "names",
    "deep",
    "zip",
    "old",
)


class Calls:
    """Runs a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


@dataclass(frozen=True)
class CheckpointCase:
    """Edits of a tiny checkpoint."""

    torch: str  # kind of PyTorch file; empty for safetensors
    config: tuple[tuple[str, Any], ...]
    tensors: tuple[tuple[str, float], ...]  # edit, and which tensor
    header: JsonEdit | None  # of the metadata
    field: str
    bytes: FileEdit | None
    features: str


@st.composite
def cases(draw: st.DrawFn) -> CheckpointCase:
    """One kind of edit, sometimes two."""
    tensor = st.tuples(st.sampled_from(TENSORS), st.floats(0, 1, exclude_max=True, width=32))
    what = draw(
        st.lists(st.sampled_from(["torch", "config", "tensors", "header", "bytes"]), min_size=1, max_size=2)
    )
    config = st.tuples(st.sampled_from(CONFIG), st.sampled_from(CONFIG_VALUES))
    return CheckpointCase(
        draw(st.sampled_from(TORCH)) if "torch" in what else "",
        tuple(draw(st.lists(config, min_size=1, max_size=2))) if "config" in what else (),
        tuple(draw(st.lists(tensor, min_size=1, max_size=2))) if "tensors" in what else (),
        draw(json_edits) if "header" in what else None,
        draw(st.sampled_from(["format", "version", "config", "sha256", "metadata"])),
        draw(byte_edits) if "bytes" in what else None,
        draw(st.sampled_from(["latents", "latents", "codes"])),
    )


def check(case: CheckpointCase, box: Path) -> None:
    """Encode one recording by the checkpoint."""
    write_data_set(box / "bids", (Entry("01", "01", 0),))
    path = box / ("tiny.pt" if case.torch else "tiny.safetensors")
    state = safetensors.torch.load(base.checkpoint_bytes())
    for edit, at in case.tensors:
        _edit_tensor(state, edit, at)
    path.write_bytes(_torch_file(case, state, box) if case.torch else _safetensors(case, state))
    if case.bytes:
        case.bytes.apply(path)
    outcome = run_extract(box, "--features", case.features, "--precision", "float32", encoder=path)
    if outcome.status == 0:
        with h5py.File(box / "store" / "sub-01.h5") as file:
            if not np.isfinite(file["features"][()].astype(np.float32)).all():
                raise Finding("extract: stores features that are not finite", outcome.text)
    elif outcome.status == 1 and not case.tensors and "finite" not in outcome.err:
        raise Finding("extract: the recording is blamed for its encoder", outcome.text)
    if case.features == "codes":
        _code(path, box, outcome)
    plain = not (case.config or case.tensors or case.header or case.bytes) and case.torch in ("plain", "lightning")
    if plain and case.features == "latents" and outcome.status != 0:
        raise Finding("extract: refuses a sound checkpoint", outcome.text)


def _code(path: Path, box: Path, extracted: Outcome) -> None:
    """Code a recording by the checkpoint."""
    (box / "out").mkdir()
    arguments = [Entry("01", "01", 0).path(box / "bids"), box / "out" / "coded.edf", "--weights", path]
    outcome = run(codec, "extract.codec", arguments, box, below("out"))
    if outcome.status == 0 and extracted.status == 2:
        raise Finding("extract.codec: takes a checkpoint that extract refuses", extracted.text + outcome.text)


def _safetensors(case: CheckpointCase, state: dict[str, torch.Tensor]) -> bytes:
    """Our file; its checksum fits its tensors."""
    header = _header(base.checkpoint_bytes())["__metadata__"]
    config = json.loads(header["config"]) | dict(case.config)
    header["config"] = json.dumps(config)
    header["sha256"] = _sha256(state)
    if case.header:
        edited = case.header.apply(
            header[case.field] if case.field in ("config", "metadata") else json.dumps(header)
        )
        text = edited.decode("utf-8", "replace")
        header = {**header, case.field: text[:10_000]}
    return safetensors.torch.save({name: tensor.contiguous() for name, tensor in state.items()}, header)


def _header(content: bytes) -> dict[str, Any]:
    length = int.from_bytes(content[:8], "little")
    header: dict[str, Any] = json.loads(content[8 : 8 + length])
    return header


def _sha256(state: dict[str, torch.Tensor]) -> str:
    import hashlib

    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _torch_file(case: CheckpointCase, state: dict[str, torch.Tensor], box: Path) -> bytes:
    """A published file: the tensors under their published names."""
    config = BrainCodecConfig(n_filters=2, max_filters=4, dimension=3, quantizers=2, codebook_size=8)
    published: Any = {
        theirs: state[ours][None] if theirs.startswith("quantizer.") and state[ours].ndim else state[ours]
        for theirs, ours in published_names(config)
        if ours in state
    }
    first = next(iter(published))
    match case.torch:
        case "lightning":
            published = {"state_dict": published, "epoch": 1, "optimizer_states": []}
        case "pickle":
            published["x"] = Calls(box / "pwned")
        case "number":
            published[first] = 1.0
        case "nested":
            published = {"model": published}
        case "list":
            published = list(published.values())
        case "sparse":
            published[first] = published[first].flatten(1).to_sparse()
        case "quantized":
            published[first] = torch.quantize_per_tensor(published[first].float(), 0.1, 0, torch.qint8)
        case "names":
            published = {f"module.{name}": tensor for name, tensor in published.items()}
        case "deep":
            published["model.encoder.model.999999.conv.conv.weight"] = torch.zeros(1, 1, 1)
    content = io.BytesIO()
    torch.save(published, content, _use_new_zipfile_serialization=case.torch != "old")
    if case.torch == "zip":
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as file:
            file.writestr("hello.txt", "hello")
    return content.getvalue()


def _edit_tensor(state: dict[str, torch.Tensor], edit: str, at: float) -> None:
    names = sorted(state)
    name = names[int(at * len(names))]
    tensor = state[name]
    match edit:
        case "nan" if tensor.is_floating_point():
            state[name] = torch.full_like(tensor, torch.nan)
        case "huge" if tensor.is_floating_point():
            state[name] = torch.full_like(tensor, 3e38)
        case "scale" if tensor.is_floating_point():
            state[name] = tensor * 1e6
        case "zero":
            state[name] = torch.zeros_like(tensor)
        case "shape":
            state[name] = tensor.flatten()
        case "axis":
            state[name] = tensor[None]
        case "double":
            state[name] = tensor.double()
        case "int":
            state[name] = tensor.nan_to_num().int()
        case "half":
            state[name] = tensor.half()
        case "complex":
            state[name] = tensor.to(torch.complex64)
        case "gone":
            del state[name]
        case "more":
            state[f"{name}.more"] = tensor.clone()
        case "empty":
            state[name] = tensor.flatten()[:0]
