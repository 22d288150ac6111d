"""The encoder and the training of heads on a GPU: forms and precisions, shares of the chip's limits, memory.

    python -m tests.benchmarks gpu [--device cuda] [--quick] [--json FILE]

It needs neither EEG nor mne: windows and features are synthetic. With ``--device cpu --quick`` every part runs
small, so that the command can be tried where there is no GPU; its figures then mean nothing.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import store
from extract.braincodec.config import BrainCodecConfig
from extract.braincodec.network import BrainCodec
from extract.encoders.braincodec import in_batches
from heads.dataset import StoreDataset
from heads.folds import make_folds
from heads.settings import TrainSettings
from heads.training.stacked import train_stacked
from heads.training.trials import Trial
from store.runtime.errors import UserError
from tests.benchmarks.encoder import plain_encode
from tests.benchmarks.full_size import LATENTS, write_store
from tests.helpers.accelerators import BFLOAT16, FLOAT32, TF32, Peaks, find_peaks

FULL_SIZE = 882_000  # windows of CHB-MIT
CHANNELS = 18

Encode = Callable[[Tensor], Tensor]


@dataclass
class Bench:
    """What is measured, how largely, and what came out."""

    device: torch.device
    peaks: Peaks | None
    quick: bool
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_gpu(self) -> bool:
        """Whether the device has CUDA's clocks, graphs and memory."""
        return self.device.type == "cuda"

    @property
    def batches(self) -> tuple[int, ...]:
        """Windows that are encoded at once."""
        return (1, 2) if self.quick else (8, 32, 128, 512)

    def seconds(self, run: Callable[[], object], repeats: int = 5) -> float:
        """The shortest of some runs after some that warm up."""
        times = []
        for _ in range(2 if self.quick else repeats + 2):
            self.wait()
            begin = time.perf_counter()
            run()
            self.wait()
            times.append(time.perf_counter() - begin)
        return min(times[1 if self.quick else 2 :])

    def wait(self) -> None:
        """Until the device has done all that it was given."""
        if self.is_gpu:
            torch.cuda.synchronize(self.device)

    def share(self, tflops: float, arithmetic: str) -> float | None:
        """Of the published limit; None where it is not known."""
        peak = self.peaks.of(arithmetic) if self.peaks else None
        return None if peak is None else tflops / peak

    def add(self, part: str, **values: Any) -> None:
        """Keep and print a row."""
        self.rows.append({"part": part, **values})
        cells = (f"{name} {_show(value)}" for name, value in values.items() if value is not None)
        print(f"{part}: {', '.join(cells)}", flush=True)


def _show(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def released(model: BrainCodec) -> Encode:
    """The network as published: one-dimensional convolutions."""
    return lambda x: plain_encode(model, x.to(model.encoder.first.weight.dtype)).float()


def in_channels_last(model: BrainCodec) -> Encode:
    """The network of this package."""
    return model.encode


def compiled(model: BrainCodec, backend: str) -> Encode:
    """The network of this package by torch.compile."""
    encode: Encode = torch.compile(model.encode, backend=backend)
    return encode


def as_graph(encode: Encode, example: Tensor) -> Encode:
    """A network as a CUDA graph for batches of one size."""
    static = example.clone()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            encode(static)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = encode(static)

    def replay(x: Tensor) -> Tensor:
        static.copy_(x)
        graph.replay()
        return out

    return replay


def forms(bench: Bench, model: BrainCodec, example: Tensor) -> dict[str, Callable[[], Encode]]:
    """How each form is made, by name."""
    ways: dict[str, Callable[[], Encode]] = {
        "eager": lambda: released(model),
        "channels-last": lambda: in_channels_last(model),
        "compiled": lambda: compiled(model, "eager" if bench.quick else "inductor"),
    }
    if bench.is_gpu:
        ways["CUDA graph"] = lambda: as_graph(in_channels_last(model), example)
    return ways


@torch.inference_mode()
def measure_encoder(bench: Bench) -> float:
    """Measure each form and precision at each size of a batch; give the best windows a second."""
    config = BrainCodecConfig()
    exact = BrainCodec(config).eval().requires_grad_(False).to(bench.device)
    generator = torch.Generator().manual_seed(0)
    most = max(bench.batches) * CHANNELS
    signal_uv = (40 * torch.randn(most, 1, config.samples, generator=generator)).to(bench.device)
    with FlopCounterMode(display=False) as counter:
        released(exact)(signal_uv[:CHANNELS])
    tflop = counter.get_total_flops() / 1e12
    bench.add("arithmetic", gflop_a_window=tflop * 1e3)
    _set_tf32(False)
    wanted = released(exact)(signal_uv[:CHANNELS])
    best = 0.0
    for arithmetic in (FLOAT32, TF32, BFLOAT16) if bench.is_gpu else (FLOAT32, BFLOAT16):
        model = BrainCodec(config).eval().requires_grad_(False).to(bench.device)
        if arithmetic == BFLOAT16:
            model.encoder.bfloat16()
        _set_tf32(arithmetic == TF32)
        for windows in bench.batches:
            batch = signal_uv[: windows * CHANNELS]
            for name, make in forms(bench, model, batch).items():
                speed = _measure_form(bench, f"encoder, {name}, {arithmetic}", make, batch, windows, tflop, wanted)
                best = max(best, speed)
    return best


def _measure_form(
    bench: Bench,
    part: str,
    make: Callable[[], Encode],
    batch: Tensor,
    windows: int,
    tflop: float,
    wanted: Tensor,
) -> float:
    """Windows a second of one form; 0 where it cannot run, which the row says."""
    if bench.is_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(bench.device)
    try:
        encode = make()
        speed = windows / bench.seconds(lambda: encode(batch))
        error = float((encode(batch)[:CHANNELS] - wanted).norm() / wanted.norm())
    except Exception as failure:  # a form that this device, or its memory, does not bear
        bench.add(part, batch=windows, failed=f"{type(failure).__name__}: {str(failure).splitlines()[0][:90]}")
        return 0.0
    bench.add(
        part,
        batch=windows,
        windows_s=speed,
        tflops=speed * tflop,
        share=bench.share(speed * tflop, part.rpartition(" ")[2]),
        error=error,
        memory_gb=torch.cuda.max_memory_allocated(bench.device) / 1e9 if bench.is_gpu else None,
    )
    return speed


def _set_tf32(allowed: bool) -> None:
    torch.backends.cudnn.allow_tf32 = allowed
    torch.backends.cuda.matmul.allow_tf32 = allowed


def measure_training(bench: Bench) -> float:
    """Measure the training of all folds together; give the best windows x heads a second."""
    persons, recording_s, epochs = (3, 192, 1) if bench.quick else (23, 1024, 3)
    settings = TrainSettings(filters=8, hidden=8) if bench.quick else TrainSettings(filters=64, hidden=128)
    frames, channels, dims = LATENTS.shape
    tflop = 4 * frames * channels * dims * settings.filters / 1e12  # forward and backward, a window and head
    best = 0.0
    with tempfile.TemporaryDirectory() as folder:
        write_store(Path(folder), LATENTS, persons, 1, recording_s)
        dataset = StoreDataset(store.open(folder))
        folds = make_folds(dataset.label_counts(), "all")
        for arithmetic in (FLOAT32, BFLOAT16):
            _set_tf32(False)
            changes = {"epochs": epochs, "precision": arithmetic, "background_per_seizure": None}
            trials = [Trial(fold, replace(settings, **changes)) for fold in folds]
            done: list[int] = []
            train_stacked(trials, dataset, bench.device, Path(folder) / f"warm-{arithmetic}.pt")
            bench.wait()
            begin = time.perf_counter()
            train_stacked(trials, dataset, bench.device, Path(folder) / f"{arithmetic}.pt", done.append)
            bench.wait()
            speed = sum(done) / (time.perf_counter() - begin)
            bench.add(
                f"training, {len(folds)} folds together, {arithmetic}",
                windows_heads_s=speed,
                tflops=speed * tflop,
                share=bench.share(speed * tflop, arithmetic),
            )
            best = max(best, speed)
    return best


def measure_exhaustion(bench: Bench) -> None:
    """What happens when the memory ends: batches are halved, and one window that does not fit is a plain error."""
    model = BrainCodec(BrainCodecConfig()).eval().requires_grad_(False).to(bench.device)
    windows = 4 if bench.quick else 2048
    signal_uv = torch.zeros(windows, CHANNELS, model.config.samples)
    sizes: list[int] = []
    limit = 2

    def encode_part(start: int, stop: int) -> None:
        if not bench.is_gpu and stop - start > limit:
            raise torch.cuda.OutOfMemoryError("simulated")
        with torch.inference_mode():
            model.encode(signal_uv[start:stop].to(bench.device).flatten(0, 1).unsqueeze(1)).cpu()
        sizes.append(stop - start)

    try:
        if bench.is_gpu:
            torch.cuda.empty_cache()
            used = torch.cuda.memory_reserved(bench.device) + 2e9  # 2 GB more than now
            total = torch.cuda.get_device_properties(bench.device).total_memory
            torch.cuda.set_per_process_memory_fraction(min(1.0, used / total), bench.device)
        in_batches(encode_part, windows, windows)
        outcome = "all encoded"
    except UserError as error:
        outcome = str(error)
    finally:
        if bench.is_gpu:
            torch.cuda.set_per_process_memory_fraction(1.0, bench.device)
    bench.add(
        "memory ends" if bench.is_gpu else "memory ends (simulated)",
        asked=windows,
        largest_batch=max(sizes, default=0),
        encoded=sum(sizes),
        outcome=outcome,
    )


def main(arguments: Sequence[str] = ()) -> None:
    """Measure all of it, print a row for each, and project to CHB-MIT."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks gpu")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="small, to try the command")
    parser.add_argument("--json", type=Path, help="file for the rows")
    options = parser.parse_args(arguments)
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        raise SystemExit("gpu: this torch sees no GPU; --device cpu --quick tries the command without one")
    device = torch.device(options.device)
    if device.type == "cuda" and device.index is None:  # limits of memory need the number
        device = torch.device("cuda", torch.cuda.current_device())
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    bench = Bench(device, find_peaks(name), options.quick)
    known = f"limits {bench.peaks}" if bench.peaks else "limits not known here: TFLOP/s, and no shares"
    print(f"{name}, torch {torch.__version__}, {known}")
    kept = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    try:
        encoded, trained = measure_encoder(bench), measure_training(bench)
        measure_exhaustion(bench)
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = kept
    bench.add(
        "projected for CHB-MIT",
        windows=FULL_SIZE,
        encoding_minutes=FULL_SIZE / encoded / 60,
        epoch_of_23_folds_minutes=FULL_SIZE * 22 / trained / 60,
    )
    if options.json:
        options.json.write_text(json.dumps({"device": name, "torch": torch.__version__, "rows": bench.rows}))
