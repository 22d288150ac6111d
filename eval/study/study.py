"""A study from its options to its page: every step in order."""

import itertools
import time
from dataclasses import replace

from eval.study.checks import check_data, check_folder, write_mark
from eval.study.options import StudyCommand
from eval.study.outcome import print_outcome, read_outcome, write_outcome
from eval.study.work import extract_store, plan_jobs, train_and_score
from extract.encoders.protocol import EncoderSettings
from extract.encoders.registry import load_encoder
from store.runtime.cli import to_one_line
from store.runtime.errors import UserError


def study(command: StudyCommand) -> None:
    """Do what is missing of a study, then write its page and tables.

    Raises
    ------
    UserError
        If an option names nothing, a recording cannot be used, no fold can be made, a tested person is a training
        person, or the folder holds runs with other settings.
    """
    command.check()
    inner = check_folder(command)
    check_data(command, inner)
    pairs, skipped = find_pairs(command)
    write_mark(command, inner=inner)
    for text in skipped:
        print(f"skipped: {to_one_line(text)}")
    for encoder, features in pairs:
        extract_store(command, encoder, features, tested=False)
        if command.test_bids is not None:
            extract_store(command, encoder, features, tested=True)
    jobs = plan_jobs(command, pairs)
    for number, job in enumerate(jobs, start=1):
        begin = time.perf_counter()
        did_something = train_and_score(command, job, inner)
        took = f"{time.perf_counter() - begin:.0f} s" if did_something else "finished before"
        print(f"{number} of {len(jobs)}, {to_one_line(job)}: {took}", flush=True)
    outcome = read_outcome(command, jobs)
    print_outcome(command, outcome, write_outcome(command, outcome, skipped))


def find_pairs(command: StudyCommand) -> tuple[list[tuple[str, str]], list[str]]:
    """Encoders with features that they have, and what is skipped since they have not.

    Raises
    ------
    UserError
        If an encoder cannot be used at all, or no pair is left.
    """
    pairs, skipped = [], []
    for encoder, features in itertools.product(dict.fromkeys(command.encoders), dict.fromkeys(command.features)):
        settings = EncoderSettings(encoder=encoder, device=command.device)
        load_encoder(settings)  # raises if it cannot be used at all
        try:
            load_encoder(replace(settings, features=features))
        except UserError as error:
            skipped.append(f"{encoder}, {error}")
        else:
            pairs.append((encoder, features))
    if not pairs:
        raise UserError(f"no combination is left: {'; '.join(skipped)}; give other --encoders or --features")
    return pairs, skipped
