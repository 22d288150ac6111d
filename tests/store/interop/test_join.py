"""Several stores as one: names, persons of data sets, what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import store
from store import StoreError
from store.interop.join import original_persons
from store.runtime.errors import UserError
from tests.helpers.stores import SPEC, write_subject


def write_store(folder: Path, dataset: str, persons: tuple[str, ...] = ("01", "02"), seed: int = 0) -> Path:
    for number, person in enumerate(persons):
        write_subject(folder, person, (60, 41), seed + number, dataset=dataset)
    return folder


def refuse(*paths: Path) -> str:
    with pytest.raises(UserError) as refusal:
        store.open_stores(paths)
    message = str(refusal.value)
    assert len(message.splitlines()) == 1
    return message


def test_equal_names_of_two_data_sets_are_two_persons(tmp_path: Path) -> None:
    paths = [write_store(tmp_path / "chb_mit", "CHB-MIT"), write_store(tmp_path / "siena", "Siena", seed=5)]
    joined, siena = store.open_stores(paths), store.open(paths[1])
    assert joined.persons == ("chb-mit_01", "chb-mit_02", "siena_01", "siena_02")
    assert original_persons(joined)["siena_02"] == ("Siena", "02")
    assert (joined.name, joined.paths) == ("chb-mit+siena", tuple(paths))
    assert joined.windows == store.open(paths[0]).windows + siena.windows
    own, renamed = siena.recordings[1], joined.recordings[-3]
    assert renamed.name == f"siena/{own.name}"
    assert renamed.relative_stem == f"siena/{own.relative_stem}"
    np.testing.assert_array_equal(joined.features(renamed), siena.features(own))
    np.testing.assert_array_equal(joined.labels(renamed), siena.labels(own))
    np.testing.assert_array_equal(joined.moments("siena_01").total, siena.moments("01").total)
    first = joined.first_windows[2]
    np.testing.assert_array_equal(joined.read(first - 2, first + 3)[2:], siena.read(0, 3))
    assert len(joined.identities) == 4


def test_parts_of_one_data_set_share_its_persons(tmp_path: Path) -> None:
    train = write_store(tmp_path / "train", "TUH EEG Seizure Corpus", ("01", "02"))
    dev = write_store(tmp_path / "dev", "TUH EEG Seizure", ("03",), seed=2)
    assert store.open_stores([train, dev]).persons == ("01", "02", "03")
    siena = write_store(tmp_path / "siena", "Siena", ("03",), seed=5)
    joined = store.open_stores([siena, train, dev])
    assert joined.persons == ("siena_03", "train_01", "train_02", "train_03")
    assert joined.identities.keys() == {"siena/03", "train/01", "train/02", "dev/03"}


def test_stores_of_one_folder_name_are_told_apart_by_the_folder_above(tmp_path: Path) -> None:
    paths = [write_store(tmp_path / "a" / "latents", "A"), write_store(tmp_path / "b" / "latents", "B", seed=5)]
    assert store.open_stores(paths).persons[::2] == ("a-latents_01", "b-latents_01")


def test_what_cannot_be_joined_is_refused_in_one_line(tmp_path: Path) -> None:
    one = write_store(tmp_path / "one", "One")
    assert refuse() == "--store: no folder given; name one store or more"
    assert f"{one} is given twice" in refuse(one, tmp_path / "x" / ".." / "one")
    write_subject(tmp_path / "stride", "03", (60,), 0, spec=replace(SPEC, stride_s=2), dataset="Two")
    assert f"{tmp_path / 'stride'}: stride_s is 2, wanted 4 as in {one}" in refuse(one, tmp_path / "stride")
    copy = write_store(tmp_path / "copy", "One", ("02",))
    assert "sub-02.h5: holds sub-02_ses-01_task-szMonitoring_run-00, which" in (message := refuse(one, copy))
    assert message.endswith("holds too; a recording of One counts once, leave one of the files out")
    unknown = write_store(tmp_path / "unknown", "", ("02", "03"))
    for paths in ((one, unknown), (unknown, one)):
        assert f"{unknown}: does not say which data set person 02 is of, and {one} has a person" in refuse(*paths)
    assert "no such store" in refuse(one, tmp_path / "nowhere")


def test_features_of_two_persons_of_two_stores_are_refused_with_what_helps(tmp_path: Path) -> None:
    """Persons of two data sets never become one by participants.tsv."""
    chbmit = write_store(tmp_path / "chbmit", "CHB-MIT", ("01",))
    message = refuse(chbmit, write_store(tmp_path / "siena", "Siena", ("02",)))
    assert (
        "is of person siena_02, not chbmit_01; a recording counts once: remove it from Siena or CHB-MIT" in message
    )
    assert "--prune" in message
    assert "person_id" not in message
    part = write_store(tmp_path / "part", "CHB-MIT", ("02",))
    assert "give both the same person_id in participants.tsv" in refuse(chbmit, part)


def test_a_store_of_unknown_data_set_joins_if_its_persons_are_others(tmp_path: Path) -> None:
    paths = [write_store(tmp_path / "one", "One"), write_store(tmp_path / "unknown", "", ("03",), 5)]
    assert store.open_stores(paths).persons == ("one_01", "one_02", "unknown_03")


def test_a_file_replaced_while_open_is_noticed(tmp_path: Path) -> None:
    paths = [write_store(tmp_path / "one", "One"), write_store(tmp_path / "two", "Two", seed=5)]
    joined = store.open_stores(paths)
    before = joined.read(0, 2)
    write_store(paths[0], "One")  # the same content in another file
    np.testing.assert_array_equal(joined.read(0, 2), before)
    write_store(paths[0], "One", seed=3)
    with pytest.raises(StoreError, match="changed since it was opened"):
        joined.read(0, 2)
