"""A run's numbers as they come in, and what follows from them: speed, time left."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from finetuneflow.common.v1 import worker_service_pb2

# Steps that speed is averaged over: enough to be calm, few enough to be current.
_RECENT = 20


class Series:
    """The points of a run, by step.

    A later attempt begins again after its checkpoint: its points take the place of the earlier ones from there on.
    """

    def __init__(self) -> None:
        self.total_steps = 0
        self.latest: dict[str, float] = {}
        self._points: dict[int, dict[str, float]] = {}
        self._times: dict[int, tuple[int, float]] = {}
        self._attempt = 0

    def add(self, report: worker_service_pb2.Report) -> None:
        """Take in a report; those without metrics are ignored."""
        if not report.HasField("metrics"):
            return
        step = report.metrics.step
        if report.attempt > self._attempt:
            self._attempt = report.attempt
            self._points = {s: p for s, p in self._points.items() if s < step}
        self.total_steps = report.metrics.total_steps or self.total_steps
        self._points.setdefault(step, {}).update(report.metrics.values)
        if "loss" in report.metrics.values:
            self._times[step] = (report.attempt, report.time.seconds + report.time.nanos / 1e9)
        self.latest.update(report.metrics.values)

    @property
    def step(self) -> int:
        """The newest step; 0 before the first."""
        return max(self._points, default=0)

    def curve(self, metric: str) -> list[tuple[float, float]]:
        """Return a metric's points, by step."""
        return [(step, self._points[step][metric]) for step in sorted(self._points) if metric in self._points[step]]

    def step_seconds(self) -> float:
        """Return the mean seconds of the recent steps, as measured or from the reports' times; 0 if unknown."""
        measured = [y for _, y in self.curve("step_seconds")][-_RECENT:]
        if measured:
            return sum(measured) / len(measured)
        span = self._recent()
        return span[1] / span[0] if span else 0.0

    def tokens_per_second(self) -> float:
        """Return the tokens trained on each second, as measured or from the recent steps' counts; 0 if unknown."""
        if "tokens_per_second" in self.latest:
            return self.latest["tokens_per_second"]
        tokens = [(step, self._points[step].get("num_tokens", 0.0)) for step in self._recent_steps()]
        seconds = self.step_seconds()
        # num_tokens starts again with an attempt; a difference below 0 says nothing.
        if len(tokens) < 2 or seconds <= 0 or tokens[-1][1] <= tokens[0][1]:
            return 0.0
        return (tokens[-1][1] - tokens[0][1]) / ((tokens[-1][0] - tokens[0][0]) * seconds)

    def seconds_left(self) -> float:
        """Return the seconds of training still to come; 0 if unknown or done."""
        return max(self.total_steps - self.step, 0) * self.step_seconds()

    def _recent_steps(self) -> list[int]:
        """Return the newest logged steps of the current attempt."""
        steps = [s for s, (attempt, _) in self._times.items() if attempt == self._attempt and s in self._points]
        return sorted(steps)[-_RECENT:]

    def _recent(self) -> tuple[int, float] | None:
        """Return steps and seconds between the oldest and the newest recent point; None if there are not two."""
        steps = self._recent_steps()
        if len(steps) < 2:
            return None
        return steps[-1] - steps[0], self._times[steps[-1]][1] - self._times[steps[0]][1]
