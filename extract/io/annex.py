"""Files whose content git-annex or DataLad has not fetched."""

from pathlib import Path

_POINTERS = (b"/annex/objects/", b"version https://git-lfs.github.com/")  # in the place of content
_MOST_POINTER_BYTES = 1 << 10


def explain_absent_content(path: Path) -> str | None:
    """Say that a file's content has not been fetched and how to fetch it; None if it is there, or no such file."""
    if path.is_symlink() and not path.exists():
        return f"its content has not been fetched (a link to nothing); {_remedy(path)}"
    try:
        if path.is_file() and path.stat().st_size <= _MOST_POINTER_BYTES:
            with path.open("rb") as file:
                if file.read(_MOST_POINTER_BYTES).startswith(_POINTERS):
                    return f"its content has not been fetched (a pointer to it); {_remedy(path)}"
    except OSError:  # reading it will say what is wrong
        return None
    return None


def _remedy(path: Path) -> str:
    return f"fetch it with: datalad get {path.name} (or git annex get)"
