"""Draw the picture of the README from the demo: python docs/make_picture.py demo docs/pipeline.png."""

import io
import sys
from pathlib import Path
from typing import Any

import edfio
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from PIL import Image

import store
from eval.report.palette import LIGHT
from heads.run_folder import Run
from store import RecordingInfo, Store

SHOWN_S = 150
ROWS_UV = 250  # distance of the EEG's rows


def main(argv: list[str]) -> int:
    """Draw EEG, stored features and seizure probability of one synthetic recording over the same seconds."""
    demo, out = Path(argv[0]), Path(argv[1])
    opened, run = store.open(demo / "store"), Run.open(demo / "run")
    info = next(info for info in opened.recordings if info.events)
    middle_s = info.events[0].onset_s + info.events[0].duration_s / 2
    start = max(0, min(int(middle_s - SHOWN_S / 2), info.seconds - SHOWN_S))
    stop = min(info.seconds, start + SHOWN_S)
    draw(
        read_eeg(demo / "bids", info, start, stop),
        read_features(opened, info),
        run.probabilities(info),
        info,
        (start, stop),
        out,
    )
    return 0


def read_eeg(bids: Path, info: RecordingInfo, start: int, stop: int) -> NDArray[np.float64]:
    """Every third channel, ``(6, N)`` in microvolts, 64 samples a second."""
    edf = edfio.read_edf(bids / f"{info.relative_stem}_eeg.edf")
    rate = int(edf.signals[0].sampling_frequency)
    rows = [signal.data[start * rate : stop * rate : rate // 64] for signal in edf.signals[::3]]
    return np.array(rows)


def read_features(opened: Store, info: RecordingInfo) -> NDArray[np.float64]:
    """Stored latents as a picture: the mean over electrodes, ``(D, frames)``, each dim standardised."""
    latents = opened.latents(info, 0, info.windows)  # (B, F, C, D)
    rows = latents.mean(2).reshape(-1, latents.shape[-1]).T
    scaled: NDArray[np.float64] = (rows - rows.mean(1, keepdims=True)) / rows.std(1, keepdims=True)
    return scaled[np.argsort(scaled @ scaled[0])]


def draw(
    eeg_uv: NDArray[np.float64],
    features: NDArray[np.float64],
    probability: NDArray[np.float32],
    info: RecordingInfo,
    span: tuple[int, int],
    out: Path,
) -> None:
    """Write the picture."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    start, stop = span
    style: dict[str, Any] = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}
    with plt.rc_context(style):
        figure, axes = plt.subplots(
            3, 1, figsize=(10, 5), sharex=True, height_ratios=(3, 2, 1.5), layout="constrained"
        )
        eeg, stored, detected = axes
        for row, signal in enumerate(eeg_uv):
            eeg.plot(
                np.linspace(start, stop, len(signal)), signal - row * ROWS_UV, color=LIGHT["ink"], linewidth=0.4
            )
        eeg.set(yticks=[], title="EEG (synthetic, 6 of 18 channels); the annotated seizure is shaded")
        frames = features.shape[1] / info.windows / 4
        shown = features[:, int(start * frames) : int(stop * frames)]
        stored.imshow(shown, aspect="auto", extent=(start, stop, 0, len(shown)), vmin=-2, vmax=2, cmap="RdBu_r")
        stored.set(yticks=[], title="what the store holds: embeddings of the frozen encoder, computed once")
        detected.plot(np.arange(start, stop) + 0.5, probability[start:stop], color=LIGHT["blue"])
        detected.set(
            ylim=(0, 1),
            xlim=span,
            xlabel="seconds",
            title="seizure probability of a head that never saw this person",
        )
        for axis in axes:
            _finish(axis, info)
        pixels = io.BytesIO()
        figure.savefig(pixels, dpi=100)
    Image.open(pixels).convert("RGB").quantize(64).save(out, optimize=True)


def _finish(axis: Axes, info: RecordingInfo) -> None:
    axis.set_title(axis.get_title(), loc="left", fontsize=10)
    axis.set_title("")
    for event in info.events:
        if not axis.images:
            axis.axvspan(
                event.onset_s, event.onset_s + event.duration_s, color=LIGHT["orange"], alpha=0.2, linewidth=0
            )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
