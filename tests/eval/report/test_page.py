"""The report: what it says, that it needs nothing else, what its drawings hold."""

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from eval.__main__ import main
from eval.report import figures
from eval.report.page import write_report
from eval.report.palette import DARK, LIGHT
from eval.report.provenance import Provenance
from eval.report.publish import score_and_choose
from eval.report.stale import FIGURES
from eval.report.style import save_figure
from eval.scoring.averages import average_seeds
from eval.scoring.background import Background, measure_background
from eval.scoring.calibration import bin_reliability
from eval.scoring.choice import PostProcessingChoice
from eval.scoring.operating_curve import sweep_thresholds
from eval.scoring.postprocess import PostProcessing
from eval.scoring.scores import ScoredRecording, score_person, summarise
from eval.scoring.validity_checks import find_warnings
from heads.folds import Fold
from heads.probe import main as probe
from heads.run_folder import FoldResult, Run
from heads.train import main as train
from store.runtime.parallel import WorkerSettings
from tests.helpers.scored import record
from tests.helpers.stores import write_subject

QUICK = ("--epochs", "2", "--filters", "4", "--hidden", "4")
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
    assert train(["--store", str(root / "store"), "--fold", "all", "--out", str(path), *QUICK]) == 0
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
        "python -m eval",
        "braincodec-seizure 0.",
        "UTC",
        "6 recordings of 3 persons, 0.2 h, of them 0.03 h in seizure; every person is tested once",
        "in each of 3 folds, on all other persons, predicted in 2 groups by heads that saw neither them nor the",
        "epoch by the best AUROC per second, threshold and post-processing by the best event F1; threshold 0.",
        "95 % interval 0.",
        "spatial-fusion head on random latents: 3 of 3 persons tested",
        "too little for a rate, which needs 24 h",
        "Expected calibration error: 0.",
        "Warnings",
        "3 of 3 persons have less than 1 h of background",
        "only 3 tested persons",
        "sub-01_ses-01_task-szMonitoring_run-01",
        "epochs 2",
        "all others, in 2 groups",
        "none is on record",
        "A dash under validation FP/day: less than 24 h of background",
    ):
        assert words in text
    for heading in ("Errors", "Scores", "Figures", "Timelines of the other recordings", "What was run"):
        assert heading in text


def facts(path: Path) -> str:
    """What the page of a run says of data and choices."""
    page = (path / "report.html").read_text()
    return " ".join(Page(page[page.index('<dl class="facts">') : page.index("<nav>")]).text.split())


def test_of_some_persons_tested_only_these_are_counted(run: Path, tmp_path: Path) -> None:
    """Of a run with a fold and the final one, whose threshold is not among those of tested persons."""
    store, out = run.parent / "store", tmp_path / "run"
    for fold in ("02", "final"):
        assert probe(["--store", str(store), "--fold", fold, "--out", str(out)]) == 0
    assert main([str(out)]) == 0
    text = facts(out)
    assert "2 recordings of 1 person, 0.1 h, of them 0.01 h in seizure; 1 of 3 persons in the store tested" in text
    assert "in the fold, on all other persons" in text
    assert "C by the smallest log loss per second, threshold and post-processing by the best event F1" in text
    assert len(re.findall(r"threshold 0\.\d+, minimum event duration \d+ s", text)) == 1


def test_choices_of_all_seeds_are_told(run: Path, tmp_path: Path) -> None:
    store, out = run.parent / "store", tmp_path / "run"
    arguments = ["--store", str(store), "--fold", "all", "--out", str(out), "--seed", "0", "1", *QUICK]
    assert train(arguments) == 0
    results = score_and_choose(Run.open(out), (), WorkerSettings())
    posts = [PostProcessing(threshold, 1, 1, 10) for threshold in (0.5, 0.0067)]
    seeds = {
        seed: replace(own, choices=dict.fromkeys(own.choices, PostProcessingChoice(post, 1, 0)))
        for post, (seed, own) in zip(posts, results.seeds.items(), strict=True)
    }
    averaged = average_seeds(Run.open(out), seeds)
    warnings = find_warnings(averaged)
    assert warnings[-1].startswith(
        "the threshold lies at the edge of what was tried in folds 01 (seed 1), 02 (seed 1), 03 (seed 1):"
    )
    write_report(averaged, averaged.persons.astype(str), warnings, Provenance("", "", ""))
    text = facts(out)
    assert "seeds 0, 1" in text
    assert "in each of 3 folds with each of 2 seeds, on all other persons" in text
    assert "threshold 0.01 to 0.50, minimum event duration 10 s" in text
    whole = (out / "report.html").read_text()
    assert all(f"{fold} (seed {seed})" in whole for fold in ("01", "02", "03") for seed in (0, 1))


def test_figures_are_also_files(run: Path) -> None:
    names = {path.name for path in (run / "figures").iterdir()}
    assert names == {f"{name}.{kind}" for name in FIGURES for kind in ("svg", "png")} | {
        f"timeline-{person}.svg" for person in ("01", "02", "03")
    }
    for path in (run / "figures").glob("*.svg"):
        assert "var(--" not in path.read_text()
        ElementTree.parse(path)


def test_text_of_figures_can_be_read_on_a_phone(run: Path) -> None:
    """At least 11 pixels high where the page is 390 pixels wide, its margins 0.9 rem; the SVG scales 100 units."""
    drawn = [path for path in (run / "figures").glob("*.svg") if not path.name.startswith("timeline")]
    assert len(drawn) == 9
    for path in drawn:
        text = path.read_text()
        (width,) = re.findall(r'viewBox="0 0 ([\d.]+) ', text)
        smallest = min(100 * float(scale) for scale in re.findall(r"scale\(([\d.]+) -[\d.]+\)", text))
        assert smallest * (390 - 2 * 0.9 * 16) / float(width) >= 11, path.name


def test_every_colour_of_the_page_has_a_dark_form(run: Path) -> None:
    text = (run / "report.html").read_text()
    used = set(re.findall(r"var\(--(\w+)\)", text))
    assert used <= LIGHT.keys() == DARK.keys()
    body = text[text.index("<body>") :]
    assert not [colour for colour in LIGHT.values() if colour in body]
    assert set(re.findall(r"(?:fill|stroke)[:=]\s*\"?(#[0-9a-f]{6})", body)) <= {"#000000"}


def test_the_same_figure_gives_the_same_file(tmp_path: Path) -> None:
    bins = bin_reliability(np.array([0, 1, 1]), np.array([0.1, 0.4, 0.9]))
    first, second = (save_figure(figures.draw_reliability(bins), tmp_path, "x") for _ in range(2))
    assert first == second


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
    background = measure_background(persons)
    drawn: dict[str, Callable[[], Figure]] = {
        "sensitivity": lambda: figures.draw_sensitivity(curves, summary, Background(0)),
        "rates": lambda: figures.draw_sensitivity(curves, summary, Background(24)),
        "f1": lambda: figures.draw_f1(curves, summary),
        "persons": lambda: figures.draw_persons(persons, summary, background),
        "roc": lambda: figures.draw_roc({"01": seconds}),
        "precision-recall": lambda: figures.draw_precision_recall({"01": seconds}),
        "reliability": lambda: figures.draw_reliability(bin_reliability(*seconds)),
        "probabilities": lambda: figures.draw_probabilities(bin_reliability(*seconds)),
        "loss": lambda: figures.draw_training([fold], "loss", "training loss"),
    }
    for name, draw in drawn.items():
        ElementTree.fromstring(save_figure(draw(), tmp_path, name))
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
