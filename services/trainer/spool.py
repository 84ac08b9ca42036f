"""Reports on disk until they are acknowledged."""

from __future__ import annotations

import os
import threading
from collections import deque
from pathlib import Path

from finetuneflow.common.v1 import worker_service_pb2 as pb

MAX_REPORTS = 1_000
"""Most reports in a batch."""
MAX_BYTES = 256 * 1024
"""Most bytes in a batch."""
_MARGIN = 1024
"""Room for the message around the reports and for their lengths."""


class Spool:
    """Numbered reports in an append-only file. Memory holds 3 integers per unacknowledged report. Safe for threads.

    The file serves one attempt: it bounds the memory while the service is away, and shows after a crash what was not
    acknowledged. It is not synced, since a later attempt makes those reports again, from its checkpoint on.

    Args:
        path: of the file; what is there is replaced.
        last_seq: highest seq that the service has; the first report gets the next.
    """

    def __init__(self, path: Path, last_seq: int) -> None:
        self._file = path.open("w+b", buffering=0)
        self._lock = threading.Lock()
        self._index: deque[tuple[int, int, int]] = deque()
        self._end = 0
        self._last = last_seq
        self._acknowledged = last_seq

    @property
    def last(self) -> int:
        """Highest seq given out."""
        return self._last

    @property
    def acknowledged(self) -> int:
        """Highest seq that the service has stored."""
        return self._acknowledged

    def append(self, report: pb.Report) -> int:
        """Give a report the next seq, write it and return the seq.

        Raises:
            OSError: the disk is full; the report is not in the spool and its seq stays free.
        """
        report.seq = self._last + 1
        data = report.SerializeToString()
        with self._lock:
            written = os.pwrite(self._file.fileno(), data, self._end)
            if written != len(data):
                raise OSError(28, f"only {written} of {len(data)} bytes were written")
            self._index.append((report.seq, self._end, len(data)))
            self._end += len(data)
            self._last = report.seq
        return report.seq

    def batch(self, after: int) -> list[pb.Report]:
        """Return the unacknowledged reports after a seq, in order: at most 1,000, and at most 256 KiB."""
        reports: list[pb.Report] = []
        size = _MARGIN
        with self._lock:
            for seq, offset, length in self._index:
                if seq <= after:
                    continue
                size += length + 8
                if len(reports) == MAX_REPORTS or (reports and size > MAX_BYTES):
                    break
                reports.append(pb.Report.FromString(os.pread(self._file.fileno(), length, offset)))
        return reports

    def acknowledge(self, seq: int) -> None:
        """Let go of every report up to a seq. Lower or repeated seqs change nothing."""
        with self._lock:
            self._acknowledged = max(self._acknowledged, min(seq, self._last))
            while self._index and self._index[0][0] <= seq:
                self._index.popleft()
            if not self._index and self._end > MAX_BYTES:
                os.ftruncate(self._file.fileno(), 0)
                self._end = 0

    def close(self) -> None:
        """Close the file; it stays."""
        self._file.close()
