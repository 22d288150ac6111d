"""Names as parts of paths: any text, two never alike, nothing that leaves its folder."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.runtime.names import to_path_name


@pytest.mark.parametrize("name", ["01", "chb01", "a-b_c", "1.5", "_x", "Final2", "x" * 120])
def test_plain_names_stay(name: str) -> None:
    assert to_path_name(name) == name


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("site/1", "site%2F1"),
        ("../../x", "%2E.%2F..%2Fx"),
        ("..", "%2E%2E"),
        (".", "%2E"),
        ("", "%"),
        ("final", "%66inal"),
        ("ALL", "%41LL"),
        ("nul.txt", "%6Eul.txt"),
        ("-r", "%2Dr"),
        ("a b", "a%20b"),
        ("100%", "100%25"),
        ("\u00e9", "%C3%A9"),
        ("e\u0301", "e%CC%81"),
        ("\udc80", "%ED%B2%80"),
    ],
)
def test_other_names_are_escaped(name: str, wanted: str) -> None:
    assert to_path_name(name) == wanted


@given(st.lists(st.text(max_size=200), min_size=2, max_size=2, unique=True))
def test_two_names_are_never_alike_and_stay_in_their_folder(names: list[str]) -> None:
    first, second = map(to_path_name, names)
    assert first != second
    assert len(first.encode()) <= 120
    assert Path("folder", first).parent == Path("folder") == Path(os.path.normpath(f"folder/{first}")).parent


def test_long_names_that_begin_alike_differ() -> None:
    assert to_path_name("x" * 300) != to_path_name("x" * 301)
