"""Progress on stderr: a live view in a terminal; elsewhere a plain line for each noteworthy change."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

# A plain line is due when the phase changes, after this share of the work, or after this many seconds.
_SHARE = 0.1
_SECONDS = 5.0


class View(Protocol):
    """Something that goes on and can be looked at."""

    def line(self) -> str:
        """Return it in one line; empty while there is nothing to say."""
        ...

    def mark(self) -> tuple[str, float]:
        """Return the phase and the share of it that is done, 0 to 1."""
        ...

    def __rich__(self) -> RenderableType:
        """Return it as rich draws it."""
        ...


class Screen:
    """Writes progress and remarks.

    Args:
        stream: where to; None for stderr.
        quiet: whether only errors and warnings are written.
        clock: seconds that only grow, for the pace of plain lines.
    """

    def __init__(
        self, stream: TextIO | None = None, *, quiet: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._quiet = quiet
        self._clock = clock
        self._live: Live | None = None
        self._console: Console | None = None

    def say(self, text: str) -> None:
        """Write a remark, above the live view if there is one."""
        if not self._quiet:
            self.warn(text)

    def warn(self, text: str) -> None:
        """Write what must be read even if the user asked for quiet."""
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=self._stream, flush=True)

    def draw(self, renderable: RenderableType, text: str) -> None:
        """Write something of rich's once; elsewhere than in a terminal the text that says the same."""
        if self._quiet:
            return
        if self._is_terminal():
            self.console.print(renderable)
        else:
            self.say(text)

    @contextmanager
    def showing(self, view: View) -> Iterator[Callable[[], None]]:
        """Show a view for the length of the block; call what is yielded after each change of it."""
        if self._quiet:
            yield lambda: None
        elif not self._is_terminal():
            lines = _Lines(view, self.say, self._clock)
            try:
                yield lines.refresh
            finally:
                lines.refresh(due=True)
        else:
            from rich.live import Live

            with Live(get_renderable=lambda: view, console=self.console, refresh_per_second=4) as self._live:
                try:
                    yield lambda: None
                finally:
                    self._live.refresh()
                    self._live = None

    def _is_terminal(self) -> bool:
        """Return whether the stream is a terminal that can move its cursor."""
        return self._stream.isatty() and not self.console.is_dumb_terminal

    @property
    def console(self) -> Console:
        """The terminal as rich sees it."""
        if self._console is None:
            from rich.console import Console

            self._console = Console(file=self._stream, highlight=False)
        return self._console


class _Lines:
    """A view as plain lines, one for each noteworthy change."""

    def __init__(self, view: View, say: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._view = view
        self._say = say
        self._clock = clock
        self._phase, self._share, self._time, self._line = "", 0.0, clock(), ""

    def refresh(self, due: bool = False) -> None:
        """Write the view's line if it is due; with `due` in any case, unless it stands there already."""
        line, (phase, share), now = self._view.line(), self._view.mark(), self._clock()
        moved = phase != self._phase or round(share - self._share, 9) >= _SHARE or now - self._time >= _SECONDS
        if line and line != self._line and (due or moved):
            self._phase, self._share, self._time, self._line = phase, share, now, line
            self._say(line)
