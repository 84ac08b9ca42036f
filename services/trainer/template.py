"""Chat templates that say which of their text is the assistant's.

To train on answers alone, the tokenizer must know where they stand: the template marks them with
{% generation %} … {% endgeneration %}. Few stock templates do. A marked copy is made for training, the stock template
is what is exported, and both must render every example of the dataset to the same text.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from services.common.errors import NotReady
from services.trainer.rows import Message, Row

_CHATML = (
    "{%- if messages[0]['role'] != 'system' %}{{ PREAMBLE }}{%- endif %}"
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' }}"
    "{%- if message['role'] == 'assistant' %}"
    "{% generation %}{{- message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{%- else %}{{- message['content'] + '<|im_end|>' }}{%- endif %}"
    "{{- '\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)

_PROBE = "An unlikely question, to see what stands before it"


def training_template(tokenizer: Any, rows: Sequence[Row]) -> str:
    """Return a template that marks the assistant's text and renders all rows as the stock template does.

    Tried in order: the stock template, if it has marks; TRL's training copy, for the families that TRL knows; ChatML
    with the preamble that the stock template puts before a conversation without a system message.

    Raises:
        NotReady: with reason NO_CHAT_TEMPLATE if there is no template, or none of these renders the same.
    """
    require_template(tokenizer)
    for template in _candidates(tokenizer):
        if all(_same(tokenizer, template, row) for row in rows):
            return template
    raise NotReady(
        "The model's chat template cannot be marked for training on answers alone: no known template of its family "
        "renders this dataset the same. Set assistant_only_loss to false, or use another instruct model.",
        reason="NO_CHAT_TEMPLATE",
    )


def require_template(tokenizer: Any) -> str:
    """Return the stock template, its default one if it has several.

    Raises:
        NotReady: with reason NO_CHAT_TEMPLATE if there is none.
    """
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    if not template:
        raise NotReady("The model's tokenizer has no chat template. Use an instruct model.", reason="NO_CHAT_TEMPLATE")
    return str(template)


def require_tools(tokenizer: Any, rows: Sequence[Row]) -> None:
    """Refuse rows with tools for a model whose template has no place for them: nothing of them would be learnt.

    Raises:
        NotReady: with reason NO_CHAT_TEMPLATE; also if there is no template.
    """
    row = next((r for r in rows if r.tools or any(m.get("tool_calls") for m in r.messages)), None)
    if row is None:
        return
    require_template(tokenizer)
    called = [call["function"]["name"] for m in row.messages for call in m.get("tool_calls", ())]
    offered = [tool.get("function", tool).get("name", "") for tool in row.tools]
    text = render(tokenizer, row.messages, tools=row.tools)
    if not all(name in text for name in called or offered):
        raise NotReady(
            "The dataset has tools, and the model's chat template has no place for them. Use a model that was made to "
            "call tools, or a dataset without.",
            reason="NO_CHAT_TEMPLATE",
        )


def render(
    tokenizer: Any,
    messages: Sequence[Message],
    template: str | None = None,
    answer: bool = False,
    tools: Sequence[dict[str, Any]] = (),
) -> str:
    """Return a conversation as text; with `answer`, up to where the assistant is to speak."""
    text: str = tokenizer.apply_chat_template(
        list(messages), tools=list(tools) or None, chat_template=template, tokenize=False, add_generation_prompt=answer
    )
    return text


def _candidates(tokenizer: Any) -> Iterator[str]:
    from trl.chat_template_utils import get_training_chat_template, has_generation_markers

    stock = require_template(tokenizer)
    if has_generation_markers(stock):
        yield stock
        return
    # TRL raises ValueError for a template that it does not know, and probing an odd one may raise anything.
    with contextlib.suppress(Exception):
        known = get_training_chat_template(tokenizer)
        if known:
            yield known
    if "<|im_start|>" in stock:
        yield _CHATML.replace("PREAMBLE", repr(_preamble(tokenizer)))


def _preamble(tokenizer: Any) -> str:
    """What the stock template puts before the first message of a conversation without a system message."""
    text = render(tokenizer, [{"role": "user", "content": _PROBE}])
    return text.partition(f"<|im_start|>user\n{_PROBE}")[0]


def _same(tokenizer: Any, template: str, row: Row) -> bool:
    # A conversation that the stock template refuses raises here: the message is the template's own.
    stock = render(tokenizer, row.messages, tools=row.tools)
    try:
        return render(tokenizer, row.messages, template, tools=row.tools) == stock
    except Exception:
        return False
