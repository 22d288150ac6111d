"""Check zip archives (the format of torch files) that come from outside."""

import zipfile
from pathlib import Path


def require_unpacked_size(path: Path) -> None:
    """Refuse an archive that unpacks to more than it holds; torch would unpack it into memory.

    Raises
    ------
    ValueError
        Saying both sizes.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            unpacked, size = sum(entry.file_size for entry in archive.infolist()), path.stat().st_size
        if unpacked > size:
            raise ValueError(f"unpacks to {unpacked} bytes, the file has {size}")
