"""A run folder: what was trained, on what, with which result. Loads no torch."""

from heads.run_folder.config import resolve_inner
from heads.run_folder.fold_result import FoldResult
from heads.run_folder.run import Run, describe_run

__all__ = ["FoldResult", "Run", "describe_run", "resolve_inner"]
