"""Sources of bytes for what reads them as they come."""

import io


class BytesInParts(io.BytesIO):
    """Bytes of which at most ``part`` come at once, as from a pipe."""

    def __init__(self, content: bytes, part: int) -> None:
        super().__init__(content)
        self._part = part

    def read1(self, size: int | None = -1, /) -> bytes:
        """The next part, or less where less is asked for."""
        return self.read(self._part if size is None or size < 0 else min(size, self._part))
