"""From messages to token ids and labels, and the check that there is something to learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tokenizers import Encoding

from services.common.chat.rendering import Span
from services.common.chat.rows import Row
from services.common.chat.template import OWN, require_tools, training_template
from services.common.chat.tokens import Chat, Message
from services.common.errors import NotReady

IGNORED = -100
"""Label of a token that is not trained on."""


@dataclass(frozen=True)
class Encoded:
    """One example as the model sees it.

    Args:
        row: what it was made of.
        input_ids: tokens, at most max_length.
        labels: the same, or IGNORED where nothing is to be learnt.
        truncated: whether tokens were cut off at the end.
        worse: of a preference, the same prompt with the worse answer.
    """

    row: Row
    input_ids: list[int]
    labels: list[int]
    truncated: bool
    worse: Encoded | None = None

    @property
    def supervised(self) -> int:
        """Tokens that are trained on; of a preference none if one of its answers has none."""
        own = sum(label != IGNORED for label in self.labels)
        if self.worse is None:
            return own
        other = self.worse.supervised
        return own + other if own and other else 0

    @property
    def sequences(self) -> list[Encoded]:
        """What goes through the model: itself, and its worse half."""
        return [replace(self, worse=None), self.worse] if self.worse else [self]


@dataclass(frozen=True)
class Mask:
    """What of a set of examples is trained on.

    Args:
        examples: examples that went in.
        kept: examples with at least one supervised token within max_length; the rest is dropped.
        truncated: examples cut at max_length, kept or not.
        tokens: tokens of the kept examples.
        supervised_tokens: those of them that are trained on.
    """

    examples: int
    kept: int
    truncated: int
    tokens: int
    supervised_tokens: int


class Encoder:
    """Makes labelled tokens of rows, for training, evaluation and preview alike.

    Args:
        chat: tokenizer and stock template.
        rows: every row that will be encoded: the marked template must render all of them as the stock one does.
        max_length: longest example, in tokens.
        assistant_only: whether only the assistant's tokens are labelled.
        completion_only: whether only tokens after the prompt are labelled, which are those of the last answer.

    Raises:
        NotReady: with reason NO_CHAT_TEMPLATE or CONVERSATION_REFUSED; see training_template.
    """

    def __init__(
        self, chat: Chat, rows: Sequence[Row], max_length: int, assistant_only: bool, completion_only: bool = False
    ) -> None:
        require_tools(chat, rows)
        self._chat = chat
        self._max_length = max_length
        self._assistant_only = assistant_only
        self._completion_only = completion_only
        self.marked_by, self.template = training_template(chat, rows) if assistant_only else (OWN, chat.own())

    def encode_all(self, rows: Sequence[Row]) -> list[Encoded]:
        """Return rows as labelled tokens; raw texts follow each other and are cut into sequences of max_length."""
        if not any(row.raw for row in rows):
            return [self.encode(row) for row in rows]
        ids = [id for row in rows for id in self._text(row)]
        starts = range(0, len(ids), self._max_length)
        return [self._block(rows[0], ids[start : start + self._max_length]) for start in starts]

    def _text(self, row: Row) -> list[int]:
        """Return a raw text's tokens with the token that ends a text."""
        end = self._chat.special_tokens.get("eos_token", "")
        return [*self._chat.encode(row.reference).ids, *self._chat.encode(end).ids]

    def _block(self, row: Row, ids: list[int]) -> Encoded:
        return Encoded(row, ids, [IGNORED, *ids[1:]], truncated=False)

    def encode(self, row: Row) -> Encoded:
        """Return a row as labelled tokens, cut at max_length."""
        if row.objective in ("SFT", "PRETRAIN"):
            return self.show(row)[0]
        encoded = self._labelled(row, row.messages, row.asked)[0]
        if not row.rejected:
            return encoded
        # Both answers begin where the first of them leaves the prompt, as TRL has it.
        worse = self._labelled(row, (*row.asked, *row.rejected), row.asked)[0]
        start = min(begin(encoded.labels), begin(worse.labels))
        return replace(_from(encoded, start), worse=_from(worse, start))

    def show(self, row: Row) -> tuple[Encoded, list[str], int]:
        """Return a row as labelled tokens, the text of each of them, and how many were cut off.

        A character that takes several tokens is shown with the first; all texts together are what the template makes.
        Of a preference it is the better answer.
        """
        if row.raw:
            encoding, end = self._chat.encode(row.reference), self._max_length
            shown = self._block(row, list(encoding.ids)[:end])
            return shown, _texts(row.reference, encoding.offsets)[:end], max(0, len(encoding.ids) - end)
        return self._labelled(row, row.messages, row.prompt if row.objective == "SFT" else row.asked)

    def worse_texts(self, row: Row) -> list[str]:
        """Return the text of each token of a preference's prompt with its worse answer; see show."""
        return self._labelled(row, (*row.asked, *row.rejected), row.asked)[1]

    def _labelled(
        self, row: Row, messages: Sequence[Message], prompt: Sequence[Message]
    ) -> tuple[Encoded, list[str], int]:
        text, spans = self._chat.mark(messages, self.template, row.tools)
        encoding = self._chat.encode(text)
        ids = list(encoding.ids)
        mask = _mask(encoding, spans) if self._assistant_only else [True] * len(ids)
        labels = [token if bit else IGNORED for token, bit in zip(ids, mask, strict=True)]
        # The first token is predicted from nothing.
        unlabelled = max(1, _shared(ids, self._up_to(prompt, row)) if self._completion_only else 1)
        labels[:unlabelled] = [IGNORED] * min(unlabelled, len(labels))
        end = self._max_length
        encoded = Encoded(row, ids[:end], labels[:end], truncated=len(ids) > end)
        return encoded, _texts(text, encoding.offsets)[:end], max(0, len(ids) - end)

    def prompt_ids(self, row: Row) -> list[int]:
        """Return the tokens up to where the assistant is to answer, by the stock template."""
        return self._up_to(row.prompt, row)

    def _up_to(self, prompt: Sequence[Message], row: Row) -> list[int]:
        return list(self._chat.encode(self._chat.render(prompt, answer=True, tools=row.tools)).ids)


def _mask(encoding: Encoding, spans: Sequence[Span]) -> list[bool]:
    """Return which tokens begin or go on inside a span, as transformers decides it for assistant_masks."""
    mask = [False] * len(encoding.ids)
    for start, end in spans:
        first, last = encoding.char_to_token(start), encoding.char_to_token(end - 1)
        if first is None:
            break
        for token in range(first, last + 1 if last else len(mask)):
            mask[token] = True
    return mask


def _texts(text: str, offsets: Sequence[Span]) -> list[str]:
    """Return the part of a text that each token adds; what no token covers goes with the next one."""
    found, shown = list[str](), 0
    for _, end in offsets:
        found.append(text[shown:end])
        shown = max(shown, end)
    return found


def begin(labels: Sequence[int]) -> int:
    """Return the place of the first token that is trained on; the length if there is none."""
    return next((place for place, label in enumerate(labels) if label != IGNORED), len(labels))


def _from(encoded: Encoded, start: int) -> Encoded:
    """Return a sequence that is labelled from a place on."""
    ids = encoded.input_ids
    return replace(encoded, labels=[*[IGNORED] * min(start, len(ids)), *ids[start:]])


def _shared(ids: Sequence[int], prompt: Sequence[int]) -> int:
    """Return how many tokens two sequences share at the start: a template may end a prompt as no answer begins."""
    return next((n for n, (one, other) in enumerate(zip(ids, prompt, strict=False)) if one != other), len(prompt))


def measure(encoded: Sequence[Encoded]) -> Mask:
    """Count what of a set of examples is trained on."""
    kept = [e for e in encoded if e.supervised]
    return Mask(
        examples=len(encoded),
        kept=len(kept),
        truncated=sum(any(s.truncated for s in e.sequences) for e in encoded),
        tokens=sum(len(s.input_ids) for e in kept for s in e.sequences),
        supervised_tokens=sum(e.supervised for e in kept),
    )


def require_whole(mask: Mask, most: float) -> None:
    """Refuse a training set of which more than a share is cut.

    Raises:
        NotReady: with reason TRUNCATION_EXCEEDED.
    """
    if mask.truncated > most * mask.examples:
        raise NotReady(
            f"{mask.truncated} of {mask.examples} training examples ({mask.truncated / mask.examples:.0%}) are longer "
            f"than max_length and lose their end; at most {most:.0%} may. Raise max_length, cut the documents into "
            "smaller chunks, or accept it with a higher max_truncated.",
            reason="TRUNCATION_EXCEEDED",
            metadata={"examples": str(mask.examples), "truncated": str(mask.truncated)},
        )


def require_supervision(mask: Mask) -> None:
    """Refuse a training set that teaches nothing.

    Raises:
        NotReady: with reason EMPTY_LOSS_MASK if no token is supervised.
    """
    if mask.supervised_tokens == 0:
        raise NotReady(
            f"None of the {mask.examples} training examples has a token to train on: {mask.truncated} are longer than "
            "max_length, the others show no answer in the chat template. Raise max_length, or use another model.",
            reason="EMPTY_LOSS_MASK",
            metadata={"examples": str(mask.examples), "truncated": str(mask.truncated)},
        )
