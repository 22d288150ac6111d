"""The report: what it says, that it needs nothing else, what its drawings hold."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from eval.__main__ import main
from eval.report import figures
from eval.report.palette import DARK, LIGHT
from eval.report.timeline import draw_person, draw_recordings
from eval.scoring.background import Background, measure_background
from eval.scoring.calibration import bin_reliability
from eval.scoring.operating_curve import sweep_thresholds
from eval.scoring.postprocess import PostProcessing
from eval.scoring.scores import ScoredRecording, score_person, summarise
from heads.folds import Fold
from heads.run_folder import FoldResult
from heads.train import main as train
from tests.helpers.scored import record
from tests.helpers.stores import write_subject

SVG = "{http://www.w3.org/2000/svg}"


class Page(HTMLParser):
    """Text, open tags and whatever the page would have to fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br", "link", "img"):
            self.open.append(tag)
        values = {key: value or "" for key, value in attrs}
        addresses = [values.get(key, "") for key in ("src", "href", "xlink:href")]
        self.fetched += [value for value in addresses if value and not value.startswith("#")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scored run of three persons, with its report, in a folder that HTML could mistake."""
    root = tmp_path_factory.mktemp("report")
    for number in range(3):
        write_subject(root / "store", f"{number + 1:02}", (120, 90), number)
    path = root / "a<b>&c"
    quick = ("--epochs", "2", "--filters", "4", "--hidden", "4")
    assert train(["--store", str(root / "store"), "--fold", "all", "--out", str(path), *quick]) == 0
    assert main([str(path)]) == 0
    return path


def test_the_page_needs_nothing_else_and_is_well_formed(run: Path) -> None:
    page = Page((run / "report.html").read_text())
    assert page.open == []
    assert page.fetched == []
    assert "$" not in page.text


def test_the_page_says_what_was_run_and_what_to_beware_of(run: Path) -> None:
    text = " ".join(Page((run / "report.html").read_text()).text.split())
    for words in (
        "Seizure detection: a<b>&c",
        "spatial-fusion head on random latents: 3 of 3 persons tested",
        "too little for a rate, which needs 24 h",
        "Expected calibration error: 0.",
        "Beware",
        "3 of 3 persons have less than 1 h of background",
        "only 3 tested persons",
        "sub-01_ses-01_task-szMonitoring_run-01",
        "epochs 2",
        "validation persons",
        "none is on record",
    ):
        assert words in text
    for heading in ("Scores", "Figures", "Worst failures", "Timelines of all recordings", "What was run"):
        assert heading in text


def test_figures_are_also_files(run: Path) -> None:
    names = {path.name for path in (run / "figures").iterdir()}
    drawn = ("operating", "persons", "ranking", "reliability", "training")
    assert names == {f"{name}.{kind}" for name in drawn for kind in ("svg", "png")} | {
        f"timeline-{person}.svg" for person in ("01", "02", "03")
    }
    for path in (run / "figures").glob("*.svg"):
        assert "var(--" not in path.read_text()
        ElementTree.parse(path)


def test_every_colour_of_the_page_has_a_dark_form(run: Path) -> None:
    text = (run / "report.html").read_text()
    used = set(re.findall(r"var\(--(\w+)\)", text))
    assert used <= LIGHT.keys() == DARK.keys()
    body = text[text.index("<body>") :]
    assert not [colour for colour in LIGHT.values() if colour in body]
    assert set(re.findall(r"(?:fill|stroke)[:=]\s*\"?(#[0-9a-f]{6})", body)) <= {"#000000"}


def test_the_same_figure_gives_the_same_file(tmp_path: Path) -> None:
    bins = bin_reliability(np.array([0, 1, 1]), np.array([0.1, 0.4, 0.9]))
    first, second = (figures.save_figure(figures.draw_reliability(bins), tmp_path, "x") for _ in range(2))
    assert first == second


def test_a_timeline_holds_curve_and_events_of_every_recording() -> None:
    recordings = {
        "one<two": record([(100, 200)], [(110, 150), (500, 520)]),
        "long": record([], [], duration_s=4 * 3600),
    }
    root = ElementTree.fromstring(draw_person(recordings, PostProcessing(0.5)))
    first, second = root.findall(f"{SVG}g")
    assert [
        ElementTree.fromstring(svg).get("height") for svg in draw_recordings(recordings, PostProcessing(0.5))
    ] == ["88"] * 2
    bars = [(float(bar.get("x")), float(bar.get("width")), bar.get("fill")) for bar in first.iter(f"{SVG}rect")]
    scale = (1000 - 60) / (4 * 3600)
    assert [colour for _, _, colour in bars] == [LIGHT["orange"], LIGHT["green"], LIGHT["green"]]
    assert bars[0][0] == pytest.approx(44 + 100 * scale, abs=0.1)
    assert bars[0][1] == pytest.approx(100 * scale, abs=0.1)
    assert first.findtext(f"{SVG}text") == "one<two"
    assert "4:00:00" not in [text.text for text in second.iter(f"{SVG}text")]
    assert "3:00:00" in [text.text for text in second.iter(f"{SVG}text")]
    assert all(path.get("d").count("L") <= 800 for path in root.iter(f"{SVG}path"))


def test_a_curve_keeps_its_peaks_when_seconds_are_many() -> None:
    """One second in 4 h reaches 0.8."""
    recordings = {"x": record([], [(7000, 7001)], duration_s=4 * 3600)}
    root = ElementTree.fromstring(draw_person(recordings, PostProcessing(0.5)))
    curve = max((path.get("d") for path in root.iter(f"{SVG}path")), key=len)
    heights = [float(point.split()[1]) for point in curve[1:].split("L")]
    assert min(heights) == pytest.approx(16 + 0.2 * 36, abs=0.1)


def scores(persons: dict[str, ScoredRecording]) -> pd.DataFrame:
    return pd.DataFrame.from_dict({name: score_person([one]) for name, one in persons.items()}, orient="index")


@pytest.mark.filterwarnings("error")
def test_figures_are_drawn_when_scores_are_undefined(tmp_path: Path) -> None:
    """One person, no seizure, nothing detected, no history; and everything in one fold."""
    nothing = {"01": record([], [])}
    persons = scores(nothing)
    summary = summarise(persons, np.random.default_rng(0))
    seconds = (nothing["01"].labels, nothing["01"].probabilities)
    curves = sweep_thresholds({"01": [nothing["01"]]}, {"01": PostProcessing(0.5)})
    fold = FoldResult(
        Fold("01", ("01",), ("02",), ("03",)), tmp_path, 1, 0.5, ({"epoch": 1, "validation_auroc": 0.5},)
    )
    drawn: dict[str, Callable[[], Figure]] = {
        "operating": lambda: figures.draw_operating_curve(curves, summary, Background(0)),
        "rates": lambda: figures.draw_operating_curve(curves, summary, Background(24)),
        "persons": lambda: figures.draw_persons(persons, summary, measure_background(persons)),
        "ranking": lambda: figures.draw_ranking({"01": seconds}),
        "reliability": lambda: figures.draw_reliability(bin_reliability(*seconds)),
        "training": lambda: figures.draw_training([fold]),
    }
    for name, draw in drawn.items():
        ElementTree.fromstring(figures.save_figure(draw(), tmp_path, name))
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
