"""Finding recordings and reading annotations of tiny data sets."""

import pickle

import pytest

from extract.io.bids import find_recordings, read_events, read_start
from store.runtime.errors import UserError
from store.schema import Event

HEADER = "onset\tduration\teventType\tconfidence\tchannels\tdateTime\trecordingDuration\n"


@pytest.fixture
def bids(tmp_path):
    root = tmp_path / "bids"
    for folder, stem in [
        ("sub-02/eeg", "sub-02_task-rest"),
        ("sub-01/ses-02/eeg", "sub-01_ses-02_task-sz_run-00"),
        ("sub-01/ses-01/eeg", "sub-01_ses-01_task-sz_run-01"),
        ("sub-chb21/eeg", "sub-chb21_task-sz"),
        ("derivatives/x/sub-09/eeg", "sub-09_task-sz"),
    ]:
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / f"{stem}_eeg.edf").touch()
        (root / folder / f"{stem}_events.tsv").write_text(HEADER)
    return root


def test_recordings_are_found_and_sorted(bids):
    found = find_recordings(bids)
    assert [recording.name for recording in found] == [
        "sub-01_ses-01_task-sz_run-01",
        "sub-01_ses-02_task-sz_run-00",
        "sub-02_task-rest",
        "sub-chb21_task-sz",
    ]
    assert [(recording.subject, recording.person) for recording in found[1:]] == [
        ("01", "01"),
        ("02", "02"),
        ("chb21", "chb01"),
    ]
    for recording in found:
        assert recording.path.is_file()
        assert recording.events_path.is_file()
        assert pickle.loads(pickle.dumps(recording)) == recording


def test_person_of_participants_table(bids):
    (bids / "participants.tsv").write_text(
        "participant_id\tperson_id\nsub-01\tanna\nsub-02\tn/a\nsub-chb21\tanna\n"
    )
    assert [recording.person for recording in find_recordings(bids)] == ["anna", "anna", "02", "anna"]


@pytest.mark.parametrize("subjects", [["02"], ["sub-02"]])
def test_subjects_are_selected(bids, subjects):
    assert [recording.subject for recording in find_recordings(bids, subjects)] == ["02"]


def test_all_formats_are_found(tmp_path):
    for number, suffix in enumerate((".edf", ".bdf", ".vhdr", ".set", ".eeg", ".fdt", ".json")):
        path = tmp_path / f"sub-{number}" / "eeg" / f"sub-{number}_task-x_eeg{suffix}"
        path.parent.mkdir(parents=True)
        path.touch()
    suffixes = [recording.path.suffix for recording in find_recordings(tmp_path)]
    assert suffixes == [".edf", ".bdf", ".vhdr", ".set"]


def test_no_folder(tmp_path):
    with pytest.raises(UserError, match="none: no such folder; give the folder of a BIDS data set"):
        find_recordings(tmp_path / "none")


def test_no_eeg(tmp_path):
    (tmp_path / "sub-01_eeg.edf").touch()
    with pytest.raises(ValueError, match=r"no EEG in this folder; a BIDS data set has sub-\*/.*\.edf"):
        find_recordings(tmp_path)


def test_no_such_subject(bids):
    with pytest.raises(ValueError, match="no EEG of subject 07; subjects there: 01, 02, chb21"):
        find_recordings(bids, ["02", "sub-07"])


def test_recording_there_twice(bids):
    (bids / "sub-02/eeg/sub-02_task-rest_eeg.bdf").touch()
    with pytest.raises(ValueError, match=r"sub-02_task-rest_eeg\.\w+: the same recording as .* remove one"):
        find_recordings(bids)


def write_events(tmp_path, rows, header=HEADER):
    path = tmp_path / "events.tsv"
    path.write_text(header + "".join(f"{row}\n" for row in rows))
    return path


def test_events_are_seizures_in_order(tmp_path):
    path = write_events(
        tmp_path,
        ["50.25\t9.76\tsz_foc\tn/a\tn/a\tn/a\t60.00", "0.00\t60.00\tbckg\tn/a\tn/a\tn/a\t60.00", "1\t2\tsz"],
    )
    assert read_events(path, 60.0) == (Event(1.0, 2.0, "sz"), Event(50.25, 9.76, "sz_foc"))


def test_start(tmp_path):
    row = "0.00\t60.00\tbckg\tn/a\tn/a\t{}\t60.00"
    assert read_start(write_events(tmp_path, [row.format("2016-11-06 13:43:04")])) == "2016-11-06T13:43:04"
    assert read_start(write_events(tmp_path, [row.format("n/a")])) == ""
    assert read_start(write_events(tmp_path, ["0\t60\tbckg"], "onset\tduration\teventType\n")) == ""


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "has no event; a recording without seizure has one row of eventType bckg"),
        (["1\t2\tseizure"], "line 2: unknown eventType 'seizure'; allowed: bckg, or beginning with sz"),
        (["1\t2\tsz", "n/a\t2\tsz"], "line 3: onset is 'n/a'; allowed: seconds, 0 or more"),
        (["1\tnan\tsz"], "line 2: duration is 'nan'; allowed"),
        (["1\t-2\tsz"], "line 2: duration is '-2'; allowed"),
        (["1"], "line 2: unknown eventType ''"),
        (["50\t10.03\tsz"], r"line 2: event ends at 60.03 s, past the recording's end at 60.00 s .*0.02 s"),
        (["0\t90\tbckg"], r"line 2: event ends at 90.00 s, .* correct it, or fetch the whole recording"),
    ],
)
def test_bad_events(tmp_path, rows, message):
    with pytest.raises(ValueError, match=message):
        read_events(write_events(tmp_path, rows), 60.0)


def test_events_without_column(tmp_path):
    path = write_events(tmp_path, ["1\t2\tsz"], "onset\tduration\ttrial_type\n")
    with pytest.raises(ValueError, match="no column eventType; SzCORE has onset, duration, eventType"):
        read_events(path, 60.0)


def test_events_that_are_no_text(tmp_path):
    path = tmp_path / "events.tsv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"events.tsv: not a table of UTF-8 text"):
        read_events(path, 60.0)


def test_no_events_file(tmp_path):
    with pytest.raises(UserError, match=r"gone_events.tsv: no such events file; each recording needs one"):
        read_events(tmp_path / "gone_events.tsv", 60.0)
