"""Timelines: what they draw, where, and that they stay small."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from eval.report.timeline import draw_person, format_timeline
from eval.scoring.postprocess import PostProcessing
from tests.helpers.scored import record

SVG = "{http://www.w3.org/2000/svg}"
POST = PostProcessing(0.5, hysteresis_ratio=0.5)


def points(path: str) -> list[tuple[float, float]]:
    """Corners of a path of relative lines: M, l and h.

    >>> points("M.5 50l1-25h2")
    [(0.5, 50.0), (1.5, 25.0), (3.5, 25.0)]
    """
    x, y, found = 0.0, 0.0, []
    for command, numbers in re.findall(r"([Mlh])([^Mlh]+)", path):
        values = [float(number) for number in re.findall(r"-?[\d.]+", numbers)]
        x, y = (0, 0) if command == "M" else (x, y)
        x, y = x + values[0], y + (values[1] if len(values) > 1 else 0)
        found.append((x, y))
    return found


def drawing(html: str) -> ElementTree.Element:
    return ElementTree.fromstring(html[html.index("<svg") : html.index("</svg>") + 6])


def test_a_timeline_draws_probability_threshold_hysteresis_and_events() -> None:
    html = format_timeline(record([(100, 200)], [(110, 150), (500, 520)]), POST)
    root = drawing(html)
    assert root.get("viewBox") == "0 0 250 60"
    paths = {path.get("class"): path.get("d") for path in root.iter("path")}
    assert paths["h"] == "M0 25H250"
    assert paths["l"] == "M0 37.5H250"
    curve = dict(points(paths["p"]))
    assert curve[26.5] == 45  # seconds 104 to 107 are at 0.1
    assert curve[27.5] == 10  # second 110 at 0.8
    bars = [(bar.get("class"), float(bar.get("x")), float(bar.get("width"))) for bar in root.iter("rect")]
    assert bars == [("s", 25, 25), ("d", 27.5, 10), ("d", 125, 5)]
    assert '<b style="top:25px">0.50</b>' in html
    assert re.findall(r"<i[^>]*>([^<]+)</i>", html) == ["0:00", "5:00", "10:00", "15:00"]


def test_a_stretch_of_a_recording_holds_what_is_in_it() -> None:
    html = format_timeline(record([(100, 200)], [(500, 520)]), POST, (150, 350))  # 200 s, a column each
    (bar,) = drawing(html).iter("rect")
    assert (bar.get("class"), bar.get("x"), bar.get("width")) == ("s", "0", "50")
    assert re.findall(r'left:([\d.]+)%">([^<]+)', html) == [("15", "3:00"), ("45", "4:00"), ("75", "5:00")]


def test_without_hysteresis_there_is_no_second_line() -> None:
    assert 'class="l"' not in format_timeline(record([], []), PostProcessing(0.5))


def test_a_curve_keeps_its_peaks_when_seconds_are_many() -> None:
    """One second in 4 h reaches 0.8."""
    root = drawing(format_timeline(record([], [(7000, 7001)], duration_s=4 * 3600), PostProcessing(0.5)))
    curve = points(next(path.get("d") for path in root.iter("path") if path.get("class") == "p"))
    assert min(y for _, y in curve) == 10
    assert len(curve) == 5


def test_a_timeline_of_noise_stays_small() -> None:
    noise = record([], [], duration_s=24 * 3600)
    noise.probabilities[:] = np.random.default_rng(0).uniform(size=len(noise.probabilities))
    assert len(format_timeline(noise, POST)) < 2000


def test_a_file_holds_every_recording_of_a_person() -> None:
    recordings = {"one<two": record([(100, 200)], [(110, 150)]), "long": record([], [], duration_s=4 * 3600)}
    root = ElementTree.fromstring(draw_person(recordings, POST))
    first, second = root.findall(f"{SVG}svg")
    assert [bar.get("class") for bar in first.iter(f"{SVG}rect")] == ["s", "d"]
    assert not list(second.iter(f"{SVG}rect"))
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert {"one<two", "long", "0.50", "3:00:00"} <= set(texts)
    assert "4:00:00" not in texts
    assert float(second.get("y")) - float(first.get("y")) == pytest.approx(96)
