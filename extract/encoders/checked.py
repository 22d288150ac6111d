"""Check that an encoder from another package follows the protocol, before and during use."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract.encoders.protocol import EncoderSettings
from extract.encoders.trial import find_fault, make_windows
from extract.io.montage import DOUBLE_BANANA, from_spec
from extract.io.preparation import LINEAR, NORMALISATIONS, POLYPHASE, REFERENCES, UNITS
from store import FeatureSpec
from store.runtime.errors import UserError

_DTYPES = {"latents": "float16", "codes": "uint8"}


def follows_settings(spec: FeatureSpec, settings: EncoderSettings) -> bool:
    """Whether an encoder takes the channels that it is given, and states no montage of its own."""
    return spec.montage == DOUBLE_BANANA.name and spec.input_channels == settings.channels


class CheckedEncoder:
    """Encoder that a factory makes, refused in one line where it is not what the protocol asks for.

    Parameters
    ----------
    factory
        Takes `EncoderSettings`, gives a `FeatureExtractor`.
    settings
        Whose ``encoder`` names it in what is refused.
    thorough
        Encode two windows of noise as often as `find_fault` does; else once.

    Raises
    ------
    UserError
        If the factory fails, an attribute is missing or of another kind, or a trial on two windows of noise
        fails, gives another shape than the spec has, or shows a fault as `find_fault` says.
    """

    def __init__(self, factory: object, settings: EncoderSettings, *, thorough: bool = True) -> None:
        self._name = settings.encoder
        if not callable(factory):
            raise self._error(
                f"is {factory!r}, not a factory; give a class or function that takes EncoderSettings"
            )
        self._encoder = self._call("its factory", factory, settings)
        self.spec: FeatureSpec = self._attribute("spec")
        self.provenance: dict[str, Any] = self._attribute("provenance")
        self.codebooks: NDArray[np.float32] | None = self._attribute("codebooks")
        self.batch_invariant = getattr(self._encoder, "batch_invariant", False) is True
        self._attribute("encode")
        self._check_spec(settings)
        self._check_provenance()
        self._check_codebooks()
        if not thorough:
            self.encode(make_windows(self.spec))
        elif fault := find_fault(self.encode, self.spec):
            raise self._error(fault)

    def encode(self, windows_uv: NDArray[np.float32]) -> NDArray[Any]:
        """``(B, C, N)`` microvolts -> ``(B, F, C, D)``, or codes ``(B, F, C, Q)``, as the spec says.

        Raises
        ------
        UserError
            If the encoder fails, or its features have another shape or are not finite.
        """
        features = self._call("encode", self._encoder.encode, windows_uv)
        shape = (len(windows_uv), *self.spec.shape)
        if not isinstance(features, np.ndarray) or features.shape != shape:
            given = getattr(features, "shape", None)
            kind = type(features).__name__ if given is None else f"{type(features).__name__} {tuple(given)}"
            raise self._error(f"encode returned {kind}; its spec says a numpy array {shape}, (B, F, C, D)")
        if features.dtype.kind not in ("f" if self.codebooks is None else "u"):
            raise self._error(
                f"encode returned {features.dtype}; {self.spec.features} are {_DTYPES[self.spec.features]}"
                + (" (or another float)" if self.codebooks is None else "")
            )
        if not np.isfinite(features).all():
            raise self._error(
                "encode returned features that are not finite; look for a division by zero or an overflow"
            )
        return features

    def _check_spec(self, settings: EncoderSettings) -> None:
        if not isinstance(self.spec, FeatureSpec):
            raise self._error(f"spec is a {type(self.spec).__name__}; allowed: store.FeatureSpec")
        required = {
            "features": settings.features,
            "stride_s": settings.stride,
            "dtype": _DTYPES[settings.features],
        }
        for field, value in required.items():
            if getattr(self.spec, field) != value:
                raise self._error(
                    f"spec.{field} is {getattr(self.spec, field)!r}; these settings require {value!r}"
                )
        for field in ("sample_rate_hz", "window_s", "frames", "dims"):
            value = getattr(self.spec, field)
            if not isinstance(value, int) or value < 1:
                raise self._error(f"spec.{field} is {value!r}; allowed: whole numbers from 1")
        frames, seconds = self.spec.frames, self.spec.window_s
        if frames % seconds and seconds % frames:
            raise self._error(
                f"spec.frames is {frames} in {seconds} s; allowed: whole frames a second, or whole seconds a frame"
            )
        self._check_montage(settings)
        self._check_preparation()

    def _check_montage(self, settings: EncoderSettings) -> None:
        spec = self.spec
        if spec.inputs and len(spec.channels) != 1:
            raise self._error(
                f"spec.channels has {len(spec.channels)} names; an encoder that mixes its inputs has 1"
            )
        if follows_settings(spec, settings):
            return
        if spec.montage == DOUBLE_BANANA.name and not spec.inputs:
            raise self._error(f"spec.channels is {spec.channels!r}; these settings require {settings.channels!r}")
        montage = from_spec(spec)
        if montage.channels != spec.input_channels:
            raise self._error(
                f"takes {', '.join(spec.input_channels)}; its spec.montage {spec.montage} has "
                f"{', '.join(montage.channels)}"
            )
        if settings.montage is not None and montage != settings.input_montage:
            raise self._error(f"takes the montage {spec.montage}, not {settings.montage}; leave --montage out")

    def _check_preparation(self) -> None:
        """Hold what is done with a signal before it is encoded against what can be done."""
        spec = self.spec
        for field, allowed in (
            ("resampling", (LINEAR, POLYPHASE)),
            ("reference", REFERENCES),
            ("normalisation", tuple(NORMALISATIONS)),
            ("unit", tuple(UNITS)),
        ):
            if getattr(spec, field) not in allowed:
                raise self._error(f"spec.{field} is {getattr(spec, field)!r}; allowed: {', '.join(allowed)}")
        for field in ("high_pass_hz", "low_pass_hz", "notch_hz"):
            value = getattr(spec, field)
            if not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise self._error(f"spec.{field} is {value!r}; allowed: numbers from 0, which is none")
        if spec.low_pass_hz and spec.high_pass_hz >= spec.low_pass_hz:
            raise self._error(
                f"spec.high_pass_hz is {spec.high_pass_hz:g}; allowed: below low_pass_hz, {spec.low_pass_hz:g}"
            )

    def _check_provenance(self) -> None:
        try:
            json.dumps(self.provenance)
        except (TypeError, ValueError) as error:
            raise self._error(
                f"provenance cannot be JSON ({error}); use text, numbers, lists and dicts"
            ) from error
        if not isinstance(self.provenance, dict):
            raise self._error(f"provenance is a {type(self.provenance).__name__}; allowed: a dict")

    def _check_codebooks(self) -> None:
        if self.spec.features == "latents":
            if self.codebooks is not None:
                raise self._error("codebooks belong to codes; set codebooks to None for latents")
            return
        shape: tuple[int, ...] = getattr(self.codebooks, "shape", ())
        if len(shape) != 3 or shape[0] != self.spec.dims or not 1 <= shape[1] <= 256:
            raise self._error(
                f"codebooks are {type(self.codebooks).__name__} {tuple(shape)}; codes need float32 (Q, K, D) with "
                f"Q = spec.dims = {self.spec.dims} and K up to 256"
            )

    def _attribute(self, name: str) -> Any:
        if not hasattr(self._encoder, name):
            kind = type(self._encoder).__name__
            raise self._error(f"{kind} has no {name}; an encoder has spec, provenance, codebooks and encode")
        return getattr(self._encoder, name)

    def _call(self, what: str, function: Callable[[Any], Any], argument: object) -> Any:
        try:
            return function(argument)
        except UserError:
            raise
        except Exception as error:  # whatever the code of other people raises
            reason = " ".join(str(error).split())
            raise self._error(f"{what} failed ({type(error).__name__}: {reason}); --debug shows where") from error

    def _error(self, text: str) -> UserError:
        return UserError(f"encoder {self._name}: {text}")
