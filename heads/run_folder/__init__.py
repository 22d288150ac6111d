"""A run folder: what was trained, on what, with which result. Loads no torch."""

from heads.run_folder.config import follow_context, is_before_context, resolve_inner, with_old_context
from heads.run_folder.fold_result import FoldResult
from heads.run_folder.follow import StaleError, follow_store, require_current
from heads.run_folder.given_split import plan_folds, record_choice, require_groups
from heads.run_folder.repeat import describe_head
from heads.run_folder.run import Run, describe_run

__all__ = [
    "FoldResult",
    "Run",
    "StaleError",
    "describe_head",
    "describe_run",
    "follow_context",
    "follow_store",
    "is_before_context",
    "plan_folds",
    "record_choice",
    "require_current",
    "require_groups",
    "resolve_inner",
    "with_old_context",
]
