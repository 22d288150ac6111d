"""python -m extract.pretrain: train a BrainCodec on the EEG of BIDS data sets."""

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro

from extract.braincodec.checkpoint import is_checkpoint, save_checkpoint
from extract.braincodec.config import BrainCodecConfig
from extract.encoders.braincodec import WEIGHTS
from extract.io.antialias import low_passed
from extract.io.bids import find_recordings
from extract.io.raw import open_signal
from extract.pretrain.data import TrainingSignal, split
from extract.pretrain.training import Training, TrainingSettings, in_microvolts, train, validate
from store.runtime.atomic import require_writable
from store.runtime.cli import run
from store.runtime.errors import UserError
from store.runtime.outputs import guard_output

HELP = """Train a BrainCodec; a killed run goes on when the same command is given again.

Example: python -m extract.pretrain --bids DIR --out mine.safetensors --hold-out 03 18

What matters first: --bids and --out, --hold-out for persons to validate on, --steps for how long."""


@dataclass(frozen=True, kw_only=True)
class TrainingFiles:
    """What to train on, and where to."""

    bids: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR [DIR ...]")]
    """Folders of BIDS data sets; any EEG with the 18 channels, events are not read."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE.safetensors")]
    """Checkpoint to write (safetensors); the state to resume from stands beside it, with .state added."""
    hold_out: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PERSON [PERSON ...]")] = ()
    """Persons to validate on and not to train on."""


@dataclass(frozen=True, kw_only=True)
class PretrainCommand(TrainingSettings, TrainingFiles):
    """The command line of ``python -m extract.pretrain``."""

    ratios: Annotated[tuple[int, ...], tyro.conf.arg(metavar="STRIDE [STRIDE ...]")] = BrainCodecConfig().ratios
    """Strides of the encoder."""
    force: bool = False
    """Overwrite a file at --out that is none of this training."""


def read_signals(folders: Sequence[Path], config: BrainCodecConfig) -> list[TrainingSignal]:
    """All recordings of BIDS data sets, in memory, low-passed where their rate is above the config's.

    Raises
    ------
    UserError
        If a folder or recording cannot be used; see `find_recordings` and `open_signal`.
    """
    signals = []
    for folder in folders:
        for recording in find_recordings(folder):
            with open_signal(recording.path) as signal:
                read = low_passed(signal.read, signal.samples, signal.sample_rate_hz, config.sample_rate_hz)
                values = torch.from_numpy(read(0, signal.samples))
            signals.append(TrainingSignal(recording.person, signal.sample_rate_hz, values))
    return signals


def _command(settings: PretrainCommand) -> None:
    if not settings.out.parent.is_dir():
        raise UserError(f"{settings.out.parent}: no such folder for --out; create it")
    state_path = settings.out.with_name(f"{settings.out.name}.state")
    guard_output(
        settings.out,
        inputs=[WEIGHTS, *settings.bids],
        is_ours=lambda path: state_path.exists() and is_checkpoint(path),
        force=settings.force,
    )
    require_writable(settings.out.parent)
    config = BrainCodecConfig(ratios=settings.ratios)
    signals, held_out = split(read_signals(settings.bids, config), settings.hold_out, config, settings.batch)
    fields = dataclasses.fields(TrainingSettings)
    training = Training(config, TrainingSettings(**{f.name: getattr(settings, f.name) for f in fields}))
    if state_path.exists():
        training.load(state_path)
        print(f"going on from step {training.step} of {state_path}")
    for figures in train(training, signals, held_out, state_path):
        print("  ".join(f"{name} {value:g}" for name, value in figures.items()), flush=True)
    persons = sorted({signal.person for signal in signals})
    metadata = {
        "persons_seen": persons,
        "persons_held_out": sorted(settings.hold_out),
        "hours": sum(s.signal_uv.shape[1] / s.sample_rate_hz for s in signals) / 3600,
        "settings": dataclasses.asdict(training.settings),
        "validation": validate(training.model, held_out),
    }
    save_checkpoint(settings.out, in_microvolts(training.model), metadata)
    print(f"{settings.out}: trained on {len(persons)} persons; use it with --encoder {settings.out}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m extract.pretrain``."""
    return run(
        _command,
        PretrainCommand,
        argv,
        prog="python -m extract.pretrain",
        description=HELP,
    )


if __name__ == "__main__":
    sys.exit(main())
