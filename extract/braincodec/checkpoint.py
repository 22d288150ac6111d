"""Read and write weights: our own safetensors files, and published PyTorch files, both strictly."""

import dataclasses
import hashlib
import json
import pickle
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from extract.braincodec.config import BrainCodecConfig
from extract.braincodec.network import BrainCodec
from store.runtime.archives import require_unpacked_size
from store.runtime.atomic import write_bytes
from store.runtime.errors import UserError, os_errors

FORMAT = "braincodec-weights"
FORMAT_VERSION = "1"


@dataclass(frozen=True)
class Checkpoint:
    """A model with what is known of it."""

    model: BrainCodec
    metadata: dict[str, Any]  # training data, persons seen, figures; empty for a published file
    sha256: str  # of the weights, the same in any wrapping


def weights_sha256(model: nn.Module) -> str:
    """Hash of names, types, shapes and bytes of all weights, in the order of the names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()


def save_checkpoint(path: Path, model: BrainCodec, metadata: Mapping[str, Any]) -> None:
    """Write a model as safetensors, whole or not at all.

    Raises
    ------
    UserError
        If the file cannot be written, or the disk is full.
    """
    content = safetensors.torch.save(
        {name: tensor.contiguous() for name, tensor in model.state_dict().items()},
        {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "config": json.dumps(dataclasses.asdict(model.config), sort_keys=True),
            "sha256": weights_sha256(model),
            "metadata": json.dumps(dict(metadata), sort_keys=True),
        },
    )
    write_bytes(path, content, sync=True)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a model: our safetensors, or a published file, plain or of Lightning.

    Raises
    ------
    UserError
        If there is no such file, it is of another kind, damaged or holds pickled objects, its configuration is of
        no BrainCodec, or a tensor is missing, unknown, of another shape or not finite.
    """
    with os_errors(path), open(path, "rb") as file:
        head = file.read(9)
    if head[8:] == b"{":
        config, weights, metadata, stored_sha256 = _read_safetensors(path)
    elif head.startswith((b"PK", b"\x80")):
        published = _read_published(path)
        config = _infer_config(path, published)
        weights, metadata, stored_sha256 = _rename(path, published, config), {}, None
    else:
        raise UserError(f"{path}: neither a safetensors nor a PyTorch file; give one of these")
    _require_fit(path, weights, _shapes(config))
    model = BrainCodec(config)
    model.load_state_dict(weights)
    sha256 = weights_sha256(model)
    if stored_sha256 not in (None, sha256):
        raise UserError(f"{path}: the weights do not have the checksum written with them; copy the file again")
    return Checkpoint(model.eval(), metadata, sha256)


def is_checkpoint(path: Path) -> bool:
    """Whether a file is one that `save_checkpoint` wrote, by its header."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("format") == FORMAT
    except (OSError, safetensors.SafetensorError):
        return False


def published_names(config: BrainCodecConfig) -> Iterator[tuple[str, str]]:
    """Pairs of a published name and ours, for every tensor of a model, in the published order."""
    for part in ("encoder", "decoder"):
        prefix = f"model.{part}.model"
        end = 3 * len(config.ratios) + 2
        layers = [(f"{prefix}.0.conv.conv", f"{part}.first")]
        for i in range(len(config.ratios)):
            block, stride = (3 * i + 1, 3 * i + 3) if part == "encoder" else (3 * i + 3, 3 * i + 2)
            residual = [
                (f"{prefix}.{block}.block.1.conv.conv", f"{part}.residuals.{i}.narrow"),
                (f"{prefix}.{block}.block.3.conv.conv", f"{part}.residuals.{i}.widen"),
            ]
            if part == "encoder":
                layers += [*residual, (f"{prefix}.{stride}.conv.conv", f"encoder.downs.{i}")]
            else:
                layers += [(f"{prefix}.{stride}.convtr.convtr", f"decoder.ups.{i}"), *residual]
        layers.append((f"{prefix}.{end}.conv.conv", f"{part}.last"))
        for theirs, ours in layers:
            for kind in ("weight", "bias"):
                yield f"{theirs}.{kind}", f"{ours}.{kind}"
    buffers = {"initted": "trained", "cluster_size": "counts", "embed_avg": "sums", "embed": "vectors"}
    for q in range(config.quantizers):
        for theirs, ours in buffers.items():
            yield f"quantizer.layers.{q}._codebook.{theirs}", f"quantizer.codebooks.{q}.{ours}"


def _read_safetensors(path: Path) -> tuple[BrainCodecConfig, dict[str, Tensor], dict[str, Any], str]:
    """Parts of a file that `save_checkpoint` wrote."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            names = file.keys()
            weights = {name: file.get_tensor(name) for name in names}
    except Exception as error:  # of the format, of its JSON, or of a type that torch does not have
        raise UserError(f"{path}: damaged or cut off safetensors file ({_reason(error)}); copy it again") from None
    kind = header.get("format"), header.get("version")
    if kind[0] != FORMAT:
        raise UserError(f"{path}: not a checkpoint of a BrainCodec; give a file that pretrain wrote")
    if kind[1] != FORMAT_VERSION:
        raise UserError(f"{path}: checkpoint of version {kind[1]!r}; allowed: version {FORMAT_VERSION!r}")
    try:
        values = json.loads(header["config"])
        if not isinstance(values, dict) or not isinstance(values.get("ratios"), list):
            raise ValueError("config holds no list of ratios")
        config = BrainCodecConfig(**{**values, "ratios": tuple(values["ratios"])})
        metadata = json.loads(header["metadata"])
        if not isinstance(metadata, dict):
            raise ValueError(f"metadata is a {type(metadata).__name__}")
        return config, weights, metadata, header["sha256"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged header ({_reason(error)}); copy the file again") from None


def _read_published(path: Path) -> dict[str, Tensor]:
    """State dict of a PyTorch file without the discriminator, unwrapped from a Lightning file if need be."""
    try:
        require_unpacked_size(path)
        with warnings.catch_warnings(action="ignore"):  # torch warns of what it does itself
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        forbidden = re.search(r"(?:GLOBAL|global|class|type) ([\w.]+\.[\w.]+)", str(error))
        what = f"a pickled object ({forbidden[1]})" if forbidden else "pickled content other than tensors"
        raise UserError(
            f"{path}: holds {what}, which could run code when read; save the state dict alone"
        ) from None
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to call for
        raise UserError(f"{path}: damaged or cut off PyTorch file ({_reason(error)}); copy it again") from None
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise UserError(f"{path}: no state dict; allowed: names with tensors, plain or under 'state_dict'")
    return {name: tensor for name, tensor in content.items() if not name.startswith("discriminator.")}


def _infer_config(path: Path, published: Mapping[str, Tensor]) -> BrainCodecConfig:
    """Read a configuration off names and shapes of a published state dict."""
    prefix = "model.encoder.model"

    def shape(name: str) -> tuple[int, ...]:
        if name not in published:
            raise UserError(
                f"{path}: {_count_and_names('tensors missing', [name])}; a BrainCodec has all of its tensors"
            )
        if published[name].ndim != 3:
            raise UserError(f"{path}: {name} is {tuple(published[name].shape)}, expected three axes")
        return tuple(published[name].shape)

    indices = {int(match[1]) for name in published if (match := re.match(rf"{prefix}\.(\d+)\.", name))}
    stages = max(((index + 2) // 3 for index in indices if index % 3 != 2), default=0)
    books = {match[1] for name in published if (match := re.match(r"quantizer\.layers\.(\d+)\.", name))}
    n_filters, _, kernel_size = shape(f"{prefix}.0.conv.conv.weight")
    downs = [shape(f"{prefix}.{3 * i + 3}.conv.conv.weight") for i in range(stages)]
    narrow, _, residual_kernel_size = shape(f"{prefix}.1.block.1.conv.conv.weight")
    dimension, _, last_kernel_size = shape(f"{prefix}.{3 * stages + 2}.conv.conv.weight")
    _, codebook_size, _ = shape("quantizer.layers.0._codebook.embed")
    values: dict[str, Any] = dict(
        ratios=tuple(max(1, down[2] // 2) for down in downs),
        n_filters=n_filters,
        max_filters=max(n_filters, *(down[0] for down in downs)),
        dimension=dimension,
        kernel_size=kernel_size,
        last_kernel_size=last_kernel_size,
        residual_kernel_size=residual_kernel_size,
        compress=max(1, n_filters // max(1, narrow)),
        quantizers=len(books),
        codebook_size=codebook_size,
    )
    try:
        return BrainCodecConfig(**values)
    except UserError as error:
        raise UserError(f"{path}: {error}; its tensor shapes do not fit a BrainCodec") from None


def _shapes(config: BrainCodecConfig) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of a model, without the memory for it."""
    with torch.device("meta"):
        model = BrainCodec(config, seed=None)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def _rename(path: Path, published: dict[str, Tensor], config: BrainCodecConfig) -> dict[str, Tensor]:
    """Published state dict under our names; codebooks lose their leading axis of one head."""
    names = dict(published_names(config))
    _require_names(path, published, names)
    return {
        names[name]: tensor.squeeze(0) if name.startswith("quantizer.") and tensor.ndim > 1 else tensor
        for name, tensor in published.items()
    }


def _require_names(path: Path, present: Iterable[str], required: Iterable[str]) -> None:
    missing = [name for name in required if name not in set(present)]
    unknown = [name for name in present if name not in set(required)]
    parts = [_count_and_names("tensors missing", missing), _count_and_names("unknown tensors", unknown)]
    if text := ", ".join(part for part in parts if part):
        raise UserError(f"{path}: {text}; a BrainCodec has all of its tensors and no other")


def _require_fit(path: Path, weights: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse tensors that are missing, unknown, of another shape or not finite."""
    _require_names(path, weights, shapes)
    wrong = [
        f"{name} is {tuple(weights[name].shape)}, expected {shape}"
        for name, shape in shapes.items()
        if tuple(weights[name].shape) != shape
    ]
    if wrong:
        raise UserError(f"{path}: {_count_and_names('tensors of another shape', wrong)}")
    if bad := [name for name, tensor in weights.items() if not _is_plain(tensor)]:
        raise UserError(f"{path}: {_count_and_names('tensors that are not plain real numbers', bad)}")
    if bad := [name for name, tensor in weights.items() if not torch.isfinite(tensor).all()]:
        raise UserError(f"{path}: {_count_and_names('tensors with values that are not finite', bad)}")


def _is_plain(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and not (tensor.is_complex() or tensor.is_quantized)


def _reason(error: BaseException) -> str:
    """First line of an error, or its class."""
    return str(error).splitlines()[0] if str(error).strip() else type(error).__name__


def _count_and_names(what: str, names: list[str]) -> str:
    """A count with the first three names; empty for none."""
    if not names:
        return ""
    return f"{len(names)} {what}: {', '.join(names[:3])}" + (", ..." if len(names) > 3 else "")
