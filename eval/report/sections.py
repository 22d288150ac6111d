"""Sections of the report as HTML tables: scores, and what was run."""

from html import escape

import pandas as pd

from eval.report.files import seed_means
from eval.report.headline import describe_split
from eval.report.markup import format_table, format_wide
from eval.report.tables import SUMMARY_ROWS, format_heads, format_number
from eval.report.timeline import clock
from eval.scoring.averages import list_choices
from eval.scoring.background import RATE_NEEDS_H, Background
from eval.scoring.choice import PostProcessingChoice
from eval.scoring.results import Results
from eval.scoring.seizures import find_unlabelled_events
from eval.scoring.validity_checks import list_left_out
from heads.run_folder import FoldResult
from store import Store
from store.runtime.cli import to_one_line
from store.runtime.plurals import count_noun

_FOLD_HEADINGS = (
    *("fold", "chosen on", "best epoch", "threshold", "held while above", "smoothing", "minimum duration"),
    *("validation event F1", "validation FP/day"),
)


def format_scores_table(table: pd.DataFrame) -> str:
    """Scores as text, the rows over persons marked."""
    rows = [(name, *row) for name, row in zip(table.index, table.to_numpy(), strict=True)]
    return format_table(["person", *table.columns], rows, summary_rows=SUMMARY_ROWS)


def format_seeds(results: Results) -> str:
    """Mean scores of each seed and their spread; empty for a run of one seed."""
    if not results.seeds or results.persons.empty:
        return ""
    table = format_heads(seed_means(results), results.background, "seed")
    rows = [(name, *row) for name, row in zip(table.index, table.to_numpy(), strict=True)]
    return f"<h3>Seeds</h3>{format_table(['seed', *table.columns], rows, summary_rows=2)}"


def format_settings(results: Results) -> str:
    """What was run, what was chosen, and which recordings count less than one thinks."""
    return (
        f'<table class="text"><tbody>{_describe_run(results)}</tbody></table><h3>Chosen for each fold</h3>'
        f"{_format_choices(results)}{_data_notes(results)}"
    )


def _format_choices(results: Results) -> str:
    """What was chosen for each fold; false alarms a day only where the validation persons suffice for a rate."""
    choices, hours = list_choices(results), _background_hours(results.store)
    backgrounds = {
        name: Background(sum(hours.get(person, 0.0) for person in fold.fold.validation))
        for name, (fold, _) in choices.items()
    }
    folds = [_fold_cells(name, *choice, backgrounds[name].suffices) for name, choice in choices.items()]
    note = (
        f"<p class='muted'>A dash under validation FP/day: less than {RATE_NEEDS_H:.0f} h of background of "
        "validation persons in this store, too little for a rate.</p>"
    )
    is_short = not all(background.suffices for background in backgrounds.values())
    return format_wide(_FOLD_HEADINGS, folds) + note * is_short


def _background_hours(store: Store) -> dict[str, float]:
    """Labelled hours without seizure of each person."""
    hours: dict[str, float] = {}
    for info in store.recordings:
        if info.labelled:
            background_s = int((store.labels(info) == 0).sum())
            hours[info.person] = hours.get(info.person, 0.0) + background_s / 3600
    return hours


def _describe_run(results: Results) -> str:
    config, store = results.config, results.store
    spec = store.spec
    recorded = (config["store"]["provenance"].get("versions"), config.get("versions"))
    versions = {name: value for part in recorded if isinstance(part, dict) for name, value in part.items()}
    rows = {
        "folder": str(results.path.resolve()),
        "head": ", ".join(f"{name} {value}" for name, value in config["settings"].items()),
        "encoder": f"{spec.encoder}, weights {spec.weights_sha256[:16] or 'none'}",
        "persons the encoder saw in pretraining": ", ".join(results.persons_seen) or "none is on record",
        "features": f"{spec.features} {spec.dtype}, {spec.shape} (frames, channels, dims) a window of "
        f"{spec.window_s} s every {spec.stride_s} s, {spec.precision}",
        "montage": f"{spec.montage}: {', '.join(spec.input_channels)}",
        "persons": describe_split(results.given_split) if results.given_split else "folds over persons",
        "store": f"{store.location}, {count_noun(len(store.recordings), 'recording')} of "
        f"{count_noun(len(store.persons), 'person')}",
        "versions": ", ".join(f"{name} {value}" for name, value in sorted(versions.items())) or "not on record",
    }
    return "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(to_one_line(value))}</td></tr>" for name, value in rows.items()
    )


def _data_notes(results: Results) -> str:
    left_out = [(recording.name, recording.reason) for recording in list_left_out(results)]
    events = [
        (row["recording"], clock(row["onset_s"]), f"{row['duration_s']:g} s")
        for row in find_unlabelled_events(results.recordings).to_dict(orient="records")
    ]
    time_in_alarm = [
        (person, row["recordings"], f"{row['hours']:.2f}", f"{100 * row['alarmed']:.1f} %")
        for person, row in results.time_in_alarm().to_dict(orient="index").items()
    ]
    notes = ""
    if time_in_alarm:
        notes += "<h3>Unlabelled recordings: time in alarm</h3>"
        notes += format_wide(("person", "recordings", "hours", "in alarm"), time_in_alarm)
    if left_out:
        notes += "<h3>Recordings of the data set that are not in the store</h3>"
        notes += format_wide(("recording", "reason"), left_out, "text")
    if events:
        notes += "<h3>Seizures that label no second</h3><p class='muted'>Each covers more than half of no second. "
        notes += "Event scores count it; its seconds count as background.</p>"
        notes += format_wide(("recording", "from", "length"), events)
    return notes


def _fold_cells(name: str, result: FoldResult, choice: PostProcessingChoice, is_rate: bool) -> tuple[object, ...]:
    post, fold = choice.post, result.fold
    chosen_on = f"all others, in {len(fold.inner)} groups" if fold.inner else ", ".join(fold.validation)
    return (
        *(name, chosen_on, result.best_epoch, f"{post.threshold:.3f}"),
        *(f"{post.threshold * post.hysteresis_ratio:.3f}", f"{post.smoothing_s} s", f"{post.min_duration_s} s"),
        *(format_number(choice.f1, 3), format_number(choice.fp_per_day, 1) if is_rate else "-"),
    )
