"""An export while it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finetuneflow_client import names
from finetuneflow_client.cli import wording
from finetuneflow_client.cli.view.files import bar

if TYPE_CHECKING:
    from rich.console import RenderableType

    from finetuneflow.export.v1 import export_pb2


class ExportView:
    """Shows an export from what WatchExport sends."""

    def __init__(self, name: str) -> None:
        self._title = names.short(name)
        self._export: export_pb2.Export | None = None

    def update(self, export: export_pb2.Export) -> None:
        """Take in the newest state."""
        self._export = export

    def mark(self) -> tuple[str, float]:
        """Return the phase and the share of it that is done."""
        if self._export is None:
            return "", 0.0
        at = self._export.work.progress
        reason = self._export.work.waiting.reason
        return f"{wording.state(self._export.work)} {at.phase} {reason}", at.done / at.total if at.total else 0.0

    def line(self) -> str:
        """Return the export in one line: "x1: running, export 1/3 files"."""
        if self._export is None:
            return ""
        work = self._export.work
        parts = [wording.state(work), wording.waiting(work) or wording.progress(work)]
        return f"export {self._title}: {', '.join(part for part in parts if part)}"

    def __rich__(self) -> RenderableType:
        """Return the export as a bar."""
        from rich.text import Text

        if self._export is None:
            return Text("")
        at = self._export.work.progress
        count = wording.counted(at.done, at.total, at.unit)
        return bar(
            f"export {self._title}",
            at.done,
            at.total,
            count,
            self._note(),
        )

    def _note(self) -> str:
        """Return the phase, and after the end the state."""
        if self._export is None:
            return ""
        phase = "" if self._export.work.end_time.seconds else self._export.work.progress.phase
        return phase or wording.state(self._export.work)
