"""What was found about a run before it starts: problems, and which tokens have a loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from finetuneflow_client.cli import wording

if TYPE_CHECKING:
    from rich.text import Text

    from finetuneflow.training.v1 import check_pb2

_TRAINED = ("bold green", "bold bright_green")
_OTHER = ("dim", "")
"""Tokens side by side differ, so that one sees where each ends."""


def problem_lines(check: check_pb2.RunCheck) -> list[str]:
    """Return each problem with its field, and its remedy below."""
    from finetuneflow.training.v1 import check_pb2 as pb

    lines = []
    for problem in check.problems:
        word = "refused" if problem.severity == pb.Problem.SEVERITY_REFUSE else "warning"
        lines.append(f"{word}  {problem.field + ': ' if problem.field else ''}{problem.message}")
        if problem.remedy:
            lines.append(f"         {problem.remedy}")
    return lines


def label_facts(labels: check_pb2.LabelPreview) -> dict[str, str]:
    """Return the shares of a dataset's tokens and examples, by name."""
    checked, tokens = labels.checked_examples, labels.tokens
    of = f"{checked:,} of {wording.many(labels.train_examples, 'example')}" if checked < labels.train_examples else ""
    cut = f"{labels.truncated_examples:,} of {checked:,} examples ({labels.truncated_examples / max(checked, 1):.1%})"
    return {
        "examples": f"{labels.train_examples:,} to train on, "
        f"{labels.eval_examples - labels.recall_examples:,} held out, {labels.recall_examples:,} recall",
        "looked at": of,
        "trained on": f"{labels.supervised_tokens:,} of {wording.many(tokens, 'token')} "
        f"({labels.supervised_tokens / max(tokens, 1):.1%})",
        "cut": f"{cut}, {wording.many(labels.truncated_tokens, 'token')}" if labels.truncated_examples else "none",
        "left out": f"{labels.empty_examples:,} without a token to train on" if labels.empty_examples else "",
        "longest": wording.many(labels.longest_tokens, "token"),
        "marked by": "the model's own template" if labels.marked_by == "own" else f"the template of {labels.marked_by}",
    }


def answers(example: check_pb2.LabelledExample) -> list[tuple[str, Sequence[check_pb2.LabelledToken]]]:
    """Return an example's tokens; of a preference those with the chosen and those with the rejected answer, named."""
    if not example.rejected_tokens:
        return [("", example.tokens)]
    return [("chosen:", example.tokens), ("rejected:", example.rejected_tokens)]


def coloured(tokens: Sequence[check_pb2.LabelledToken]) -> Text:
    """Return tokens, green where they have a loss."""
    from rich.text import Text

    text = Text()
    for number, token in enumerate(tokens):
        text.append(shown(token.text), (_TRAINED if token.trained else _OTHER)[number % 2])
    return text


def marked(tokens: Sequence[check_pb2.LabelledToken]) -> str:
    """Return the text of tokens without colours: [[ and ]] around what has a loss."""
    return "".join(_marked(tokens))


def example_title(example: check_pb2.LabelledExample) -> str:
    """Return which example it is, and how much of it has a loss."""
    trained = sum(token.trained for token in example.tokens)
    cut = f", {wording.many(example.truncated_tokens, 'token')} cut off" if example.truncated_tokens else ""
    return f"{example.id}: {trained:,} of {wording.many(len(example.tokens), 'token')} trained on{cut}"


def _marked(tokens: Sequence[check_pb2.LabelledToken]) -> Iterator[str]:
    for trained, some in groupby(tokens, lambda token: token.trained):
        text = "".join(shown(token.text) for token in some)
        yield f"[[{text}]]" if trained else text


def shown(text: str) -> str:
    """Return a text without what would move a terminal's cursor or colour it."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "�" for letter in text)
