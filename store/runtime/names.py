"""Names as parts of paths, and parts of paths as names."""

import hashlib
import string
from collections.abc import Sequence
from pathlib import Path

_ALLOWED = frozenset((string.ascii_letters + string.digits + "._-").encode())
_RESERVED = frozenset(
    [
        "final",
        "all",
        "split",
        "con",
        "prn",
        "aux",
        "nul",
        *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10)),
    ]
)
_LONGEST = 120  # bytes; file systems allow 255, with what commands add


def is_bare(name: str) -> bool:
    """Whether a name can only be that of something known, not a file: it has neither a folder nor a suffix.

    >>> [is_bare(name) for name in ("bandpwer", "a/b", "b.pt", "")]
    [True, False, False, True]
    """
    return "/" not in name and "." not in name


def to_path_name(name: str) -> str:
    """Write any name as a file name, two names never as the same one.

    Letters, digits, ``-``, ``_`` and ``.`` within stay; other bytes of the UTF-8 text become ``%XX``, as does the
    first of names with a meaning of their own. Very long names end in their sha256.

    >>> [to_path_name(name) for name in ("01", "site/1", "../x", "final", "Jos\u00e9")]
    ['01', 'site%2F1', '%2E.%2Fx', '%66inal', 'Jos%C3%A9']
    """
    content = name.encode("utf-8", "surrogatepass")
    reserved = name.split(".")[0].casefold() in _RESERVED
    escaped = "".join(
        f"%{byte:02X}" if byte not in _ALLOWED or (index == 0 and (reserved or byte in b".-")) else chr(byte)
        for index, byte in enumerate(content)
    )
    if escaped.endswith("."):
        escaped = f"{escaped[:-1]}%2E"
    if len(escaped) <= _LONGEST:
        return escaped or "%"
    return f"{escaped[: _LONGEST - 66]}%%{hashlib.sha256(content).hexdigest()}"


def name_apart(paths: Sequence[Path]) -> list[str]:
    """Names of different files or folders: the last part of their paths, or those that tell them apart.

    >>> name_apart([Path("/runs/a"), Path("/runs/b")])
    ['a', 'b']
    >>> name_apart([Path("/a/seeds"), Path("/b/seeds")])
    ['a', 'b']
    >>> name_apart([Path("/a/seeds"), Path("/b/seeds"), Path("/b/one")])
    ['a/seeds', 'b/seeds', 'b/one']
    """
    ends = [path.resolve().parts[::-1] for path in paths]  # from the last part on
    depth = max(map(len, ends), default=0)
    taken = next((count for count in range(1, depth) if len({end[:count] for end in ends}) == len(ends)), depth)
    shared = next((count for count in range(taken) if len({end[count] for end in ends}) > 1), 0)
    return ["/".join(reversed(end[shared:taken])) for end in ends]
