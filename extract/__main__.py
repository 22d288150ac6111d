"""python -m extract: fill a store from a BIDS data set, and keep it up to date."""

if __name__ == "__main__":
    from braincodec_seizure import run_module

    raise SystemExit(run_module("extract.__main__"))

import sys
import time
from collections.abc import Sequence

from extract.pipeline import extract
from extract.planning.account import describe_reasons
from extract.planning.command import ExtractCommand
from extract.planning.summary import Summary
from store.runtime.cli import run, to_one_line
from store.runtime.commands import command_line
from store.runtime.plurals import count_noun, list_names


def _command(command: ExtractCommand) -> int:
    begin = time.perf_counter()
    summary = extract(command)
    if command.check_only:
        _print_account(summary, done=False)
        _print_refusal(summary)
        return int(summary.differs)
    elapsed_s = time.perf_counter() - begin
    encoded = f"{summary.encoded_hours:.2f} h of EEG encoded in {elapsed_s:.0f} s"
    print(f"{_describe_complete(command, summary)}; {encoded}")
    _print_account(summary, done=True)
    if summary.failures:
        hint = " (--skip-unusable publishes them without these recordings)" if summary.is_skippable else ""
        whose, what = (
            ("its subject stays", "it") if len(summary.failures) == 1 else ("their subjects stay", "them")
        )
        print(f"{len(summary.failures)} failed, {whose} unchanged until you fix {what}{hint}:", file=sys.stderr)
        for line in describe_reasons(summary.failures, summary.stems):
            print(f"  {to_one_line(line)}", file=sys.stderr)
    _print_refusal(summary)
    for warning in summary.warnings:
        print(f"warning: {to_one_line(warning)}", file=sys.stderr)
    if summary.failures or summary.refusal:
        return 1
    if summary.waiting:
        print(f"{count_noun(len(summary.waiting), 'subject')} wait for other shards; the last one publishes them")
        return 0
    print(f"inspect it with: {command_line('store', 'info', command.store)}")
    return 0


def _describe_complete(command: ExtractCommand, summary: Summary) -> str:
    """Say how many subjects are complete, or of those that were chosen, which, and how many there are."""
    if not command.subject or not summary.subjects:
        return f"{count_noun(len(summary.subjects), 'subject')} complete in {command.store}"
    names = list_names([f"sub-{subject}" for subject in summary.subjects])
    in_all = count_noun(len(list(command.store.glob("sub-*.h5"))), "subject")
    return f"{names} complete in {command.store}, which holds {in_all}"


def _print_account(summary: Summary, *, done: bool) -> None:
    for note in summary.notes:
        print(to_one_line(note))
    print(summary.account.describe(done=done))
    named_below = set(summary.failures) if done else set()
    left_out = [entry for entry in summary.account.left_out if entry not in named_below]
    for line in describe_reasons(left_out, summary.stems):
        print(f"  left out: {to_one_line(line)}")


def _print_refusal(summary: Summary) -> None:
    if summary.refusal:
        print(f"no command opens the store as it is: {to_one_line(summary.refusal)}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m extract``."""
    return run(
        _command,
        ExtractCommand,
        argv,
        module="extract",
        description="Encode the EEG of a BIDS data set into a store. Run again to bring the store up to date.\n\n"
        "Start with: --bids and --store, --check to see what would be done, --jobs for speed.",
        examples=["--bids chb-mit --store stores/chb-mit --subject 01 02"],
    )
