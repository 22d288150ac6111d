"""Tell by its name whether a channel may be EEG."""

import re

# beside ECG, EMG, EOG and markers, what else records and amplifiers put among EEG channels
_NO_EEG = re.compile(
    r"ecg|ekg|emg|eog|\b(loc|roc|e[12])\b|annotation|trig|marker|status|\bst[im]|event|photic|\bibi|burst|suppr|"
    r"resp|flow|thor|abd|chin|snor|pleth|pulse|spo2|sao2|\bpr\b|\bhr\b|\bvns|\bdc\d|temp|\bacc|\bgyr|\bmag|"
    r"gsr|light|battery",
    re.IGNORECASE,
)
_IS_NAME = re.compile(r"[^\W\d_]|^\s*\d+\s*$")  # not "-" and "--0", which stand for no channel


def may_be_eeg(name: str) -> bool:
    """Whether a channel's name is not that of ECG, EMG, EOG, a marker or another signal.

    >>> [may_be_eeg(name) for name in ("EEG Fp1-REF", "BTEleft SD", "ECG", "EMG-Ref", "Status", "-")]
    [True, True, False, False, False, False]
    """
    return bool(_IS_NAME.search(name)) and not _NO_EEG.search(name)
