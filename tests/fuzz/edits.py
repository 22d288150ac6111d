"""Edits that any file can suffer, whatever it holds."""

import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

TEXTS = (  # a user's, a machine's and a villain's
    *("", " ", "n/a", "N/A", "nan", "0", "1.0", "001", "None", "x y", "a/b", "../../x", "..", ".", "/tmp/x", "~"),
    *("final", "all", "mean", "sd", "con", "-x", "--help", "=1+1", "@x", "+1", "a,b", 'a"b', "a'b", "a;b", "a%b"),
    *(
        "é",
        "e\u0301",
        "日本語",
        "😀",
        "\u202ex",
        "\x1b[31mx",
        "a\x00b",
        "a\rb",
        "a\nb",
        "a\tb",
        "\ufeffx",
        "x" * 300,
    ),
)
JSON_VALUES = (
    *(None, True, -1, 0, 2, 0.5, 10**30, 2**63, -1e308, math.nan, math.inf, "", "x", "../../x", "\ud800"),
    *("é" * 300, [], {}, [None], ["x", "x"], {"a": 1}, [[1]]),
)
texts = st.sampled_from(TEXTS) | st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
fractions = st.floats(0, 1, exclude_max=True, width=32)


@dataclass(frozen=True)
class FileEdit:
    """A file becomes something else; ``at`` is where in it, as a share of its length."""

    what: str
    at: float = 0.0
    byte: int = 255

    def apply(self, path: Path) -> None:
        """Edit the file in its place."""
        content = path.read_bytes()
        if (edited := _CONTENTS[self.what](content, int(self.at * len(content)), self.byte)) is not None:
            path.write_bytes(edited)
            return
        path.unlink()
        match self.what:
            case "folder":
                path.mkdir()
            case "fifo":
                os.mkfifo(path)
            case "dangling link":
                path.symlink_to("../../.git/annex/objects/xx/yy/SHA256E-s1--aa/SHA256E-s1--aa")
            case "loop":
                path.symlink_to(path.name)
            case "device":
                path.symlink_to("/dev/zero")


Edit = Callable[[bytes, int, int], bytes | None]
_CONTENTS: dict[str, Edit] = {
    "gone": lambda content, at, byte: None,
    "folder": lambda content, at, byte: None,
    "fifo": lambda content, at, byte: None,
    "dangling link": lambda content, at, byte: None,
    "loop": lambda content, at, byte: None,
    "device": lambda content, at, byte: None,
    "empty": lambda content, at, byte: b"",
    "cut": lambda content, at, byte: content[:at],
    "headless": lambda content, at, byte: content[at:],
    "flip": lambda content, at, byte: (
        content[:at] + bytes([content[at] ^ (byte or 1)]) + content[at + 1 :] if content else b"x"
    ),
    "zeros": lambda content, at, byte: content[:at] + bytes(byte) + content[at + byte :],
    "insert": lambda content, at, byte: content[:at] + bytes([byte]) + content[at:],
    "grown": lambda content, at, byte: content + bytes([byte]) * 7,
    "twice": lambda content, at, byte: content + content,
    "text": lambda content, at, byte: b"hello\n",
    "page": lambda content, at, byte: b"<!DOCTYPE html><html>404</html>",
    "pointer": lambda content, at, byte: b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 1\n",
}
file_edits = st.builds(FileEdit, st.sampled_from(sorted(_CONTENTS)), fractions, st.integers(0, 255))
byte_edits = st.builds(
    FileEdit,
    st.sampled_from(["empty", "cut", "headless", "flip", "zeros", "insert", "grown", "twice"]),
    fractions,
    st.integers(0, 255),
)


@dataclass(frozen=True)
class JsonEdit:
    """One place of a JSON text changes; ``at`` says which, as a share of all places."""

    what: str
    at: float = 0.0
    value: int = 0  # of JSON_VALUES

    def apply(self, text: str) -> bytes:
        """The edited text."""
        match self.what:
            case "deep":
                return b"[" * 100_000
            case "bom":
                return text.encode("utf-8-sig")
            case "utf-16":
                return text.encode("utf-16")
            case "trailing":
                return (text + "}").encode()
            case "list":
                return f"[{text}]".encode()
            case "huge number":
                return text.replace("1", "1" * 5000, 1).encode()
        content = json.loads(text)
        places = list(_places(content))
        if not places:
            return json.dumps(JSON_VALUES[self.value]).encode()
        holder, key = places[int(self.at * len(places))]
        match self.what:
            case "set":
                holder[key] = JSON_VALUES[self.value]
            case "remove":
                del holder[key]
            case "rename" if isinstance(holder, dict):
                holder[f"{key}x"] = holder.pop(key)
            case "wrap":
                holder[key] = [holder[key]]
            case "as text":
                holder[key] = str(holder[key])
        return json.dumps(content, sort_keys=True).encode()


json_edits = st.builds(
    JsonEdit,
    st.sampled_from(["set"] * 6 + ["remove"] * 3 + ["rename", "wrap", "as text"])
    | st.sampled_from(["deep", "bom", "utf-16", "trailing", "list", "huge number"]),
    fractions,
    st.integers(0, len(JSON_VALUES) - 1),
)


def _places(content: Any) -> Any:
    """Every place of a JSON value that can be set: its holder and the key or index."""
    keys = (
        content.keys() if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ()
    )
    for key in list(keys):
        yield content, key
        yield from _places(content[key])
