"""Chat templates made to text, as transformers does it: the same sandbox, filters, functions and marks.

A template comes with a model, so it is a stranger's program. It runs in jinja's sandbox, which keeps it from everything
but its arguments and not from taking long.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError, nodes, pass_eval_context
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jinja2 import Environment, Template
    from jinja2.nodes import EvalContext
    from jinja2.parser import Parser
    from jinja2.runtime import Macro

Span = tuple[int, int]
"""Characters of a text, from the first to the one after the last."""

_REASONING = ("reasoning_content", "thinking", "reasoning")
"""What a message's reasoning is called; templates read the first, some the second."""


def render(template: str, variables: Mapping[str, Any]) -> str:
    """Return what a template makes of its variables.

    Raises:
        jinja2.TemplateError: the template refuses them, or is none.
    """
    return _compiled(template).render(_plain(variables))


def render_marked(template: str, variables: Mapping[str, Any]) -> tuple[str, list[Span]]:
    """Return what a template makes of its variables, and where its marked parts stand in it; see render."""
    compiled, blocks, spans = _compiled(template), list[str](), list[Span]()
    marks: Any = compiled.environment
    with marks.marking(blocks, spans):
        for block in compiled.generate(_plain(variables)):
            blocks.append(block)  # a mark looks at the blocks that came before it
    return "".join(blocks), spans


def with_reasoning(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return messages with their reasoning under each name that templates know, and without what is None."""
    found = []
    for message in messages:
        kept = {name: value for name, value in message.items() if value is not None}
        reasoning = next((kept[name] for name in _REASONING if name in kept), None)
        found.append(kept if reasoning is None else {"thinking": reasoning, **kept, "reasoning_content": reasoning})
    return found


class _Marks(Extension):
    """{% generation %} … {% endgeneration %}: remembers where what stands between them comes out."""

    tags = {"generation"}  # noqa: RUF012  # jinja's own declaration

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.extend(marking=self._marking)
        self._blocks: list[str] | None = None
        self._spans: list[Span] = []

    def parse(self, parser: Parser) -> nodes.Node:
        """See jinja2.ext.Extension."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_marked"), [], [], body).set_lineno(line)

    @pass_eval_context
    def _marked(self, context: EvalContext, caller: Macro) -> str:
        text = caller()
        if self._blocks is not None:
            start = sum(map(len, self._blocks))
            self._spans.append((start, start + len(text)))
        return text

    @contextmanager
    def _marking(self, blocks: list[str], spans: list[Span]) -> Iterator[None]:
        self._blocks, self._spans = blocks, spans
        try:
            yield
        finally:
            self._blocks = None


@lru_cache(maxsize=128)
def _compiled(template: str) -> Template:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[_Marks, loopcontrols])
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)  # noqa: DTZ005  # as transformers
    return environment.from_string(template)


def _to_json(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: str) -> None:
    raise TemplateError(message)


def _plain(value: Any) -> Any:
    """Return a copy made of JSON's types alone."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or type(value) in (str, int, float, bool) else str(value)
