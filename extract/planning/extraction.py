"""State of one extraction: its inputs, and the results so far."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cached_property

from extract.io.bids import Recording
from extract.planning.command import ExtractCommand
from extract.planning.subject import Subject, SubjectSource
from extract.planning.summary import Outcomes, Summary, explain_refusal, summarise


@dataclass(frozen=True)
class Extraction:
    """State of one extraction: its inputs, and the results so far."""

    command: ExtractCommand
    source: SubjectSource
    subjects: tuple[Subject, ...]
    tell: Callable[[str], object]
    outcomes: Outcomes = field(default_factory=Outcomes)

    @cached_property
    def durations_s(self) -> dict[Recording, float]:
        """Duration of each recording found, from its header."""
        return {item.recording: item.duration_s for subject in self.subjects for item in subject.found}

    def say(self, *lines: str) -> None:
        """Pass on lines that are not empty."""
        for line in filter(None, lines):
            self.tell(line)

    def summarise(self) -> Summary:
        """Summarise the extraction."""
        return summarise(
            self.source.data,
            self.subjects,
            self.command.store,
            self.outcomes,
            skip_unusable=self.command.skip_unusable,
            is_sharded=self.command.shard is not None,
            done=not self.command.check_only,
        )

    def explain_refusal(self, changing: Collection[str] = ()) -> str | None:
        """Say why no command opens the store; `changing` are subjects to pass over."""
        return explain_refusal(self.command.store, self.subjects, changing)
