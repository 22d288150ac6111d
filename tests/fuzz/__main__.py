"""``python -m tests.fuzz``: inputs of every kind, changed at random, for as long as is wanted."""

import argparse
import os
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
import torch
from hypothesis import HealthCheck, Phase

from tests.fuzz.cases import KINDS
from tests.fuzz.sandbox import Finding

ROUND = 25  # cases of a kind before the next kind has its turn


@dataclass
class Findings:
    """Distinct findings, each with its shortest case."""

    counts: Counter[str] = field(default_factory=Counter)
    shortest: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add(self, kind: str, case: Any, error: Exception) -> None:
        """Keep a finding."""
        signature = error.signature if isinstance(error, Finding) else f"{type(error).__name__}: {error}"[:200]
        signature = f"[{kind}] {signature}"
        self.counts[signature] += 1
        text = repr(case)
        if signature not in self.shortest:
            print(f"finding {len(self.shortest) + 1}: {signature}\n  {text}\n{_short(error)}\n", flush=True)
        if signature not in self.shortest or len(text) < len(self.shortest[signature][0]):
            self.shortest[signature] = text, _short(error)


def main() -> int:
    """Fuzz until time is up; status 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=sorted(KINDS), nargs="+", default=sorted(KINDS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    findings, counts = Findings(), Counter[str]()
    note = Path(tempfile.gettempdir()) / f"fuzz-{os.getpid()}-last-case.txt"
    print(f"the case at work stands in {note}", flush=True)
    until, number = time.monotonic() + 60 * arguments.minutes, arguments.seed
    while time.monotonic() < until:
        for name in arguments.only:
            _round(name, number, until, note, findings, counts)
        number += 1
    note.unlink(missing_ok=True)
    print(f"{sum(counts.values())} cases ({', '.join(f'{name} {count}' for name, count in counts.items())})")
    for signature, count in findings.counts.most_common():
        case, detail = findings.shortest[signature]
        print(f"\n{count} x {signature}\n  {case}\n{detail}")
    print(f"\n{len(findings.counts)} findings")
    return 1 if findings.counts else 0


def _short(error: Exception) -> str:
    """The end of what was said, where tracebacks and summaries stand."""
    lines = str(error).splitlines()[1:]
    return "\n".join(f"    {line[:300]}" for line in (lines if len(lines) < 30 else ["...", *lines[-28:]]))


def _round(name: str, number: int, until: float, note: Path, findings: Findings, counts: Counter[str]) -> None:
    kind = KINDS[name]

    @hypothesis.seed(number)
    @hypothesis.settings(
        max_examples=ROUND,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(kind.cases)
    def round_of_cases(case: Any) -> None:
        if time.monotonic() > until:
            return
        counts[name] += 1
        note.write_text(f"{name}: {case!r}\n", encoding="utf-8", errors="backslashreplace")
        try:
            kind.run(case)
        except Exception as error:
            findings.add(name, case, error)

    round_of_cases()


if __name__ == "__main__":
    raise SystemExit(main())
