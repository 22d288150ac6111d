"""The checkpoint that ships: whole, small, described, and better than the least worth shipping."""

import pytest
import torch

from extract.braincodec.checkpoint import load_checkpoint
from extract.encoders.shipped import SHIPPED, WEIGHTS
from extract.io.bids import find_recordings
from extract.io.raw import open_signal
from extract.pretrain.data import Person, TrainingSignal, cut_windows
from extract.pretrain.losses import prd


@pytest.mark.parametrize("name", sorted({path.name for path in SHIPPED.values()}))
def test_ships_small_trained_and_described(name):
    path = WEIGHTS.with_name(name)
    checkpoint = load_checkpoint(path)
    card = (WEIGHTS.parent / ("README.md" if path == WEIGHTS else f"{path.stem}.md")).read_text()
    assert path.stat().st_size < 10_000_000
    assert checkpoint.model.config.hop == 64
    assert checkpoint.sha256 in card
    seen, held_out = ({*list_persons(checkpoint.metadata[key])} for key in ("persons_seen", "persons_held_out"))
    assert seen
    assert held_out
    assert not seen & held_out
    figures = checkpoint.metadata["validation"].values()
    assert max(person["prd"] for person in figures) < 30
    assert sum(min(person["perplexity"]) for person in figures) / len(figures) > 90


def list_persons(persons):
    """Persons as pairs of data set and name; the first weights that shipped name no data set."""
    by_dataset = persons if isinstance(persons, dict) else {"": persons}
    return [(dataset, name) for dataset, names in by_dataset.items() for name in names]


@pytest.mark.parametrize(
    ("name", "most"), [("braincodec-clips", 30), ("braincodec-any-eeg-v1", 22), ("braincodec-any-eeg", 20)]
)
def test_reconstructs_persons_it_has_not_seen(real_clips, name, most):
    checkpoint = load_checkpoint(SHIPPED[name])
    model = checkpoint.model
    held_out = list_persons(checkpoint.metadata["persons_held_out"])
    figures = []
    for person in [person for dataset, person in held_out if dataset in ("", "CHB-MIT seizure clips")]:
        for recording in find_recordings(real_clips, [person])[::3]:
            with open_signal(recording.path) as signal:
                values = torch.from_numpy(signal.read(0, signal.samples))
            windows = cut_windows(TrainingSignal(Person("", person), signal.sample_rate_hz, values), model.config)[
                ::19
            ]
            with torch.inference_mode():
                decoded = model.decode(model.dequantize(model.quantize(model.encode(windows))))
            figures.append(prd(windows, decoded))
    assert torch.cat(figures).mean() < most
