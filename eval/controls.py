"""``python -m eval.controls RUN``: controls that a valid score must pass."""

if __name__ == "__main__":
    from braincodec_seizure import run_module

    raise SystemExit(run_module("eval.controls"))

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd
import tyro

from braincodec_seizure import __version__
from eval.report.files import write_table
from eval.scoring.alarms import average_alarms, measure_alarms
from eval.scoring.changed_heads import warn_of_changed_heads
from eval.scoring.choice import POSTPROCESSING
from eval.scoring.control_results import Control, read_controls, tabulate_controls, write_controls
from eval.scoring.results import find_persons_seen
from eval.scoring.scored_heads import hash_file
from eval.scoring.scored_runs import ScoredRun, describe_differences, read_scored_run, require_same_test
from eval.scoring.scores import bootstrap_interval
from heads.run_folder import Run
from store import Store
from store.gate import read_json
from store.runtime.cli import run as run_command
from store.runtime.device import choose_device
from store.runtime.errors import UserError
from store.runtime.options import optional
from store.runtime.outputs import guard_folder
from store.runtime.plurals import noun_with_names

if TYPE_CHECKING:
    import torch

    from eval.scoring.standard_test import StandardTest

_TWIN = "untrained twin"
_SPEC_OF_TWIN = ("features", "montage", "derivations", "code_search")  # not up to the encoder
_DESCRIPTION = """Run controls on a scored run.

Start with: RUN, --twin for the run of an untrained encoder, --on for other people.

Shuffled labels: train the run's heads on labels shuffled within each person. Identity: how well features tell
persons apart, and which score remains when each person's mean and scale are removed. --twin compares with an
untrained encoder, --on counts alarms on other people. The exit status is 1 if a control does not come out as
expected. Run again, the command repeats only controls that are missing or whose inputs have changed; results of
--twin and --on are kept until the run changes."""


@dataclass(frozen=True, kw_only=True)
class ControlsCommand:
    """The command line of ``python -m eval.controls``."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder of a run that eval has scored."""
    store: Annotated[
        tuple[Path, ...],
        tyro.conf.arg(metavar="STORE ...", help_behavior_hint="(default: the path used in training)"),
    ] = ()
    """New path of the run's store, or stores, if they have moved since training."""
    twin: Annotated[Path | None, optional("RUN")] = None
    """Scored run with the same settings on an untrained encoder (extracted with --encoder random)."""
    on: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="STORE ...", help_behavior_hint="(default: none)")] = ()
    """Stores of people without seizures, or without labels, to count alarms of the final head on."""
    out: Annotated[Path | None, optional("DIR")] = None
    """Folder for the results. (default: "controls" in the run)"""
    head: Annotated[str | None, optional("HEAD")] = None
    """The run's head, if it does not ship: package.module:Name."""
    seed: int = 0
    """Seed of the shuffling."""
    device: Annotated[str, tyro.conf.arg(metavar="DEVICE")] = "auto"
    """"cpu", "cuda", "cuda:1" and so on; "auto" uses a GPU if there is one."""


@dataclass(frozen=True)
class _Task:
    """Controls to make: hash of their inputs, and the function that makes them."""

    made_of: str
    make: Callable[[], Iterable[Control]]


def controls(command: ControlsCommand) -> int:
    """Run the controls that are not there yet, write and print them; 1 if one fails.

    Raises
    ------
    UserError
        If a run or store cannot be used, a run is not scored, or a person of ``on`` is one of the training data.
    """
    if command.seed < 0:
        raise UserError(f"--seed {command.seed}: not usable; allowed: 0 and more")
    run = Run.open(command.run)
    warn_of_changed_heads(command.run, [command.head])
    out = command.out or command.run / "controls"
    guard_folder(out, inputs=[command.run, *command.on], allowed_mark="controls.json")
    known, tasks = read_controls(out), _list_tasks(command, run, out)
    state = _hash_run(run)
    results = list(_run_tasks(tasks, known, state, out))
    names = {control.name for control in results}
    earlier = [
        control
        for control in itertools.chain(*known.values())
        if control.run == state and control.name not in names
    ]
    for control in earlier:
        print(control.line)
    results += earlier
    if _TWIN not in {control.name for control in results}:
        print(
            f"{_TWIN}: not given; extract the data set with --encoder random, train and score a run on "
            "it with the same settings, and give it as --twin"
        )
    write_controls(out, results)
    write_table(out, "controls", tabulate_controls(results))
    print(f"\nControls: {out / 'controls.json'}, {out / 'controls.md'}")
    return int(any(control.holds is False for control in results))


def _run_tasks(
    tasks: Sequence[_Task], known: dict[str, list[Control]], state: str, out: Path
) -> Iterator[Control]:
    """Controls of tasks, out of the known ones or run now; print each, and write what there is after each task."""
    results: list[Control] = []
    for task in tasks:
        kept = known.pop(task.made_of, None)
        made = [replace(control, made_of=task.made_of, run=state) for control in kept or task.make()]
        if kept is None:
            write_controls(out, [*results, *made, *itertools.chain(*known.values())])
        for control in made:
            print(control.line, flush=True)
        results += made
        yield from made


def _list_tasks(command: ControlsCommand, run: Run, out: Path) -> list[_Task]:
    """All controls, after what is known to be a mistake was refused."""
    import torch  # here and below, since --help needs neither torch nor scikit-learn

    from eval.scoring.shuffled_labels import plan_shuffled, score_shuffled
    from heads.dataset import StoreDataset

    device, store = torch.device(choose_device(command.device)), run.open_store(command.store)
    scored = read_scored_run(command.run)
    twin = None if command.twin is None else _read_twin(scored, command.twin)
    tests = [_prepare_test(command, path, out) for path in dict.fromkeys(command.on)]
    settings, identity = run.config["settings"], {"spec": store.spec.to_dict(), "content": store.identities}

    folds = [asdict(fold) for fold in plan_shuffled(run, StoreDataset(store))]

    def check_shuffled() -> Iterator[Control]:
        rng = np.random.default_rng(command.seed)
        yield _check_shuffled(score_shuffled(run, store, device, rng, [command.head]))

    tasks = [
        _Task(_hash("shuffled", settings, folds, identity, command.seed), check_shuffled),
        _Task(_hash("identity", identity), partial(_check_identity, store, out)),
    ]
    if twin is not None:
        rows = [scored.scores.to_csv(), twin.scores.to_csv()]
        tasks.append(_Task(_hash("twin", rows), partial(_compare_twin, scored, twin)))
    for test in tests:
        heads = [hash_file(result.head_path) for result in test.folds]
        posts = [read_json(result.path / POSTPROCESSING) for result in test.folds]
        tasks.append(_Task(_hash("on", test.config, heads, posts), partial(_count_alarms, test, device)))
    return tasks


def _hash(*parts: Any) -> str:
    content = [__version__, *parts]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _hash_run(run: Run) -> str:
    """Hash of the folds and scores of a run; a control of another hash is of an earlier state of the run."""
    files = [path for result in run.folds for path in (result.path / "fold.json", result.path / POSTPROCESSING)]
    return _hash(*(hash_file(path) for path in (*files, run.path / "metrics.json") if path.is_file()))


def _check_shuffled(scores: pd.DataFrame) -> Control:
    from eval.scoring.shuffled_labels import expect_mean_auroc

    name = "labels shuffled within persons"
    if scores.empty:
        text = "AUROC undefined: no tested person has both labels"
        return Control(name, text, "", None, {"auroc": None, "persons": 0})
    low, high = expect_mean_auroc(scores["chance_sd"])
    mean = float(scores["auroc"].mean())
    text = f"AUROC {_with_interval(scores['auroc'])}"
    values: dict[str, float | int | None] = {"auroc": mean, "persons": len(scores)}
    return Control(name, text, f"{low:.3f} to {high:.3f}", low <= mean <= high, values)


def _check_identity(store: Store, out: Path) -> Iterator[Control]:
    from eval.scoring.identity_audit import audit_identity, read_seconds

    audit = audit_identity(read_seconds(store, out))
    yield Control(
        "telling persons apart",
        f"{audit.accuracy:.3f} of the background seconds of {audit.persons} persons are assigned to the right one "
        f"({audit.chance:.3f} by chance)",
        "",
        None,
        {"accuracy": audit.accuracy, "chance": audit.chance, "persons": audit.persons},
    )
    as_is, removed = audit.scores["as_is"], audit.scores["removed"]
    yield Control(
        "each person's mean and scale removed",
        f"AUROC of a regression {_with_interval(removed)}, as is {_with_interval(as_is)}, "
        f"difference {_with_interval(removed - as_is, sign='+')}",
        "",
        None,
        {"auroc_removed": float(removed.mean()), "auroc_as_is": float(as_is.mean()), "persons": len(as_is)},
    )


def _read_twin(trained: ScoredRun, path: Path) -> ScoredRun:
    twin = read_scored_run(path)
    require_same_test(trained, twin)
    spec, trained_spec = (run.config["store"].get("spec", {}) for run in (twin, trained))
    if spec.get("encoder") != "random":
        raise UserError(f"{path}: its encoder is {spec.get('encoder')}; a twin has --encoder random")
    same_window = spec.get("window_s") == trained_spec.get("window_s")
    if differences := describe_differences(trained, twin, (*_SPEC_OF_TWIN, *["stride_s"] * same_window)):
        raise UserError(
            f"{path}: no twin of {trained.path} ({'; '.join(differences)}); extract and train it with the "
            "settings of that run"
        )
    return twin


def _compare_twin(trained: ScoredRun, twin: ScoredRun) -> Iterator[Control]:
    difference = (trained.scores["auroc"] - twin.scores["auroc"]).dropna()
    low, _ = bootstrap_interval(difference.to_numpy(float), np.random.default_rng(0))
    yield Control(
        _TWIN,
        f"AUROC {_with_interval(twin.scores['auroc'])}, the run {_with_interval(trained.scores['auroc'])}, "
        f"difference {_with_interval(difference, sign='+')}",
        "a difference above 0",
        None if np.isnan(low) else bool(low > 0),
        {"twin": float(twin.scores["auroc"].mean()), "run": float(trained.scores["auroc"].mean())},
    )


def _prepare_test(command: ControlsCommand, store_path: Path, out: Path) -> "StandardTest":
    from eval.scoring.standard_test import prepare_test

    test = prepare_test(command.run, store_path, out, "final", [command.head] if command.head else [])
    if test.training_persons:
        raise UserError(
            f"{store_path}: holds {noun_with_names('training person', test.training_persons)} of {command.run}; "
            "give a store of others"
        )
    if set(test.store.persons) <= set(find_persons_seen(test.config["store"])):
        raise UserError(f"{store_path}: the encoder saw all of its persons in pretraining; give a store of others")
    return test


def _count_alarms(test: "StandardTest", device: "torch.device") -> Iterator[Control]:
    alarms = average_alarms([measure_alarms(results) for results in test.score(device)])
    yield Control(f"on {test.store.name}", alarms.describe(), "", None, asdict(alarms))


def _with_interval(values: pd.Series, sign: str = "") -> str:
    """Mean over persons and its 95 % interval."""
    known = values.dropna().to_numpy(float)
    low, high = bootstrap_interval(known, np.random.default_rng(0))
    mean = known.mean() if len(known) else np.nan
    interval = "" if np.isnan(low) else f" ({low:{sign}.3f} to {high:{sign}.3f})"
    return f"{mean:{sign}.3f}{interval}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m eval.controls``."""
    return run_command(
        controls,
        ControlsCommand,
        argv,
        module="eval.controls",
        description=_DESCRIPTION,
        examples=["runs/chb-mit --twin runs/random --on stores/healthy"],
    )
