"""Where the project, its test data and the real EEG lie."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
REAL = ROOT.parent / "shared" / "data"
