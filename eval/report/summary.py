"""The first screen of the report: what was run, and the four numbers."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from eval.report.headline import HeadlineNumber, list_headline_numbers
from eval.report.provenance import Provenance
from eval.scoring.averages import list_choices
from eval.scoring.results import Results, share_in_alarm
from eval.scoring.tested import read_tested
from heads.folds import Fold
from heads.run_folder.repeat import kind_of
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
    """Tested persons, their recordings and hours, and how many of the store's persons they are."""
    store, posts = results.store, results.posts
    names = sorted({file.dataset for file in store.files if file.dataset and file.person in posts}) or [store.name]
    tested = [
        recording
        for group in (results.recordings, results.unlabelled)
        for by_name in group.values()
        for recording in by_name.values()
    ]
    hours = sum(recording.duration_s for recording in tested) / 3600
    text = f"{', '.join(names)}: {count_noun(len(tested), 'recording')} of {count_noun(len(posts), 'person')}, "
    text += f"{hours:.1f} h"
    if len(results.persons):
        text += f", of them {results.persons['ictal_seconds'].sum() / 3600:.2f} h in seizure"
    if on_other_data := read_tested(results.config):
        return f"{text}; heads trained in {on_other_data.get('run')}"
    if len(posts) < len(store.persons):
        return f"{text}; {len(posts)} of {count_noun(len(store.persons), 'person')} in the store tested"
    return f"{text}; every person is tested once"


def _describe_seed(settings: dict[str, Any]) -> str:
    seed = settings.get("seed", [])
    seeds = seed if isinstance(seed, list) else [seed]
    return f", seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}" if seeds else ""


def _describe_choices(results: Results) -> str:
    """What was chosen, by which criterion and on whom, in the folds that test a person; of all seeds."""
    choices = list(list_choices(results).values())
    testing = [(result, choice) for result, choice in choices if result.fold.test] or choices
    if not testing:
        return ""
    folds = {result.fold.name: result.fold for result, _ in testing}
    where = f"each of {len(folds)} folds" if len(folds) > 1 else "the fold"
    where += f" with each of {len(results.seeds)} seeds" if results.seeds else ""
    posts = [choice.post for _, choice in testing]
    thresholds = _range([f"{post.threshold:.2f}" for post in sorted(posts, key=lambda post: post.threshold)])
    shortest = _range([f"{value}" for value in sorted(post.min_duration_s for post in posts)])
    return (
        f"in {where}, on {_describe_choosing(testing[0][0].fold)}: "
        f"{_describe_criterion(results.config['settings'])}, threshold and post-processing by the best event F1; "
        f"threshold {thresholds}, minimum event duration {shortest} s"
    )


def _describe_choosing(fold: Fold) -> str:
    """Whose predictions choose for a fold, and by which heads."""
    if not fold.inner:
        return "validation persons"
    groups = f"predicted in {len(fold.inner)} groups by heads that"
    if not fold.test:
        return f"all training persons, {groups} did not see them"
    return f"all other persons, {groups} saw neither them nor the tested one"


def _describe_criterion(settings: Mapping[str, Any]) -> str:
    """What chooses the head itself.

    >>> _describe_criterion({"head": "linear"}), _describe_criterion({"method": "logistic"})
    ('epoch by the best AUROC per second', 'C by the smallest log loss per second')
    """
    if settings.get("method") == "logistic":
        return "C by the smallest log loss per second"
    tuned = {"probe": "strength", "sweep": "settings and epoch", "train": "epoch"}[kind_of(settings)]
    return f"{tuned} by the best AUROC per second"


def _range(ordered: Sequence[str]) -> str:
    """First and last of ordered values.

    >>> _range(["1", "5"]), _range(["1", "1"])
    ('1 to 5', '1')
    """
    return ordered[0] if ordered[0] == ordered[-1] else f"{ordered[0]} to {ordered[-1]}"
