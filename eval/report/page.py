"""The report of a run: one self-contained HTML page, with its figures also as files."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

import pandas as pd
from matplotlib.figure import Figure

from eval.report import errors, figures, sections
from eval.report.eeg_reader import EegReader
from eval.report.headline import describe_tested, describe_time_in_alarm
from eval.report.markup import format_figure, format_page, format_warnings
from eval.report.provenance import Provenance
from eval.report.style import save_figure
from eval.report.summary import format_facts, format_numbers
from eval.report.timeline import draw_person, format_style, format_timeline
from eval.scoring.calibration import expected_calibration_error, pool_reliability
from eval.scoring.results import Recordings, Results
from heads.run_folder import describe_head
from store.runtime.atomic import write_text
from store.runtime.cli import to_one_line
from store.runtime.names import to_path_name
from store.runtime.plurals import count_noun

_FIRST = ("sensitivity", "persons")  # figures of the first screen
_AVERAGED = ("sensitivity", "persons", "f1")  # of several seeds; the other figures are of the first
_CAPTIONS = {
    "sensitivity": "Blue: one threshold for all persons, in equal steps of the log odds. Orange: the thresholds "
    "chosen per fold, with the 95 % interval over persons. The rest of the post-processing is each fold's own.",
    "persons": "One dot per person; line and band are the mean and its 95 % bootstrap interval over persons.",
    "f1": "Mean over persons, over the same thresholds.",
    "roc": "How well the probability of a second ranks seizure before background.",
    "precision-recall": "The same with precision, which depends on how rare seizure is.",
    "reliability": "Whether a probability of 0.7 means seizure in 70 % of seconds. Training gives seizure seconds "
    "more weight, so probabilities can be too high where seizures are rare. Expected calibration error: $error.",
    "probabilities": "Seconds of all persons.",
    "loss": "One line per fold, with a dot at the epoch that was kept.",
    "validation": "One line per fold, on persons that it does not test, with a dot at the epoch that was kept.",
}
_SCORES_NOTE = (
    "Event and sample scores by SzCORE (timescoring): counts are added up over a person's recordings, "
    "rates averaged over persons. Events less than 90 s apart count as one, and a detection may lie up "
    "to 30 s before a seizure and 60 s after it, so many short detections can count as one. TP: seizures hit, FN: "
    "seizures missed, FP: false alarms. The interval is a 95 % bootstrap over persons; the last rows count the "
    "persons for whom a score is defined, and give sums; a dash marks what is not defined."
)


def write_report(
    results: Results,
    table: pd.DataFrame,
    warnings: Sequence[str],
    provenance: Provenance,
    reader: EegReader | None = None,
) -> Path:
    """Write ``report.html`` and ``figures/`` into the folder of the results.

    Parameters
    ----------
    table
        Scores as text, one row per person and what is known over persons.
    reader
        Reads the EEG that is drawn beside misses and false alarms; none is drawn if not given.

    Returns
    -------
    Path of the page.
    """
    folder = results.path / "figures"
    svg = {name: save_figure(figure, folder, name) for name, figure in _draw(results).items()}
    for person, by_name in _list_recordings(results).items():
        drawing = draw_person(by_name, results.posts[person])
        write_text(folder / f"timeline-{to_path_name(person)}.svg", drawing)
    path = results.path / "report.html"
    write_text(path, _page(results, table, warnings, svg, provenance, reader))
    return path


def _draw(results: Results) -> dict[str, Figure]:
    drawn = {}
    if len(results.persons):
        seconds = results.seconds()
        calibrated, bins = results.calibrated_seconds(), pool_reliability(seconds)
        summary, background = results.summary, results.background
        drawn["sensitivity"] = figures.draw_sensitivity(results.curve, summary, background)
        drawn["persons"] = figures.draw_persons(results.persons, summary, background)
        drawn["f1"] = figures.draw_f1(results.curve, summary)
        drawn["roc"] = figures.draw_roc(seconds)
        drawn["precision-recall"] = figures.draw_precision_recall(seconds)
        drawn["reliability"] = figures.draw_reliability(bins, pool_reliability(calibrated) if calibrated else None)
        drawn["probabilities"] = figures.draw_probabilities(bins)
    drawn["loss"] = figures.draw_training(results.folds, "loss", "training loss")
    drawn["validation"] = figures.draw_training(results.folds, "validation_auroc", "validation AUROC")
    return drawn


def _page(
    results: Results,
    table: pd.DataFrame,
    warnings: Sequence[str],
    svg: dict[str, str],
    provenance: Provenance,
    reader: EegReader | None,
) -> str:
    detection_errors = errors.list_errors(results)
    drawings = {name: format_figure(name, text, _caption(name, results)) for name, text in svg.items()}
    fill = {
        "lead": escape(to_one_line(_lead(results))),
        "facts": format_facts(results, provenance),
        "numbers": format_numbers(results),
        "first": "".join(drawing for name, drawing in drawings.items() if name in _FIRST),
        "warnings": format_warnings(warnings),
        "errors": errors.format_errors(results, detection_errors, reader),
        "scores": _format_scores(results, table),
        "figures": "".join(drawing for name, drawing in drawings.items() if name not in _FIRST),
        "timelines": _format_timelines(results, detection_errors),
        "settings": sections.format_settings(results),
    }
    return format_page("page.html", f"Seizure detection: {results.path.resolve().name}", fill, format_style())


def _lead(results: Results) -> str:
    """What was tested, in a sentence or two."""
    head, spec = describe_head(results.config["settings"]), results.store.spec
    texts = [
        f"{head} on {spec.encoder} {spec.features}: "
        f"{describe_tested(results.persons, len(results.store.persons))}."
    ]
    if results.seeds:
        texts.append(
            f"Scores and the curve are means over seeds {', '.join(map(str, results.seeds))}; errors and "
            f"timelines are of seed {next(iter(results.seeds))}."
        )
    if results.unlabelled:
        texts.append(f"{describe_time_in_alarm(results.time_in_alarm())}.")
    return " ".join(texts)


def _format_scores(results: Results, table: pd.DataFrame) -> str:
    if results.persons.empty:
        return "<p>No recording is labelled, so there are no scores.</p>"
    tables = sections.format_scores_table(table) + sections.format_seeds(results)
    return f'<div class="wide">{tables}</div><p class="muted">{escape(_SCORES_NOTE)}</p>'


def _format_timelines(results: Results, detection_errors: Sequence[errors.DetectionError]) -> str:
    """Recordings that no error shows whole, folded by person."""
    shown = {
        (error.person, error.recording) for error in detection_errors if errors.is_shown_whole(results, error)
    }
    parts = []
    for person, by_name in _list_recordings(results).items():
        post = results.posts[person]
        rows = [
            f"<figure><figcaption>{escape(to_one_line(name))}"
            f"{' (no labels)' * (name in results.unlabelled.get(person, {}))}</figcaption>"
            f"{format_timeline(recording, post)}</figure>"
            for name, recording in by_name.items()
            if (person, name) not in shown
        ]
        heading = f"Person {escape(to_one_line(person))}: {count_noun(len(rows), 'recording')}"
        text = f'<p class="muted">{errors.describe_post(post)}</p><div class="pair">{"".join(rows)}</div>'
        parts.append(f"<details><summary>{heading}</summary>{text}</details>" if rows else "")
    return "".join(parts) or "<p>Every recording has an error and is shown above.</p>"


def _list_recordings(results: Results) -> Recordings:
    """Recordings of each person, those with labels first."""
    return {
        person: results.recordings.get(person, {}) | results.unlabelled.get(person, {})
        for person in sorted(results.recordings.keys() | results.unlabelled.keys())
    }


def _caption(name: str, results: Results) -> str:
    text = _describe_figure(name, results)
    if not results.seeds:
        return text
    return f"{text} {'Mean over seeds' if name in _AVERAGED else f'Of seed {next(iter(results.seeds))}'}."


def _describe_figure(name: str, results: Results) -> str:
    text = _CAPTIONS[name]
    if name != "reliability":
        return text
    shown = [
        f"{expected_calibration_error(pool_reliability(seconds)):.3f}"
        for seconds in (results.seconds(), results.calibrated_seconds())
        if seconds is not None
    ]
    added = "; {} at the temperature of each fold, fitted on its validation persons" if len(shown) > 1 else ""
    return Template(text).substitute(error=shown[0] + added.format(shown[-1]))
