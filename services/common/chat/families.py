"""Chat templates of known families with the assistant's text marked.

Most files in templates/ are TRL's training templates (Copyright The HuggingFace Team, Apache-2.0), unchanged. Those of
Llama 3.1 and 3.2 and qwen3_turns are TRL's copies of the originals with marks; those of Phi-4, ChatML and Mistral are
our own. Which one is a model's is found by what it renders; see template.training_template.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from importlib import resources

CHATML, MISTRAL = "chatml", "mistral"

_CHATML = """\
{%- if messages[0]['role'] != 'system' %}{{- PREAMBLE }}{%- endif %}
{%- for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\\n' }}
    {%- if message['role'] == 'assistant' %}
        {%- generation %}
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
    """Return the templates that are files, by the family's name."""
    folder = resources.files("services.common.chat").joinpath("templates")
    files = [entry for entry in folder.iterdir() if entry.name.endswith(".jinja")]
    return {f.name.removesuffix(".jinja"): f.read_text(encoding="utf-8") for f in sorted(files, key=lambda f: f.name)}


def chatml(preamble: str) -> str:
    """Return ChatML with what stands before a conversation without a system message."""
    return _CHATML.replace("PREAMBLE", repr(preamble))


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
