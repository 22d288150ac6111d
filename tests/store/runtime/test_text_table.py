"""Cells of text tables: no formula for a spreadsheet, the same text for our readers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.runtime.text_table import escape_cell, to_csv
from tests.helpers.text_table import from_csv, unescape_cell


@pytest.mark.parametrize("text", ["=1+1", "+a", "-a", "@a", "\ta", "\ra", "=", "-", "-1+cmd|'/C calc'!A0"])
def test_formulas_are_escaped(text: str) -> None:
    assert escape_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "a", "01", "-1.5", "+2e3", "-inf", "a=b", "'", "'a"])
def test_other_text_stays(text: str) -> None:
    assert escape_cell(text) == text


@given(st.text())
def test_every_text_comes_back(text: str) -> None:
    assert unescape_cell(escape_cell(text)) == text


@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_tables_come_back(delimiter: str) -> None:
    rows = [["person", "=x", 'a"b'], ["a,b\tc\nd", "-x", "-3"]]
    assert from_csv(to_csv(rows, delimiter), delimiter) == rows


def test_numbers_stay_numbers() -> None:
    assert to_csv([["-x", -3, -0.5, None, True]]) == "'-x,-3,-0.5,,True\n"
