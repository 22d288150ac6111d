"""A store follows a data set whose subjects, persons or name change: no human becomes two, none is mixed."""

import json
import shutil
from pathlib import Path

import pytest

import store
from store import StoreError
from tests.helpers.eeg import noise_uv, write_recording
from tests.helpers.extraction import NAME, Data, lines, opened, set_events

Capture = pytest.CaptureFixture[str]
PERSONS = "participant_id\tperson_id\nsub-01\tanna\nsub-02\tanna\n"


def rename_subject(data: Data, before: str, now: str) -> None:
    (data.bids / f"sub-{before}").rename(data.bids / f"sub-{now}")
    for path in sorted((data.bids / f"sub-{now}").rglob(f"sub-{before}_*")):
        path.rename(path.with_name(path.name.replace(f"sub-{before}_", f"sub-{now}_")))


def name_data_set(data: Data, name: str) -> None:
    (data.bids / "dataset_description.json").write_text(json.dumps({"Name": name, "BIDSVersion": "1.9.0"}))


def subjects(data: Data) -> list[str]:
    return sorted(path.stem for path in data.store.glob("sub-*.h5"))


def refusal(data: Data, capsys: Capture, *more: str) -> str:
    capsys.readouterr()
    assert data.extract(*more) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_renamed_subject_is_not_a_second_person(data: Data, capsys: Capture) -> None:
    rename_subject(data, "01", "05")
    capsys.readouterr()
    assert data.extract("--check") == 1
    assert data.extract() == 0
    assert "sub-01: pruned 2 recordings (renamed in the data set)" in lines(capsys)
    assert subjects(data) == ["sub-02", "sub-05"]
    assert data.extract("--check") == 0


def test_a_renamed_run_counts_once(data: Data) -> None:
    for path in sorted(data.edf("01", 1).parent.glob("*run-01*")):
        path.rename(path.with_name(path.name.replace("run-01", "run-07")))
    assert data.extract() == 0
    assert [info.name for info in opened(data).recordings] == [NAME(0), NAME(7)]


def test_what_was_renamed_before_is_dropped_now(data: Data) -> None:
    rename_subject(data, "01", "05")
    assert data.extract("--subject", "05") == 1
    with pytest.raises(StoreError, match=r"has the same features as sub-01_.*run extract|--subject"):
        store.open(data.store)
    assert data.extract("--check") == 1
    assert data.extract() == 0
    assert store.open(data.store).persons == ("02", "05")


def test_a_recording_whose_new_name_cannot_be_used_stays_under_the_old_one(data: Data) -> None:
    rename_subject(data, "01", "05")
    for run in (0, 1):
        set_events(data, "05", run, "1.00\t2.00\tseizure")
    assert data.extract("--skip-unusable") == 0
    assert subjects(data) == ["sub-01", "sub-02"]


def test_a_copy_under_another_person_is_refused_when_the_store_is_opened(data: Data, capsys: Capture) -> None:
    shutil.copytree(data.bids / "sub-01", data.bids / "copy")
    rename_subject(data, "01", "05")
    (data.bids / "copy").rename(data.bids / "sub-01")
    capsys.readouterr()
    assert data.extract() == 1
    with pytest.raises(StoreError) as error:
        store.open(data.store)
    message, copy = str(error.value), NAME(0).replace("01", "05", 1)
    out, err = capsys.readouterr()
    assert "store info" not in out
    assert err.splitlines() == [f"no command opens the store as it is: {message}"]
    for option in ("--prune", "--check"):
        assert data.extract(option) == 1
        assert capsys.readouterr().err == err
    assert f"sub-05.h5: {copy} has the same features as {NAME(0)}, and is of person 05, not 01; if" in message
    assert "give both the same person_id in participants.tsv" in message
    rows = "".join(f"sub-{name}\t{person}\n" for name, person in (("01", "a"), ("02", "b"), ("05", "a")))
    (data.bids / "participants.tsv").write_text(f"participant_id\tperson_id\n{rows}")
    assert data.extract("--check") == 1
    assert capsys.readouterr().err == ""  # it would be mended
    assert data.extract() == 0
    assert store.open(data.store).persons == ("a", "b")


def test_the_shard_that_publishes_a_copy_under_another_person_fails(
    data: Data, tmp_path: Path, capsys: Capture
) -> None:
    rename_subject(data, "01", "05")
    shutil.copytree(data.bids / "sub-05", data.bids / "sub-06")
    for path in sorted((data.bids / "sub-06").rglob("sub-05_*")):
        path.rename(path.with_name(path.name.replace("sub-05_", "sub-06_")))
    other = Data(data.bids, tmp_path / "other")
    assert [other.extract("--shard", f"{number}/3") for number in (1, 2)] == [0, 0]
    capsys.readouterr()
    assert other.extract("--shard", "3/3") == 1
    out, err = capsys.readouterr()
    assert "store info" not in out
    assert "has the same features as sub-05_" in err.splitlines()[-1]


def test_what_a_store_has_under_two_persons_is_said_before_anything_is_encoded(
    data: Data, capsys: Capture
) -> None:
    rename_subject(data, "01", "05")
    assert data.extract("--subject", "05") == 1
    write_recording(data.bids, "02", 5, noise_uv(8, 30))
    capsys.readouterr()
    assert data.extract("--subject", "02") == 1
    first, second, *_ = lines(capsys)
    assert "has the same features as sub-01_" in first
    assert second == "sub-02: encoded 1 recording (new)"


def test_a_person_is_merged_in_a_subject_that_is_gone(data: Data, capsys: Capture) -> None:
    shutil.rmtree(data.bids / "sub-02")
    (data.bids / "participants.tsv").write_text(PERSONS)
    assert data.extract("--check") == 1
    capsys.readouterr()
    assert data.extract() == 0
    assert "sub-02: person 02 is anna now" in lines(capsys)
    assert store.open(data.store).persons == ("anna",)
    assert data.extract("--check") == 0


def test_a_person_is_merged_in_a_subject_that_waits_for_a_recording(data: Data) -> None:
    set_events(data, "02", 0, "1.00\t2.00\tseizure")
    (data.bids / "participants.tsv").write_text(PERSONS)
    assert data.extract() == 1
    assert store.open(data.store).persons == ("anna",)


def test_a_person_is_merged_in_a_subject_whose_new_recording_fails(data: Data) -> None:
    write_recording(data.bids, "02", 5, 0 * noise_uv(8, 3))
    (data.bids / "participants.tsv").write_text(PERSONS)
    assert data.extract() == 1
    assert store.open(data.store).persons == ("anna",)


def test_a_person_is_merged_in_a_subject_that_is_not_selected(data: Data) -> None:
    (data.bids / "participants.tsv").write_text(PERSONS)
    assert data.extract("--subject", "01") == 0
    assert store.open(data.store).persons == ("anna",)


def test_a_name_that_begins_alike_is_another_data_set(data: Data, capsys: Capture) -> None:
    name_data_set(data, "Clinic")
    assert data.extract() == 0
    before = {name: (data.store / f"{name}.h5").read_bytes() for name in subjects(data)}
    name_data_set(data, "Clinic children")
    write_recording(data.bids, "01", 0, noise_uv(8, 30))
    assert "sub-01.h5: holds sub-01 of Clinic, " in refusal(data, capsys)
    for name in ("01", "02"):
        shutil.rmtree(data.bids / f"sub-{name}")
    write_recording(data.bids, "kid", 0, noise_uv(8, 31))
    assert data.extract("--prune") == 0
    assert {name: (data.store / f"{name}.h5").read_bytes() for name in before} == before


def test_force_replaces_what_differs_and_drops_what_is_not_there(data: Data, capsys: Capture) -> None:
    name_data_set(data, "Clinic")
    assert data.extract() == 0
    name_data_set(data, "Hospital")
    write_recording(data.bids, "01", 0, noise_uv(8, 30))
    for path in data.edf("02", 1).parent.glob("*run-01*"):
        path.unlink()
    write_recording(data.bids, "02", 0, noise_uv(8, 31))
    assert "or replace it with --force" in refusal(data, capsys)
    assert data.extract("--force") == 0
    assert [[info.name for info in opened(data, name).recordings] for name in ("01", "02")] == [
        [NAME(0), NAME(1)],
        [NAME(0).replace("01", "02", 1)],
    ]
    assert data.extract("--check") == 0


def test_a_gone_subject_is_known_under_the_former_name_of_the_data_set(data: Data, capsys: Capture) -> None:
    name_data_set(data, "Clinic")
    assert data.extract() == 0
    name_data_set(data, "Hospital")
    shutil.rmtree(data.bids / "sub-02")
    for _ in range(2):
        capsys.readouterr()
        assert data.extract() == 0
        assert any(line.startswith("sub-02: keeps 2 recordings gone") for line in lines(capsys))
    assert data.extract("--prune") == 0
    assert subjects(data) == ["sub-01"]


def test_somebody_else_of_the_same_name_goes_to_another_store(data: Data, capsys: Capture, tmp_path: Path) -> None:
    name_data_set(data, "Clinic")
    assert data.extract() == 0
    other = Data(tmp_path / "other", data.store)
    write_recording(other.bids, "kid", 0, noise_uv(8, 31))
    (other.bids / "participants.tsv").write_text("participant_id\tperson_id\nsub-kid\t01\n")
    name_data_set(other, "Hospital")
    message = refusal(other, capsys)
    assert (
        "sub-01.h5: holds person 01 of Clinic, and sub-kid of Hospital is a person of that name; give" in message
    )
    assert subjects(data) == ["sub-01", "sub-02"]


def test_a_subject_none_of_whose_recordings_can_be_used_is_a_failure(data: Data, capsys: Capture) -> None:
    for run in (0, 1):
        set_events(data, "02", run, "1.00\t2.00\tseizure")
    before = opened(data, "02").path.read_bytes()
    capsys.readouterr()
    assert data.extract("--skip-unusable") == 1
    error = capsys.readouterr().err
    assert "sub-02.h5: none of the subject's recordings can be used now, so the file stays as it was" in error
    assert "(--skip-unusable" not in error
    assert opened(data, "02").path.read_bytes() == before


def test_a_recording_mended_between_two_shards_is_published(tmp_path: Path) -> None:
    data = Data(tmp_path / "bids", tmp_path / "store")
    write_recording(data.bids, "01", 0, 0 * noise_uv(8, 0))
    write_recording(data.bids, "01", 1, noise_uv(8, 1))
    for shard in ("1/2", "2/2"):
        if data.extract("--skip-unusable", "--shard", shard) or not (data.store / ".parts").exists():
            break
        if list(data.store.rglob("*.txt")):
            write_recording(data.bids, "01", 0, noise_uv(8, 2))
            assert data.extract("--skip-unusable", "--shard", shard) == 0
    assert [info.name for info in opened(data).recordings] == [NAME(0), NAME(1)]


def test_what_is_gone_is_pruned_by_its_own_shard_in_any_order(data: Data) -> None:
    for subject in ("03", "04", "05", "06"):
        write_recording(data.bids, subject, 0, noise_uv(8, 30 + int(subject)))
    assert data.extract() == 0
    for subject in ("02", "03", "04", "05"):
        shutil.rmtree(data.bids / f"sub-{subject}")
    for shard in ("2/2", "1/2"):
        assert data.extract("--prune", "--shard", shard) == 0
    assert subjects(data) == ["sub-01", "sub-06"]


def test_a_damaged_file_of_a_gone_subject_is_a_failure(data: Data, capsys: Capture) -> None:
    shutil.rmtree(data.bids / "sub-02")
    path = data.store / "sub-02.h5"
    path.write_bytes(path.read_bytes()[:900])
    capsys.readouterr()
    assert data.extract() == 1
    assert "sub-02.h5: unreadable, the file was cut off; remove the file" in capsys.readouterr().err


def test_one_of_two_equal_recordings_that_is_gone_was_not_renamed(data: Data, capsys: Capture) -> None:
    data.edf("01", 1).write_bytes(data.edf("01", 0).read_bytes())
    assert data.extract() == 0
    data.edf("01", 0).unlink()
    data.events("01", 0).unlink()
    capsys.readouterr()
    assert data.extract() == 0
    assert f"sub-01: keeps 1 recording gone from the data set ({NAME(0)}); --prune removes what is gone" in lines(
        capsys
    )
    assert [info.name for info in opened(data).recordings] == [NAME(0), NAME(1)]


@pytest.mark.parametrize("person", ["05", "02"])
def test_a_renamed_subject_is_known_under_any_former_name_of_the_data_set(
    person: str, data: Data, capsys: Capture
) -> None:
    name_data_set(data, "Clinic")
    assert data.extract() == 0
    name_data_set(data, "Hospital")
    assert data.extract("--subject", "01") == 0
    rename_subject(data, "02", "05")
    (data.bids / "participants.tsv").write_text(f"participant_id\tperson_id\nsub-01\t01\nsub-05\t{person}\n")
    capsys.readouterr()
    assert data.extract() == 0
    assert any(line.startswith("sub-02: pruned 2 recordings (renamed in the data set)") for line in lines(capsys))
    assert subjects(data) == ["sub-01", "sub-05"]
    assert store.open(data.store).persons == ("01", person)


def test_a_subject_of_another_data_set_that_shares_one_recording_stays(data: Data, tmp_path: Path) -> None:
    name_data_set(data, "Clinic")
    assert data.extract() == 0
    other = Data(tmp_path / "other", data.store)
    write_recording(other.bids, "kid", 0, noise_uv(8, 31))
    other.edf("kid", 0).write_bytes(data.edf("02", 1).read_bytes())
    name_data_set(other, "Hospital")
    assert other.extract("--prune") == 1  # no command opens a store with a recording under two persons
    assert subjects(data) == ["sub-01", "sub-02", "sub-kid"]
    assert opened(data, "02").dataset == "Clinic"


def test_pruning_leaves_no_empty_folders(data: Data) -> None:
    shutil.rmtree(data.bids / "sub-02")
    assert data.extract("--prune") == 0
    assert [path.name for path in data.store.iterdir()] == ["sub-01.h5"]
