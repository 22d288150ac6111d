"""The report of a run: one HTML page that needs nothing else, its figures also as files."""

from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from eval.report import figures, sections
from eval.report.headline import describe_scores, describe_tested, describe_time_in_alarm
from eval.report.palette import DARK, LIGHT, to_variables
from eval.report.timeline import draw_person, draw_recordings
from eval.scoring.calibration import bin_reliability, expected_calibration_error
from eval.scoring.results import Results
from store.runtime.atomic import write_text
from store.runtime.cli import to_one_line
from store.runtime.names import to_path_name

_CAPTIONS = {
    "operating": "Left: seizures found against false alarms, at thresholds even in log odds. Right: the same "
    "thresholds by event F1. Sensitivity, F1 and rates are means over persons. Only the threshold varies; the "
    "rest of the post-processing is each fold's own.",
    "persons": "A dot a person; line and band are the mean and its 95 % bootstrap interval over persons.",
    "ranking": "How well the probability of a second ranks seizure before background.",
    "reliability": "Whether a probability of 0.7 means seizure in 70 % of seconds. Heads weigh seizures up, so "
    "that probabilities can be too high where seizures are rare. Expected calibration error: $error.",
    "training": "Each fold keeps the epoch with the best validation AUROC.",
}
_SCORES_NOTE = (
    "Event and sample scores by SzCORE (timescoring): counts are added up over a person's recordings, "
    "rates averaged over persons. Events less than 90 s apart count as one, and a detection may lie up "
    "to 30 s before a seizure and 60 s after it, so many short detections can count as one. TP: seizures hit, FN: "
    "seizures missed, FP: false alarms. The interval is a 95 % bootstrap over persons; the last rows count the "
    "persons for whom a score is defined, and give sums; a dash marks what is not defined."
)


def write_report(results: Results, table: pd.DataFrame, warnings: Sequence[str]) -> Path:
    """Write ``report.html`` and ``figures/`` into the folder of the results.

    Parameters
    ----------
    table
        Scores as text, a row a person and what is known over persons.

    Returns
    -------
    Path of the page.
    """
    folder = results.path / "figures"
    svg = {name: figures.save_figure(figure, folder, name) for name, figure in _draw(results).items()}
    timelines = {}
    for person, by_name in results.recordings.items():
        post = results.posts[person]
        timelines[person] = draw_recordings(by_name, post)
        write_text(folder / f"timeline-{to_path_name(person)}.svg", draw_person(by_name, post))
    path = results.path / "report.html"
    write_text(path, _page(results, table, warnings, svg, timelines))
    return path


def _draw(results: Results) -> dict[str, Figure]:
    drawn = {}
    if len(results.persons):
        seconds = results.seconds()
        pooled = map(np.concatenate, zip(*seconds.values(), strict=True))
        drawn["operating"] = figures.draw_operating_curve(results.curve, results.summary, results.background)
        drawn["persons"] = figures.draw_persons(results.persons, results.summary, results.background)
        drawn["ranking"] = figures.draw_ranking(seconds)
        drawn["reliability"] = figures.draw_reliability(bin_reliability(*pooled))
    drawn["training"] = figures.draw_training(results.folds)
    return drawn


def _page(
    results: Results,
    table: pd.DataFrame,
    warnings: Sequence[str],
    svg: dict[str, str],
    timelines: dict[str, list[str]],
) -> str:
    items = "".join(f"<li>{escape(to_one_line(text))}</li>" for text in warnings)
    fill = {
        "title": escape(to_one_line(f"Seizure detection: {results.path.resolve().name}")),
        "light": _variables(LIGHT),
        "dark": _variables(DARK),
        "lead": escape(to_one_line(_lead(results))),
        "warnings": items and f'<section class="warnings"><strong>Beware</strong><ul>{items}</ul></section>',
        "scores": sections.format_scores_table(table),
        "scores_note": escape(_SCORES_NOTE),
        "figures": "".join(_figure(name, text, _caption(name, results)) for name, text in svg.items()),
        "failures": sections.format_failures(results),
        "timelines": "".join(
            f"<details open><summary>Person {escape(to_one_line(person))}</summary>"
            f"{''.join(f'<figure>{to_variables(drawing)}</figure>' for drawing in drawings)}</details>"
            for person, drawings in timelines.items()
        ),
        "settings": sections.format_settings(results),
    }
    page = resources.files("eval.report").joinpath("page.html").read_text(encoding="utf-8")
    return Template(page).substitute(fill)


def _lead(results: Results) -> str:
    """What was tested and how it did, in some sentences."""
    spec, persons = results.store.spec, results.persons
    texts = [
        f"{results.head} head on {spec.encoder} {spec.features}: "
        f"{describe_tested(persons, len(results.store.persons))}."
    ]
    if len(persons):
        seconds, ictal = (persons[column].sum() for column in ("seconds", "ictal_seconds"))
        texts += [
            f"{seconds / 3600:.1f} h, of them {ictal / 3600:.2f} h in seizure.",
            f"Mean over persons (95 % interval): {describe_scores(persons, results.summary)}.",
        ]
    if results.unlabelled:
        texts.append(f"{describe_time_in_alarm(results.time_in_alarm())}.")
    return " ".join(texts)


def _caption(name: str, results: Results) -> str:
    text = _CAPTIONS[name]
    if name != "reliability":
        return text
    pooled = map(np.concatenate, zip(*results.seconds().values(), strict=True))
    return Template(text).substitute(error=f"{expected_calibration_error(bin_reliability(*pooled)):.3f}")


def _figure(name: str, svg: str, caption: str) -> str:
    drawing = to_variables(svg[svg.index("<svg") :]).replace("<svg", f'<svg role="img" aria-label="{name}"', 1)
    return f"<figure>{drawing}<figcaption>{escape(caption)}</figcaption></figure>"


def _variables(colours: dict[str, str]) -> str:
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())
