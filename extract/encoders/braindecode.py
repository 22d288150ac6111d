"""Models of braindecode as encoders, ``braindecode:NAME`` or ``braindecode:NAME@WEIGHTS``: an extra.

A signal reaches them as their authors prepare it. Weights are a safetensors file, or the name of a repository on
the Hugging Face hub; without any a model is untrained, with the same random weights everywhere.
"""

import sys
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from extract.braincodec.checkpoint import weights_sha256
from extract.encoders.braincodec import in_batches
from extract.encoders.protocol import EncoderSettings
from extract.encoders.registry import BRAINDECODE
from extract.io.montage import TABLE, Derivation, Montage, parse_name
from extract.io.preparation import POLYPHASE
from store import FeatureSpec
from store.runtime.device import choose_device
from store.runtime.errors import UserError

_RATE_HZ, _WINDOW_S = 200, 10
_BATCH_WINDOWS = 16  # encoded at once
_HEAD = "final_layer."  # of a classifier, which features do not pass
_BIOT = (
    *("FP1-F7", "F7-T7", "T7-P7", "P7-O1", "FP2-F8", "F8-T8", "T8-P8", "P8-O2"),
    *("FP1-F3", "F3-C3", "C3-P3", "P3-O1", "FP2-F4", "F4-C4", "C4-P4", "P4-O2"),
)


@dataclass(frozen=True)
class _Recipe:
    """What a model takes, as its authors publish it, and how its features become ``(B, F, C, D)``."""

    source: str
    arrange: Callable[[Tensor, int], Tensor]  # features and C
    prepared: dict[str, Any]  # fields of the spec
    montage: Montage | None = None  # None takes any channels
    is_mixing: bool = False
    takes_names: bool = False  # of electrodes, for their positions
    unused: str = ""  # layer for pretraining, which its authors take away before they use the features


RECIPES = {
    "CBraMod": _Recipe(
        "Wang et al., ICLR 2025",
        lambda features, channels: features.transpose(1, 2),  # (B, C, F, D)
        {"high_pass_hz": 0.3, "low_pass_hz": 75.0, "notch_hz": 60.0, "unit": "0.1mV"},
        unused="proj_out",
    ),
    "BIOT": _Recipe(
        "Yang et al., NeurIPS 2023",
        lambda features, channels: features[:, None, None],  # (B, D)
        {"normalisation": "percentile-95"},
        montage=Montage(TABLE, tuple(Derivation(name, *name.split("-")) for name in _BIOT)),
        is_mixing=True,
    ),
    "Labram": _Recipe(
        "Jiang et al., ICLR 2024",
        lambda f, channels: f.reshape(len(f), channels, -1, f.shape[2]).transpose(1, 2),  # (B, C * F, D)
        {"high_pass_hz": 0.1, "low_pass_hz": 75.0, "notch_hz": 50.0, "unit": "0.1mV"},
        takes_names=True,
    ),
}


class BraindecodeEncoder:
    """A model of braindecode, frozen, up to its classifier.

    Raises
    ------
    UserError
        If there is no such model, braindecode cannot be imported, the model does not know where a channel lies,
        codes are asked for, or weights cannot be found or do not fit.
    """

    codebooks = None

    def __init__(self, settings: EncoderSettings) -> None:
        name, _, weights = settings.encoder.removeprefix(BRAINDECODE).partition("@")
        if name not in RECIPES:
            known = ", ".join(f"{BRAINDECODE}{each}" for each in RECIPES)
            raise UserError(f"encoder {settings.encoder}: no such model; allowed: {known}")
        if settings.features == "codes":
            raise UserError(f"features codes: {name} has no quantizer; use features latents")
        if settings.precision == "bfloat16":
            raise UserError(f"precision bfloat16: {name} is run in float32; use auto or float32")
        self._recipe = recipe = RECIPES[name]
        montage = recipe.montage or settings.input_montage
        self.device = torch.device(choose_device(settings.device))
        models = _import_models()
        names = _places(montage, models.labram) if recipe.takes_names else []
        self._arguments: dict[str, Any] = {"return_features": True, **({"ch_names": names} if names else {})}
        channels = len(models.labram.LABRAM_CHANNEL_ORDER) if names else len(montage.channels)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model: nn.Module = getattr(models, name)(
                n_chans=channels, n_times=_RATE_HZ * _WINDOW_S, sfreq=_RATE_HZ, n_outputs=2
            )
        origin = _load_weights(model, name, weights) if weights else {"weights": "untrained"}
        if recipe.unused:
            setattr(model, recipe.unused, nn.Identity())
        self._model = model.eval().requires_grad_(False).to(self.device)
        self.provenance = {
            "name": settings.encoder,
            "source": recipe.source,
            "braindecode": version("braindecode"),
            **origin,
        }
        self._channels = 1 if recipe.is_mixing else len(montage.channels)
        frames, dims = self._trial(len(montage.channels))
        self.spec = FeatureSpec(
            encoder=BRAINDECODE + (f"{name}@{_short(weights)}" if weights else name),
            weights_sha256=weights_sha256(model),
            features="latents",
            dtype="float16",
            sample_rate_hz=_RATE_HZ,
            window_s=_WINDOW_S,
            stride_s=settings.stride,
            hop=_RATE_HZ * _WINDOW_S // frames,
            frames=frames,
            dims=dims,
            channels=(name,) if recipe.is_mixing else montage.channels,
            resampling=POLYPHASE,
            precision="float32",
            montage=montage.name,
            derivations=montage.rows,
            inputs=montage.channels if recipe.is_mixing else (),
            **recipe.prepared,
        )

    def encode(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """``(B, C, N)`` as the spec prepares them -> ``(B, F, C, D)`` float32."""
        parts: list[NDArray[np.float32]] = []

        def encode_part(start: int, stop: int) -> None:
            parts.append(self._encode(torch.from_numpy(windows[start:stop])).cpu().numpy())

        in_batches(encode_part, len(windows), _BATCH_WINDOWS)
        return np.ascontiguousarray(np.concatenate(parts))

    @torch.inference_mode()
    def _encode(self, windows: Tensor) -> Tensor:
        features = self._model(windows.to(self.device), **self._arguments)["features"]
        return self._recipe.arrange(features, self._channels)

    def _trial(self, channels: int) -> tuple[int, int]:
        """Frames and dims of a window."""
        shape = self._encode(torch.zeros(1, channels, _RATE_HZ * _WINDOW_S)).shape
        return shape[1], shape[3]


def _short(weights: str) -> str:
    """The name of a file without its folder, or of a repository."""
    return Path(weights).name if Path(weights).is_file() else weights


def _places(montage: Montage, labram: Any) -> list[str]:
    """Names under which Labram knows the places of channels: their own, else those of their anodes."""
    known = {name.upper(): name for name in labram.LABRAM_CHANNEL_ORDER}
    first = {each.name: each for each in reversed(montage.derivations)}
    return [_place(first[channel], known) for channel in montage.channels]


def _place(derivation: Derivation, known: Mapping[str, str]) -> str:
    for name in (derivation.name.upper(), parse_name(derivation.anode)[0]):
        if name in known:
            return known[name]
    raise UserError(
        f"encoder braindecode:Labram: does not know the position of {derivation.name}; give electrodes of the "
        "10-20 system, such as --montage referential-1020"
    )


def _load_weights(model: nn.Module, name: str, weights: str) -> dict[str, Any]:
    """Load weights strictly, all but those of a classifier; give what is known of them.

    Raises
    ------
    UserError
        If there are none, or they are not of this model.
    """
    path, known = Path(weights), {"weights": weights}
    if not path.is_file():
        path, known = _fetch(weights)
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not a safetensors file ({reason}); give one of {name}") from error
    expected = {key: value for key, value in model.state_dict().items() if not key.startswith(_HEAD)}
    given = {key: value for key, value in state.items() if not key.startswith(_HEAD)}
    if odd := sorted(expected.keys() ^ given.keys()):
        raise UserError(
            f"{path}: not weights of {name}: {len(odd)} names are missing or unknown, such as {odd[0]}"
        )
    for key, value in given.items():
        if value.shape != expected[key].shape:
            shapes = f"{tuple(value.shape)}, {name} on these channels has {tuple(expected[key].shape)}"
            raise UserError(f"{path}: {key} is {shapes}; give weights for as many channels")
    model.load_state_dict(given, strict=False)
    return known


def _fetch(repository: str) -> tuple[Path, dict[str, Any]]:
    """Weights of a repository on the hub, or of its local copy, with its licence as far as it says one."""
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise UserError(f"weights {repository}: no such file; for the hub, pip install huggingface_hub") from error
    try:
        path = Path(hf_hub_download(repository, "model.safetensors"))
    except Exception as error:  # of network, names, permissions
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"weights {repository}: no such file, and could not be downloaded from the hub ({reason})"
        ) from error
    known = {"weights": repository, "licence": "not stated"}
    with suppress(Exception):  # a model card need not be there
        from huggingface_hub import ModelCard

        known["licence"] = str(ModelCard.load(repository).data.license or "not stated")
    return path, known


def _import_models() -> Any:
    """Import ``braindecode.models``, also where torchaudio, which a few of its filters use, does not load.

    Raises
    ------
    UserError
        If it cannot be imported.
    """
    try:
        with _replaceable_torchaudio():
            from braindecode import models

            return models
    except ImportError as error:
        raise UserError(
            f"encoder braindecode: cannot be imported ({error}); pip install --editable '.[braindecode]' "
            "in the project's folder"
        ) from error


@contextmanager
def _replaceable_torchaudio() -> Iterator[None]:
    """Stand in for torchaudio while braindecode is imported, where the one that is installed does not load.

    Its newest build for CUDA does not load beside a torch for CPUs. What uses the stand-in fails; no encoder does.
    """
    try:
        import_module("torchaudio")
    except (ImportError, OSError):
        names = ("torchaudio", "torchaudio.functional", "torchaudio.transforms")
        for name in names:
            sys.modules[name] = _StandIn(name)
        try:
            yield
        finally:
            for name in names:
                del sys.modules[name]
    else:
        yield


class _StandIn(types.ModuleType):
    """A module whose every name is a class that does nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return sys.modules.get(f"{self.__name__}.{name}") or type(name, (nn.Module,), {})
