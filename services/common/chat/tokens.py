"""A model's tokenizer and chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError
from tokenizers import Encoding, Tokenizer

from services.common.chat.rendering import Span, render, render_marked, with_reasoning
from services.common.errors import NotReady

Message = dict[str, Any]


@dataclass(frozen=True)
class Chat:
    """What makes tokens of conversations.

    Args:
        core: the tokenizer; truncation and padding are switched off.
        template: the model's own chat template, or several by name; None without one.
        special_tokens: "bos_token" → "<s>", and so on, as templates name them.
    """

    core: Tokenizer
    template: str | Mapping[str, str] | None
    special_tokens: Mapping[str, str]

    def __post_init__(self) -> None:
        self.core.no_truncation()
        self.core.no_padding()

    def own(self, tools: bool = False) -> str:
        """Return the model's template, its default one, or the one for tools, if it has several.

        Raises:
            NotReady: with reason NO_CHAT_TEMPLATE if there is none.
        """
        found = self.template
        if isinstance(found, Mapping):
            found = (found.get("tool_use") if tools else None) or found.get("default")
        if not found:
            raise NotReady(
                "The model's tokenizer has no chat template. Use an instruct model.", reason="NO_CHAT_TEMPLATE"
            )
        return str(found)

    def render(
        self,
        messages: Sequence[Message],
        template: str = "",
        answer: bool = False,
        tools: Sequence[dict[str, Any]] = (),
    ) -> str:
        """Return a conversation as text, by another template if one is given.

        Args:
            answer: whether only up to where the assistant is to speak.

        Raises:
            NotReady: the template refuses the conversation (CONVERSATION_REFUSED), or there is none.
        """
        try:
            return render(template or self.own(bool(tools)), self._variables(messages, answer, tools))
        except TemplateError as error:
            raise _refused(error) from error

    def mark(
        self, messages: Sequence[Message], template: str, tools: Sequence[dict[str, Any]] = ()
    ) -> tuple[str, list[Span]]:
        """Return a conversation as text and where the marked parts stand in it; see render."""
        try:
            return render_marked(template, self._variables(messages, False, tools))
        except TemplateError as error:
            raise _refused(error) from error

    def encode(self, text: str) -> Encoding:
        """Return a text's tokens; none is added."""
        return self.core.encode(text, add_special_tokens=False)

    def _variables(self, messages: Sequence[Message], answer: bool, tools: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return {
            **self.special_tokens,
            "messages": with_reasoning(messages),
            "tools": list(tools) or None,
            "documents": None,
            "add_generation_prompt": answer,
        }


def _refused(error: TemplateError) -> NotReady:
    said = (str(error).strip() or "it gives no reason").splitlines()[0][:200].rstrip(".")
    return NotReady(
        f"The model's chat template does not take a conversation of the dataset: {said}. Use another model, or a "
        "dataset whose conversations have only the roles that this one knows.",
        reason="CONVERSATION_REFUSED",
    )
