"""Names of data sets: which names mean the same data set, and which persons an encoder saw."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

_GENERIC_WORDS = re.compile("bids|clips?|corpus|data|database|dataset|eeg|full|of|scalp|seizures?|set|subset|the")


def same_dataset(first: str, second: str) -> bool:
    """Whether two names mean one data set: without generic words, one begins with the other.

    An empty name is unknown and matches every other.

    >>> same_dataset("CHB-MIT seizure clips", "CHB-MIT Scalp EEG Database"), same_dataset("Siena", "CHB-MIT")
    (True, False)
    """
    short, long = sorted((_normalise(first), _normalise(second)), key=len)
    return long.startswith(short)


def same_name(first: str, second: str) -> bool:
    """Whether two names are equal without generic words: close enough to overwrite or remove what one names.

    >>> same_name("CHB-MIT seizure clips", "CHB-MIT Scalp EEG Database"), same_name("Clinic", "Clinic children")
    (True, False)
    """
    return _normalise(first) == _normalise(second)


def list_persons_seen(encoder: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Persons that an encoder saw in pretraining by its provenance, each with the name of the data set.

    Encoders of earlier versions list persons alone, of the one data set that `data` begins with.

    >>> list_persons_seen({"persons_seen": {"Clips": ["01", "02"], "Healthy": ["01"]}})
    [('Clips', '01'), ('Clips', '02'), ('Healthy', '01')]
    >>> list_persons_seen({"persons_seen": ["01"], "data": "Clips, ODC-By 1.0"})
    [('Clips, ODC-By 1.0', '01')]
    """
    seen = encoder.get("persons_seen", ())
    by_dataset = seen if isinstance(seen, Mapping) else {str(encoder.get("data", "")): seen}
    return [(str(dataset), str(person)) for dataset, persons in by_dataset.items() for person in persons]


def _normalise(dataset: str) -> str:
    """Letters and digits of a name, without words that many data sets share, unless it has no other."""
    words = re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", dataset).casefold())
    return "".join(word for word in words if not _GENERIC_WORDS.fullmatch(word)) or "".join(words)
