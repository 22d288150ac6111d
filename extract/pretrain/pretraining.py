"""Read EEG, train a BrainCodec, and write it with its training data on record."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Generator

from extract.braincodec.checkpoint import is_checkpoint, load_checkpoint, save_checkpoint
from extract.braincodec.config import BrainCodecConfig
from extract.encoders.shipped import SHIPPED, find_weights
from extract.pretrain.data import (
    Person,
    TrainingSignal,
    WindowSampler,
    find_persons,
    is_same_person,
    spell_person,
    split,
)
from extract.pretrain.folding import UNIT_UV, fold_units
from extract.pretrain.origin import Origin
from extract.pretrain.settings import PretrainCommand, TrainingSettings
from extract.pretrain.training import START_WINDOWS, Training, train
from extract.pretrain.validation import validate
from store.runtime.atomic import require_writable
from store.runtime.cli import to_one_line
from store.runtime.device import choose_device
from store.runtime.errors import UserError
from store.runtime.outputs import guard_output
from store.runtime.plurals import count_noun, list_names

if TYPE_CHECKING:
    from extract.pretrain.read import TrainingEeg


def pretrain(settings: PretrainCommand) -> None:
    """Train a BrainCodec and write it; go on where an earlier call with the same settings and data was stopped.

    Raises
    ------
    UserError
        If a setting is out of range, a file or folder cannot be read or written, a person is unknown, or settings
        do not go together.
    """
    settings.check()
    from extract.pretrain.read import read_eeg  # here, since training itself works without mne-bids

    state_path = settings.out.with_name(f"{settings.out.name}.state")
    _guard(settings, state_path)
    config = BrainCodecConfig(ratios=settings.ratios, quantizers=settings.quantizers, beam=settings.beam)
    eeg = read_eeg(settings.bids, config.sample_rate_hz)
    print("\n".join(map(to_one_line, [*eeg.describe_unusable(), eeg.describe()])), flush=True)
    hold_out = find_persons(settings.hold_out, eeg.persons, eeg.folders)
    signals, held_out = split(eeg.signals, hold_out, config, settings.batch)
    fields = dataclasses.fields(TrainingSettings)
    training_settings = TrainingSettings(**{f.name: getattr(settings, f.name) for f in fields})
    training = Training(config, training_settings, choose_device(settings.device))
    sampler = WindowSampler(signals, config, training.device)
    training.origin = Origin(frozenset(_persons_of(signals)), frozenset(hold_out | _persons_of(held_out)))
    if settings.start:
        _begin(training, find_weights(settings.start), eeg.folders)
    if state_path.exists():
        training.load(state_path, _read_origin(settings.out), eeg.folders)
        print(_describe_resumed(training, state_path), flush=True)
    for figures in train(training, sampler, held_out, state_path):
        print("  ".join(f"{name} {value:g}" for name, value in figures.items()), flush=True)
    metadata = {
        **_describe_eeg(eeg, signals),
        **training.origin.to_metadata(),
        "settings": dataclasses.asdict(training.settings),
        "validation": validate(training.averaged, held_out),
    }
    windows = sampler.draw(START_WINDOWS, Generator(training.device).manual_seed(0)) / UNIT_UV
    model = fold_units(training.averaged, windows).cpu()
    save_checkpoint(settings.out, model, metadata)
    people = count_noun(len(_persons_of(signals)), "person")
    print(f"{settings.out}: trained on {people}; use it with --encoder {settings.out}")


def _describe_resumed(training: Training, state_path: Path) -> str:
    if training.step < training.settings.steps:
        return f"resuming from step {training.step} of {state_path}"
    return f"nothing left to train: {state_path} is at step {training.step}; to train on, give more --steps"


def _guard(settings: PretrainCommand, state_path: Path) -> None:
    """Refuse an output that cannot be written, or that would replace what is none of this training."""
    if not settings.out.parent.is_dir():
        raise UserError(f"{settings.out.parent}: no such folder for --out; create it")
    if settings.freeze_encoder and not settings.start:
        raise UserError("--freeze-encoder: give the weights with the encoder to keep as --start")
    guard_output(
        settings.out,
        inputs=[*SHIPPED.values(), *settings.bids, *([find_weights(settings.start)] if settings.start else [])],
        endings=[".safetensors"],
        is_ours=lambda path: state_path.exists() and is_checkpoint(path),
        force=settings.force,
    )
    require_writable(settings.out.parent)


def _describe_eeg(eeg: "TrainingEeg", signals: Sequence[TrainingSignal]) -> dict[str, Any]:
    """How much was trained on and what was left out, for the checkpoint."""
    return {
        "channel_hours": sum(s.signal_uv.numel() / s.sample_rate_hz for s in signals) / 3600,
        "channels": eeg.channels,
        "channels_left_out": dict(eeg.left_out),
        "recordings_left_out": len(eeg.unusable),
    }


def _persons_of(signals: Sequence[TrainingSignal]) -> set[Person]:
    return {signal.person for signal in signals}


def _read_origin(path: Path) -> Origin | None:
    """Origin that a checkpoint names; None if there is no checkpoint."""
    return Origin.of(load_checkpoint(path).metadata) if is_checkpoint(path) else None


def _begin(training: Training, path: Path, folders: Mapping[str, str]) -> None:
    """Begin a training with the weights of a checkpoint.

    Raises
    ------
    UserError
        If it is of another shape or has more quantizers, or saw a person that is held out.
    """
    checkpoint = load_checkpoint(path)
    config, target = checkpoint.model.config, training.model.config
    compared = dataclasses.asdict(replace(config, beam=target.beam, quantizers=target.quantizers))
    if odd := [name for name, value in dataclasses.asdict(target).items() if compared[name] != value]:
        text = ", ".join(f"{name} {compared[name]}, to train {getattr(target, name)}" for name in odd)
        remedy = f"--ratios {' '.join(map(str, config.ratios))}" if odd == ["ratios"] else "another --start"
        raise UserError(f"{path}: has {text}; give {remedy}")
    if config.quantizers > target.quantizers:
        raise UserError(
            f"{path}: has {config.quantizers} quantizers, more than --quantizers {target.quantizers}; "
            f"give {config.quantizers} or more"
        )
    seen, held_out = Origin.of(checkpoint.metadata).seen, training.origin.held_out
    known = sorted(person for person in held_out if any(is_same_person(person, other) for other in seen))
    if known:
        names = list_names(spell_person(person, folders) for person in known)
        raise UserError(f"--hold-out: {path} was trained on {names}; hold out others, or begin without it")
    training.start_from(checkpoint.model)
    training.origin = replace(training.origin, seen=training.origin.seen | seen, begun_with=checkpoint.sha256)
