"""Objects of other packages: the working folder counts only for what the user named."""

import sys
from pathlib import Path

import pytest

from store.runtime.errors import UserError
from store.runtime.plugins import import_named, import_object


def test_only_what_the_user_named_is_imported_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lies_here.py").write_text("NUMBER = 3\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    with pytest.raises(UserError, match="lies_here:NUMBER: cannot be imported"):
        import_object("lies_here:NUMBER")
    assert import_named("lies_here:NUMBER") == 3
    monkeypatch.delitem(sys.modules, "lies_here")
