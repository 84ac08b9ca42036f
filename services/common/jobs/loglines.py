"""Lines of what a program wrote: its last ones, and of what a progress bar wrote over itself, the last."""

from __future__ import annotations

LOG_BYTES = 10 * 1_048_576
"""How much of a log is kept, counted from its end."""


def log_lines(data: bytes) -> list[str]:
    """Return the lines of a log, without line ends, whatever its bytes are."""
    lines = data.decode(errors="replace").split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.rstrip("\r").rpartition("\r")[2] for line in lines]


class LogTail:
    """The end of a log that is still being written."""

    def __init__(self) -> None:
        self._data = bytearray()
        self.size = 0
        """Bytes that were ever taken in."""

    def feed(self, chunk: bytes) -> None:
        """Take in what was written next."""
        self._data += chunk
        self.size += len(chunk)
        if len(self._data) > 2 * LOG_BYTES:
            self._data = self._data[-LOG_BYTES:]

    def lines(self) -> list[str]:
        """Return the lines so far, of at most the last 10 MiB."""
        return log_lines(bytes(self._data[-LOG_BYTES:]))
