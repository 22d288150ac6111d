"""The report of a run: one HTML page that needs nothing else, its figures also as files."""

from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eval.report import figures
from eval.report.palette import DARK, LIGHT, to_variables
from eval.report.timeline import clock, draw_person, draw_recordings
from eval.scoring.choice import PostProcessingChoice, sweep_thresholds
from eval.scoring.results import Results
from eval.scoring.seizures import find_false_alarms, find_misses
from heads.run_folder import FoldResult
from store.runtime.atomic import write_text

SUMMARY_ROWS = 5  # at the end of the table of scores
_WORST = 10
_CAPTIONS = {
    "operating": "Left: seizures found against false alarms, each mean over persons, at thresholds even in log "
    "odds. Right: the same thresholds by event F1. Only the threshold varies; the rest is each fold's own.",
    "persons": "A dot a person; line and band are the mean and its 95 % bootstrap interval over persons.",
    "ranking": "How well the probability of a second ranks seizure before background.",
    "reliability": "Whether a probability of 0.7 means seizure in 70 % of seconds. Heads weigh seizures up, so "
    "that probabilities can be too high where seizures are rare.",
    "training": "Each fold keeps the epoch with the best validation AUROC.",
}


def write_report(results: Results, table: pd.DataFrame, warnings: Sequence[str]) -> Path:
    """Write ``report.html`` and ``figures/`` into the run.

    Parameters
    ----------
    table
        Scores as text, a row a person and what is known over persons.

    Returns
    -------
    Path of the page.
    """
    folder = results.run.path / "figures"
    seconds = _seconds(results)
    posts = {person: results.post(person) for person in results.recordings}
    recordings = {person: list(by_name.values()) for person, by_name in results.recordings.items()}
    drawn = {
        "operating": figures.draw_operating_curve(sweep_thresholds(recordings, posts), results.summary),
        "persons": figures.draw_persons(results.persons, results.summary),
        "ranking": figures.draw_ranking(seconds),
        "reliability": figures.draw_reliability(*map(np.concatenate, zip(*seconds.values(), strict=True))),
        "training": figures.draw_training(results.run.folds),
    }
    svg = {name: figures.save_figure(figure, folder, name) for name, figure in drawn.items()}
    timelines = {}
    for person, by_name in sorted(results.recordings.items()):
        timelines[person] = draw_recordings(by_name, posts[person])
        write_text(folder / f"timeline-{person}.svg", draw_person(by_name, posts[person]))
    path = results.run.path / "report.html"
    write_text(path, _page(results, table, warnings, svg, timelines))
    return path


def _page(
    results: Results,
    table: pd.DataFrame,
    warnings: Sequence[str],
    svg: dict[str, str],
    timelines: dict[str, list[str]],
) -> str:
    run, config = results.run, results.run.config
    mean = results.summary.T["mean"]
    spec = results.store.spec
    seconds, ictal = (results.persons[column].sum() for column in ("seconds", "ictal_seconds"))
    lead = (
        f"{config['settings']['head']} head on {spec.encoder} {spec.features}: {len(results.persons)} of "
        f"{len(results.store.persons)} persons tested, each by a fold that never saw them; "
        f"{seconds / 3600:.1f} h, of them {ictal / 3600:.2f} h in seizure. Mean over persons: "
        f"AUROC {_number(mean['auroc'])}, event F1 "
        f"{_number(mean['event.f1'])}, {_number(mean['event.fp_per_day'], 1)} false alarms per day."
    )
    cautions = "".join(f"<li>{escape(text)}</li>" for text in warnings)
    fill = {
        "title": escape(f"Seizure detection: {run.path.resolve().name}"),
        "light": _variables(LIGHT),
        "dark": _variables(DARK),
        "lead": escape(lead),
        "warnings": f'<section class="warnings"><strong>Beware</strong><ul>{cautions}</ul></section>'
        if cautions
        else "",
        "scores": _scores(table),
        "scores_note": escape(
            "Event and sample scores by SzCORE (timescoring): counts are added up over a person's recordings, "
            "rates averaged over persons. Events less than 90 s apart count as one, and a detection may lie up "
            "to 30 s before a seizure and 60 s after it, so many short detections can count as one. The interval "
            "is a 95 % bootstrap over persons; the last row counts the persons for whom a score is defined, a "
            "dash marks those for whom it is not."
        ),
        "figures": "".join(_figure(name, svg[name], caption) for name, caption in _CAPTIONS.items()),
        "failures": _failures(results),
        "timelines": "".join(
            f"<details open><summary>Person {escape(person)}</summary>"
            f"{''.join(f'<figure>{to_variables(svg)}</figure>' for svg in drawn)}</details>"
            for person, drawn in timelines.items()
        ),
        "settings": _settings(results),
    }
    page = resources.files("eval.report").joinpath("page.html").read_text(encoding="utf-8")
    return Template(page).substitute(fill)


def _seconds(results: Results) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Labels and probabilities of all seconds of each person."""
    return {
        person: (
            np.concatenate([recording.labels for recording in by_name.values()]),
            np.concatenate([recording.probabilities for recording in by_name.values()]),
        )
        for person, by_name in sorted(results.recordings.items())
    }


def _scores(table: pd.DataFrame) -> str:
    head = "".join(f"<th>{escape(str(heading))}</th>" for heading in ("person", *table.columns))
    rows = []
    for number, (name, row) in enumerate(table.iterrows()):
        kind = ' class="summary"' if number >= len(table) - SUMMARY_ROWS else ""
        cells = "".join(f"<td>{escape(str(cell))}</td>" for cell in (name, *row))
        rows.append(f"<tr{kind}>{cells}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _figure(name: str, svg: str, caption: str) -> str:
    drawn = to_variables(svg[svg.index("<svg") :]).replace("<svg", f'<svg role="img" aria-label="{name}"', 1)
    return f"<figure>{drawn}<figcaption>{escape(caption)}</figcaption></figure>"


def _failures(results: Results) -> str:
    misses, alarms = find_misses(results.recordings), find_false_alarms(results.recordings)
    return _failure_table("Missed seizures", misses, "largest probability in it, the least noticed first") + (
        _failure_table("False alarms", alarms, "mean probability in it, the surest first")
    )


def _failure_table(title: str, table: pd.DataFrame, order: str) -> str:
    shown = f", the first {_WORST} here" if len(table) > _WORST else ""
    heading = f"<h3>{title}</h3><p class='muted'>{len(table)} in all{shown}; by the {order}.</p>"
    if table.empty:
        return f"<h3>{title}</h3><p>None.</p>"
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{clock(onset_s)}</td><td>{clock(stop_s)}</td>"
        f"<td>{stop_s - onset_s:.0f} s</td><td>{probability:.2f}</td></tr>"
        for _, name, onset_s, stop_s, probability in table.head(_WORST).to_numpy()
    )
    head = "<tr><th>recording</th><th>from</th><th>to</th><th>length</th><th>probability</th></tr>"
    return f'{heading}<div class="wide"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>'


def _settings(results: Results) -> str:
    config, run, store = results.run.config, results.run, results.store
    encoder = config["store"]["provenance"]["encoder"]
    seen = encoder.get("persons_seen", [])
    versions = {**config["store"]["provenance"]["versions"], **config["versions"]}
    rows = {
        "run": str(run.path.resolve()),
        "head": ", ".join(f"{name} {value}" for name, value in config["settings"].items()),
        "encoder": f"{store.spec.encoder}, weights {store.spec.weights_sha256[:16] or 'none'}",
        "persons the encoder saw in pretraining": ", ".join(seen) or "none is on record",
        "features": f"{store.spec.features} {store.spec.dtype}, {store.spec.shape} (frames, channels, dims) a "
        f"window of {store.spec.window_s} s every {store.spec.stride_s} s, {store.spec.precision}",
        "store": f"{store.path}, {len(store.recordings)} recordings of {len(store.persons)} persons",
        "versions": ", ".join(f"{name} {value}" for name, value in sorted(versions.items())),
    }
    described = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows.items()
    )
    head = "".join(
        f"<th>{heading}</th>"
        for heading in (
            *("fold", "validation persons", "best epoch", "threshold", "hold", "smoothing", "shortest event"),
            *("validation event F1", "validation FP/day"),
        )
    )
    folds = "".join(_fold(result, results.choices[result.fold.name]) for result in run.folds)
    return (
        f'<table class="text"><tbody>{described}</tbody></table><h3>Chosen on validation persons</h3>'
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{folds}</tbody></table></div>'
    )


def _fold(result: FoldResult, choice: PostProcessingChoice) -> str:
    post = choice.post
    cells = (
        *(result.fold.name, ", ".join(result.fold.validation), result.best_epoch, f"{post.threshold:.3f}"),
        *(f"{post.threshold * post.hysteresis_ratio:.3f}", f"{post.smoothing_s} s", f"{post.min_duration_s} s"),
        *(_number(choice.f1), _number(choice.fp_per_day, 1)),
    )
    return f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in cells)}</tr>"


def _variables(colours: dict[str, str]) -> str:
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())


def _number(value: float, decimals: int = 3) -> str:
    return "undefined" if np.isnan(value) else f"{value:.{decimals}f}"
