"""Chat templates that say which of their text is the assistant's.

To train on answers alone, the tokenizer must know where they stand: the template marks them with
{% generation %} … {% endgeneration %}. Few stock templates do. A marked copy is made for training, the stock template
is what is exported, and both must render every example of the dataset to the same text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from services.common.chat import families
from services.common.chat.rows import Row
from services.common.chat.tokens import Chat
from services.common.errors import NotReady

OWN = "own"
"""What a template is called that is the model's own."""

_MARKED = re.compile(r"\{%-?\s*generation\s*-?%\}")
_PROBE = "An unlikely question, to see what stands before it"


def training_template(chat: Chat, rows: Sequence[Row]) -> tuple[str, str]:
    """Return a template that marks the assistant's text and renders all rows as the stock template does; and its name.

    Tried in order: the stock template, if it has marks; the forms of ChatML, Mistral and Llama, with the preamble that
    the stock template puts before a conversation without a system message; the marked templates of other families.

    Raises:
        NotReady: with reason NO_CHAT_TEMPLATE if there is no template, or none of these renders the same, and with
            LABELS_UNCHECKED where TRL's are not among them; with CONVERSATION_REFUSED if the stock template refuses a
            row.
    """
    if _MARKED.search(chat.own()):
        return OWN, chat.own()
    texts: list[str] = []
    for name, template in _candidates(chat):
        if all(_same(chat, template, row, texts, number) for number, row in enumerate(rows)):
            return name, template
    if not families.are_all():
        raise NotReady(
            "No chat template that is known here renders this dataset as the model's does. The trainer knows more of "
            "them, and checks the labels when it starts.",
            reason="LABELS_UNCHECKED",
        )
    raise NotReady(
        "The model's chat template cannot be marked for training on answers alone: no known template of its family "
        "renders this dataset the same. Set assistant_only_loss to false, or use another instruct model.",
        reason="NO_CHAT_TEMPLATE",
    )


def require_tools(chat: Chat, rows: Sequence[Row]) -> None:
    """Refuse rows with tools for a model whose template has no place for them: nothing of them would be learnt.

    Raises:
        NotReady: with reason NO_CHAT_TEMPLATE; also if there is no template.
    """
    row = next((r for r in rows if r.tools or any(m.get("tool_calls") for m in r.messages)), None)
    if row is None:
        return
    called = [call["function"]["name"] for m in row.messages for call in m.get("tool_calls", ())]
    offered = [tool.get("function", tool).get("name", "") for tool in row.tools]
    text = chat.render(row.messages, tools=row.tools)
    if not all(name in text for name in called or offered):
        raise NotReady(
            "The dataset has tools, and the model's chat template has no place for them. Use a model that was made to "
            "call tools, or a dataset without.",
            reason="NO_CHAT_TEMPLATE",
        )


def _candidates(chat: Chat) -> Iterator[tuple[str, str]]:
    stock = chat.own()
    if "<|im_start|>" in stock:
        for template in families.chatml(_before(chat, "<|im_start|>user\n")):
            yield families.CHATML, template
    if "[INST]" in stock:
        for template in families.mistrals(_before(chat, "[INST]").removeprefix(_bos(chat))):
            yield families.MISTRAL, template
    if "<|start_header_id|>" in stock:
        before = _before(chat, "<|start_header_id|>user<|end_header_id|>\n\n").removeprefix(_bos(chat))
        yield families.LLAMA, families.llama(before.removesuffix("<|eot_id|>"))
    yield from families.stored().items()


def _before(chat: Chat, opening: str) -> str:
    """What the stock template puts before the first message of a conversation without a system message."""
    text = chat.render([{"role": "user", "content": _PROBE}])
    return text.partition(f"{opening}{_PROBE}")[0]


def _bos(chat: Chat) -> str:
    return chat.special_tokens.get("bos_token", "")


def _same(chat: Chat, template: str, row: Row, texts: list[str], number: int) -> bool:
    """Whether a template renders a row as the stock one does, whose texts are kept from one candidate to the next."""
    if number == len(texts):
        # A conversation that the stock template refuses raises here: the message is the template's own.
        texts.append(chat.render(row.messages, tools=row.tools))
    try:
        return chat.render(row.messages, template, tools=row.tools) == texts[number]
    except Exception:  # a template of another family may fail on it in any way
        return False
