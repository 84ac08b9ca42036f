"""The losses of several runs in one plot on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from finetuneflow_client.cli.view import curve
from finetuneflow_client.cli.view.curve import Point

MARKS = "*o+x#@%&"
"""What stands for the dots of a line where there are no colours."""
COLOURS = ("cyan", "magenta", "yellow", "green", "red", "blue")
_HEIGHT = 12
_LABEL = 8
_BLANK = "\u2800"


class Curves:
    """A line for each run, on the width that there is; where two meet, the later one's colour or mark shows.

    Args:
        lines: run → its points, by step.
    """

    def __init__(self, lines: Mapping[str, Sequence[Point]]) -> None:
        self._lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        series = list(self._lines.values())
        inside = curve.frame(series, max(options.max_width - _LABEL, 10), _HEIGHT, 0)
        plain = console.color_system is None or console.no_color
        drawn = [curve.line(points, inside) for points in series]
        for row in range(_HEIGHT):
            value = {0: f"{inside.high:.3f}", _HEIGHT - 1: f"{inside.low:.3f}"}.get(row, "")
            text = Text.assemble((f"{value:>{_LABEL - 2}} │", "dim"))
            text.no_wrap = True
            for column in range(inside.width):
                number, dots = _cell([lines[row][column] for lines in drawn])
                mark = MARKS[number % len(MARKS)] if plain and dots != _BLANK else dots
                text.append(mark, COLOURS[number % len(COLOURS)])
            yield text
        yield Text(f"{'':>{_LABEL - 1}}└ loss by step, 0 to {inside.right:.0f}", "dim")
        legend = Text(" " * _LABEL)
        for number, name in enumerate(self._lines):
            legend.append(f"{MARKS[number % len(MARKS)] if plain else '━'} ", COLOURS[number % len(COLOURS)])
            legend.append(f"{name}  ")
        yield legend


def _cell(characters: Sequence[str]) -> tuple[int, str]:
    """Return the line whose colour a character gets, and all lines' dots in it."""
    dots = ord(_BLANK)
    number = 0
    for place, character in enumerate(characters):
        if character != _BLANK:
            number = place
            dots |= ord(character)
    return number, chr(dots)
