"""Chat templates of known families with the assistant's text marked.

Those here and in templates/ are for conversations without tools. Where TRL is installed, as beside the trainer, its
training templates are tried as well. Which is a model's is found by what it renders; see template.training_template.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from functools import lru_cache
from importlib import resources
from pathlib import Path

CHATML, MISTRAL, LLAMA = "chatml", "mistral", "llama"

_CHATML = """\
{%- if messages[0]['role'] != 'system' %}{{- PREAMBLE }}{%- endif %}
{%- for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\\n' }}
    {%- if message['role'] == 'assistant' %}
        {%- generation %}
        {%- if THINKS and loop.last %}
            {{- '<think>\\n' + (message['reasoning_content'] or '').strip('\\n') + '\\n</think>\\n\\n' }}
        {%- endif %}
        {{- message['content'] + '<|im_end|>' }}
        {%- endgeneration %}
    {%- else %}
        {{- message['content'] + '<|im_end|>' }}
    {%- endif %}
    {{- '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

_LLAMA = """\
{%- set system = messages[0]['content'] | trim if messages[0]['role'] == 'system' else none %}
{{- bos_token }}
{%- if PREAMBLE or system is not none %}
    {{- PREAMBLE or '<|start_header_id|>system<|end_header_id|>\\n\\n' }}
    {{- (system or '') + '<|eot_id|>' }}
{%- endif %}
{%- for message in (messages if system is none else messages[1:]) %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
    {%- if message['role'] == 'assistant' %}
        {%- generation %}
        {{- message['content'] | trim + '<|eot_id|>' }}
        {%- endgeneration %}
    {%- else %}
        {{- message['content'] | trim + '<|eot_id|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

_MISTRAL = """\
{%- set loop_messages = messages[1:] if messages[0]['role'] == 'system' else messages %}
{%- set system = messages[0]['content'] if messages[0]['role'] == 'system' else none %}
{{- bos_token }}
{%- if OWN and system is not none %}
    {{- '[SYSTEM_PROMPT]' + system + '[/SYSTEM_PROMPT]' }}
{%- elif OWN %}
    {{- PREAMBLE }}
{%- endif %}
{%- for message in loop_messages %}
    {%- if message['role'] == 'assistant' %}
        {{- LEAD }}
        {%- generation %}
        {{- (message['content'] | trim if TRIM else message['content']) + eos_token }}
        {%- endgeneration %}
    {%- else %}
        {{- OPEN }}
        {%- if system is not none and ((FIRST and loop.first) or (LAST and loop.last)) %}
            {{- system + '\\n\\n' }}
        {%- endif %}
        {{- message['content'] + CLOSE }}
    {%- endif %}
{%- endfor %}
"""

# How the releases of Mistral write a turn: what stands before and after a question and before an answer, whether an
# answer is trimmed, and where a system message goes: into the first question, into the last one, or apart.
_MISTRALS = (
    ("[INST] ", " [/INST]", "", False, "FIRST"),
    (" [INST] ", " [/INST]", " ", False, "FIRST"),
    ("[INST] ", "[/INST]", " ", True, "LAST"),
    ("[INST] ", "[/INST]", " ", False, "LAST"),
    ("[INST]", "[/INST]", "", False, "LAST"),
    ("[INST]", "[/INST]", "", False, "OWN"),
)


@lru_cache(maxsize=1)
def stored() -> dict[str, str]:
    """Return the templates that are files, by the family's name: ours, then those of TRL, where it is installed."""
    ours = resources.files("services.common.chat").joinpath("templates")
    found = {f.name.removesuffix(".jinja"): f.read_text(encoding="utf-8") for f in ours.iterdir()}
    folder = _library()
    for path in sorted(folder.glob("*_training.jinja")) if folder else ():
        found[f"trl {path.name.removesuffix('_training.jinja')}"] = path.read_text(encoding="utf-8")
    return found


def are_all() -> bool:
    """Whether TRL's templates are among those that are known here."""
    return _library() is not None


def _library() -> Path | None:
    # Found, not imported: it would load torch, and in a cluster's services there is no TRL at all.
    found = importlib.util.find_spec("trl")
    return Path(found.origin).parent / "chat_templates" if found and found.origin else None


def chatml(preamble: str) -> Iterator[str]:
    """Yield ChatML with what stands before a conversation without a system message; then with thoughts, as Qwen 3."""
    for thinks in ("false", "true"):
        yield _CHATML.replace("THINKS", thinks).replace("PREAMBLE", repr(preamble))


def llama(preamble: str) -> str:
    """Return the form of Llama 3 with what stands before a system message, up to it; "" where there is nothing."""
    return _LLAMA.replace("PREAMBLE", repr(preamble))


def mistrals(preamble: str) -> Iterator[str]:
    """Yield the forms of Mistral; the last has a preamble as ChatML may have."""
    for opening, closing, lead, trim, place in _MISTRALS:
        values = {
            "OPEN": repr(opening),
            "CLOSE": repr(closing),
            "LEAD": repr(lead),
            "TRIM": str(trim).lower(),
            **{name: str(name == place).lower() for name in ("FIRST", "LAST", "OWN")},
            # After the others, for it is a text that may hold their names.
            "PREAMBLE": repr(preamble),
        }
        template = _MISTRAL
        for name, value in values.items():
            template = template.replace(name, value)
        yield template
