"""The first screen of the report: what was run, and the four numbers."""

from collections.abc import Sequence
from html import escape
from typing import Any

from eval.report.headline import HeadlineNumber, list_headline_numbers
from eval.report.provenance import Provenance
from eval.scoring.results import Results, share_in_alarm
from eval.scoring.tested import read_tested
from store.runtime.cli import to_one_line
from store.runtime.plurals import count_noun


def format_facts(results: Results, provenance: Provenance) -> str:
    """Date, command, commit, data, encoder, head, and what was chosen and how, as a list of terms."""
    spec, settings = results.store.spec, results.config["settings"]
    weights = f", weights {spec.weights_sha256[:12]}" if spec.weights_sha256 else ""
    facts = {
        "date": provenance.date,
        "command": f"<code>{escape(to_one_line(provenance.command))}</code>",
        "code": provenance.code,
        "data": _describe_data(results),
        "encoder": f"{spec.encoder}, {spec.features}{weights}",
        "head": f"{results.head}{_describe_seed(settings)}",
        "chosen": _describe_choices(results),
    }
    return "".join(
        f"<div><dt>{name}</dt><dd>{text if name == 'command' else escape(to_one_line(text))}</dd></div>"
        for name, text in facts.items()
        if text
    )


def format_numbers(results: Results) -> str:
    """The numbers of the headline as tiles."""
    if results.persons.empty:
        time_in_alarm = results.time_in_alarm()
        share, hours = share_in_alarm(time_in_alarm), time_in_alarm["hours"].sum()
        numbers = [HeadlineNumber("time in alarm", f"{100 * share:.1f} %", f"of {hours:.1f} h without labels")]
    else:
        numbers = list_headline_numbers(results.persons, results.summary)
    return "".join(
        f"<div><span>{escape(number.name)}</span><strong>{number.value}</strong><small>{number.note}</small></div>"
        for number in numbers
    )


def _describe_data(results: Results) -> str:
    store, persons = results.store, results.persons
    datasets = sorted({file.dataset for file in store.files if file.dataset}) or [store.name]
    who = f"{count_noun(len(store.recordings), 'recording')} of {count_noun(len(store.persons), 'person')}"
    text = f"{', '.join(datasets)}: {who}"
    if len(persons):
        hours, ictal_hours = (persons[column].sum() / 3600 for column in ("seconds", "ictal_seconds"))
        text += f", {hours:.1f} h, of them {ictal_hours:.2f} h in seizure"
    tested = read_tested(results.config)
    return f"{text}; heads trained in {tested.get('run')}" if tested else f"{text}; every person is tested once"


def _describe_seed(settings: dict[str, Any]) -> str:
    return f", seed {settings['seed']}" if "seed" in settings else ""


def _describe_choices(results: Results) -> str:
    posts = [choice.post for choice in results.choices.values()]
    if not posts:
        return ""
    folds = f"{len(posts)} folds" if len(posts) > 1 else "the fold"
    groups = len(results.folds[0].fold.inner)
    inner = f"all other persons, predicted in {groups} groups by heads that saw neither them nor the tested one"
    others = inner if groups else "persons that are not tested"
    thresholds = _range([f"{post.threshold:.2f}" for post in sorted(posts, key=lambda post: post.threshold)])
    shortest = _range([f"{value}" for value in sorted(post.min_duration_s for post in posts)])
    return (
        f"epoch, threshold and post-processing in each of {folds}, for the best event F1 on {others}: "
        f"threshold {thresholds}, shortest event {shortest} s"
    )


def _range(ordered: Sequence[str]) -> str:
    """First and last of ordered values.

    >>> _range(["1", "5"]), _range(["1", "1"])
    ('1 to 5', '1')
    """
    return ordered[0] if ordered[0] == ordered[-1] else f"{ordered[0]} to {ordered[-1]}"
