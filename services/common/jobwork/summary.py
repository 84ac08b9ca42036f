"""A curve in few points. Pure, but for the message type."""

from __future__ import annotations

from collections.abc import Mapping

from finetuneflow.common.v1 import worker_service_pb2 as pb

MOST = 1000


class Summary:
    """Takes the reports of a series in order and keeps at most 1,000 points, evenly, and the last.

    Of steps that a later attempt did again, the later points count.

    Args:
        from_steps: attempt → the step of the checkpoint that it began from.
    """

    def __init__(self, from_steps: Mapping[int, int]) -> None:
        self._from_steps = from_steps
        self._attempt = 0
        self._every = 1
        self._seen = 0
        self._kept: list[pb.MetricPoint] = []
        self._last: pb.MetricPoint | None = None

    def add(self, report: pb.Report) -> None:
        """Take in the next report."""
        if not report.HasField("metrics"):
            return
        if report.attempt != self._attempt:
            self._attempt, begun = report.attempt, self._from_steps.get(report.attempt, 0)
            self._kept = [point for point in self._kept if point.step <= begun]
        self._last = report.metrics
        if self._seen % self._every == 0:
            self._kept.append(report.metrics)
        self._seen += 1
        if len(self._kept) >= MOST:
            self._kept = self._kept[::2]
            self._every *= 2

    def points(self) -> list[pb.MetricPoint]:
        """Return the points."""
        if self._last is None or (self._kept and self._kept[-1] is self._last):
            return self._kept
        return [*self._kept, self._last]
