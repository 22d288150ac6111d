"""The detector of a run: its encoder, final head and post-processing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from eval.scoring.choice import POSTPROCESSING, read_choice
from eval.scoring.postprocess import PostProcessing
from eval.scoring.tested import find_final
from extract.encoders.protocol import EncoderSettings, FeatureExtractor, is_low_passed
from extract.encoders.registry import BRAINDECODE, BUILT_IN, GROUP, load_encoder
from extract.encoders.shipped import describe_difference
from extract.io.montage import from_spec
from extract.io.raw import EegFile
from heads.run_folder import Run
from store import FeatureSpec
from store.layout import dequantize, spread_frames
from store.runtime.errors import UserError
from store.runtime.plugins import plugin_names
from store.schema import count_seconds, count_windows, read_beam

if TYPE_CHECKING:
    from heads.models.head import Head

_BLOCK_WINDOWS = 32  # read and encoded at once: 15 MB of signal at 512 Hz


@dataclass(frozen=True)
class Detector:
    """What turns microvolts into seizures."""

    encoder: FeatureExtractor
    head: "Head"
    post: PostProcessing
    head_path: Path

    @property
    def spec(self) -> FeatureSpec:
        """How EEG is read, windowed and encoded."""
        return self.encoder.spec

    def predict_windows(
        self, windows_uv: NDArray[np.float32], channel_mask: Sequence[bool]
    ) -> NDArray[np.float32]:
        """Probability of each second of windows, ``(B, C, N)`` -> ``(B, S)``; logits if the head has context.

        The head takes one window after the other: its rounding depends on how many there are, and a window is to
        give the same in a file and on a stream.
        """
        import torch

        stored = as_stored(self.encoder.encode(windows_uv), self.encoder)
        with torch.inference_mode():
            features = torch.from_numpy(spread_frames(stored, self.spec.window_s))
            if self.head.leaves_out_missing:
                if not self.spec.inputs:
                    features[:, :, [not present for present in channel_mask]] = torch.nan
                features = self.head.fill_missing(features)
            logits = torch.cat([self.head(features[index : index + 1]) for index in range(len(features))])
            values: NDArray[np.float32] = (logits.sigmoid() if self.head.context_s == 1 else logits).numpy()
        return values

    def predict(self, signal: EegFile, *, keep_bar: bool = True) -> NDArray[np.float32]:
        """Seizure probability of each second, ``(T,)``; a few windows of the signal are in memory at a time."""
        from heads.inference import merge_predictions

        spec, seconds = self.spec, count_seconds(signal.duration_s)
        windows, parts = count_windows(seconds, spec.window_s, spec.stride_s), []
        with tqdm(total=windows, unit=" windows", disable=None, leave=keep_bar) as bar:
            for block_uv in signal.windows(spec, _BLOCK_WINDOWS):
                parts.append(self.predict_windows(block_uv, signal.channel_mask))
                bar.update(len(block_uv))
        return merge_predictions(self.head, np.concatenate(parts), seconds, spec.stride_s)


def load_detector(
    path: Path,
    seed: int | None = None,
    encoder: str | None = None,
    device: str = "cpu",
    head: str | None = None,
) -> Detector:
    """Load the detector of a run folder.

    Parameters
    ----------
    seed
        Of a run of several seeds, whose head to take; the first if None.
    encoder
        The run's encoder, if it is not known by name.
    head
        The run's head, if it is not known by name.

    Raises
    ------
    UserError
        If the run has no scored final fold, or its encoder or head is not available.
    """
    from heads.models.saved import load_head  # here, since it loads torch

    fold = find_final(choose_seed(Run.open(path), seed))
    head_path = fold / "head.safetensors"
    trained, spec, _ = load_head(head_path, [head])
    post = read_choice(fold / POSTPROCESSING).post
    return Detector(matching_encoder(spec, encoder, device), trained, post, head_path)


def choose_seed(run: Run, seed: int | None) -> Run:
    """The run as that seed has it, or its first.

    Raises
    ------
    UserError
        If the run has no such seed.
    """
    if seed is None:
        return run.by_seed[0]
    seeds = run.seeds or (run.config["settings"].get("seed"),)
    if seed not in seeds:
        raise UserError(f"--seed {seed}: {run.path} was trained with {', '.join(map(str, seeds))}")
    return run.of_seed(seed)


def matching_encoder(spec: FeatureSpec, reference: str | None, device: str) -> FeatureExtractor:
    """Load the encoder whose features a head was trained on; ``reference`` names one that is not known by name.

    Raises
    ------
    UserError
        If it is not available, or its features differ.
    """
    is_known = spec.encoder in (*BUILT_IN, *plugin_names(GROUP)) or spec.encoder.startswith(BRAINDECODE)
    if reference is None and not is_known:
        raise UserError(
            f"the run's encoder is {spec.encoder}, which does not ship; give its checkpoint file, or "
            "package.module:factory, with --encoder"
        )
    settings = EncoderSettings(
        encoder=reference or spec.encoder,
        features="codes" if spec.features == "codes" else "latents",
        quantizers=spec.dims if spec.features == "codes" else None,
        beam=read_beam(spec.code_search),
        stride=spec.stride_s,
        precision="bfloat16" if spec.precision == "bfloat16" else "float32",
        device=device,
        weights_sha256=spec.weights_sha256,
        montage=spec.montage,
        resolved=from_spec(spec),
        low_passed=is_low_passed(spec),
    )
    encoder = load_encoder(settings)
    if difference := describe_difference(replace(encoder.spec, encoder=spec.encoder), spec):
        raise UserError(
            f"encoder {settings.encoder} is not the one that the head was trained on: {difference}; "
            "give the right one with --encoder, or train the run again"
        )
    return encoder


def as_stored(features: NDArray[Any], encoder: FeatureExtractor) -> NDArray[np.float32]:
    """Features as a store gives them back, ``(B, F, C, D)`` float32: rounded to its type, codes looked up.

    Raises
    ------
    UserError
        If one is not finite in that type.
    """
    if encoder.codebooks is not None:
        return dequantize(features, encoder.codebooks)
    with np.errstate(over="ignore"):
        stored = features.astype(encoder.spec.dtype)
    if not np.isfinite(stored).all():
        raise UserError(f"a feature is not finite as {encoder.spec.dtype}; check the units of the EEG file")
    return stored.astype(np.float32)
