"""Two models' answers, while they are made and afterwards."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from finetuneflow.training.v1 import chat_pb2, training_service_pb2

_TITLES = {chat_pb2.SIDE_BASE: "base model", chat_pb2.SIDE_TUNED: "tuned model"}


class ChatView:
    """Shows answers from what Generate sends.

    Args:
        sides: who answers.
    """

    def __init__(self, sides: Sequence[chat_pb2.Side.ValueType]) -> None:
        self._texts = dict.fromkeys(sides, "")
        self._waiting = ""
        self.done = False

    def update(self, update: training_service_pb2.GenerateResponse) -> None:
        """Take in what is new."""
        self._waiting = update.waiting
        if update.HasField("piece"):
            self._texts[update.piece.side] += update.piece.text
        elif update.HasField("answer"):
            self._texts[update.answer.side] = update.answer.text

    def line(self) -> str:
        """Return why nothing comes; answers are no progress and go to stdout."""
        return self._waiting

    def mark(self) -> tuple[str, float]:
        """Return the phase; there is no share."""
        return self._waiting, 0.0

    def __rich__(self) -> Table | Text:
        """Return the answers so far, nothing once they stand in the output."""
        if self.done:
            return Text("")
        if not any(self._texts.values()):
            return Text(self._waiting, "dim")
        return _table([_TITLES[side] for side in self._texts], list(self._texts.values()))


def answers_table(answers: Sequence[chat_pb2.ChatAnswer]) -> Table:
    """Return whole answers side by side, with what they took."""
    titles = [
        f"{_TITLES[a.side]}, {a.tokens} tokens in {a.seconds:.1f} s{', cut: --max-new-tokens' if a.cut else ''}"
        for a in answers
    ]
    return _table(titles, [answer.text.strip() for answer in answers])


def _table(titles: Sequence[str], texts: Sequence[str]) -> Table:
    table = Table(expand=True)
    for title in titles:
        table.add_column(title, ratio=1, overflow="fold")
    # As text: what a model says is no markup, and no command to the terminal.
    table.add_row(*[Text("".join(c if c.isprintable() or c == "\n" else " " for c in text)) for text in texts])
    return table
