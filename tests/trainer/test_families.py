"""Chat templates of known families are marked by copies that render the same, and labels are those of the library."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from services.common.chat import families
from services.common.chat.encode import IGNORED, Encoder
from services.common.chat.rows import Row
from services.common.errors import NotReady
from services.trainer.model import chat_of
from tests.fakes.tiny_model import CHATML

TALK = (
    {"role": "user", "content": "One?"},
    {"role": "assistant", "content": "First."},
    {"role": "user", "content": "Zwei ü?"},
    {"role": "assistant", "content": "Second 🙂."},
)
SYSTEM = ({"role": "system", "content": "Be short."}, *TALK)
_ROLES = (
    "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
)
MISTRAL = {
    "mistral 0.1": _ROLES + "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% else %}{{ message['content'] + eos_token }}{% endif %}{% endfor %}",
    "mistral 0.2": "{% if messages[0]['role'] == 'system' %}{% set system_message = messages[0]['content'] %}"
    "{% set loop_messages = messages[1:] %}{% else %}{% set loop_messages = messages %}{% endif %}{{ bos_token }}"
    "{% for message in loop_messages %}{% if message['role'] == 'user' %}"
    "{% if loop.first and system_message is defined %}"
    "{{ ' [INST] ' + system_message + '\n\n' + message['content'] + ' [/INST]' }}"
    "{% else %}{{ ' [INST] ' + message['content'] + ' [/INST]' }}{% endif %}"
    "{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}",
    "mistral 0.3": _ROLES + "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + '[/INST]' }}"
    "{% else %}{{ ' ' + message['content'] | trim + eos_token }}{% endif %}{% endfor %}",
    "mistral nemo": _ROLES + "{% if message['role'] == 'user' %}{{ '[INST]' + message['content'] + '[/INST]' }}"
    "{% else %}{{ message['content'] + eos_token }}{% endif %}{% endfor %}",
    "mistral small": "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ '[SYSTEM_PROMPT]' + messages[0]['content'] + '[/SYSTEM_PROMPT]' }}{% set messages = messages[1:] %}"
    "{% else %}{{ '[SYSTEM_PROMPT]You are FIRST of all Mistral.[/SYSTEM_PROMPT]' }}{% endif %}"
    "{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST]' + message['content'] + '[/INST]' }}"
    "{% else %}{{ message['content'] + eos_token }}{% endif %}{% endfor %}",
}
PHI4 = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '<|im_sep|>' + message['content'] + "
    "'<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}"
)
PHI4_MINI = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}"
)
QWEN2 = CHATML.replace(
    "{% for message in messages %}",
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}",
)
SHIPPED = ("llama3", "llama3_1", "llama3_2", "qwen2_5", "qwen3", "gemma", "gemma3", "phi3", "phi3_5", "cohere")
WITHOUT_SYSTEM = ("gemma", "mistral 0.1", "mistral 0.3", "mistral nemo", "phi3_5", "cohere")
"""Those that refuse a system message, or whose copy here has no place for one."""


def shipped(name: str) -> str:
    """A stock template as TRL ships it."""
    return resources.files("trl").joinpath("chat_templates", f"{name}.jinja").read_text(encoding="utf-8")


def stock(family: str) -> str:
    """The stock template of a family."""
    own = {**MISTRAL, "phi4": PHI4, "phi4_mini": PHI4_MINI, "smollm": CHATML, "qwen2": QWEN2}
    return own.get(family) or shipped(family)


FAMILIES = (*SHIPPED, *MISTRAL, "phi4", "phi4_mini", "smollm", "qwen2")


@pytest.fixture(scope="module")
def tokenizer(model: Path) -> Any:
    """The tiny model's tokenizer with a token at the beginning; each test sets its template."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model, bos_token="<|endoftext|>")


def talks(family: str) -> list[Row]:
    """Conversations that a family's template takes."""
    taken = [TALK] if family in WITHOUT_SYSTEM else [TALK, SYSTEM]
    return [Row(str(n), "TRAIN", messages) for n, messages in enumerate(taken)]


@pytest.mark.parametrize("completion_only", [False, True], ids=["", "completion"])
@pytest.mark.parametrize("assistant_only", [True, False], ids=["assistant", "full"])
@pytest.mark.parametrize("family", FAMILIES)
def test_labels_are_those_of_the_library(
    tokenizer: Any, family: str, assistant_only: bool, completion_only: bool
) -> None:
    """The same tokens as by the stock template, transformers' own mask of the marked one, prompts by the stock one."""
    tokenizer.chat_template = stock(family)
    rows = talks(family)
    encoder = Encoder(chat_of(tokenizer), rows, 512, assistant_only, completion_only)
    for row in rows:
        messages = list(row.messages)
        theirs = tokenizer.apply_chat_template(messages)["input_ids"]
        mask = [1] * len(theirs)
        if assistant_only:
            marked = tokenizer.apply_chat_template(
                messages, chat_template=encoder.template, return_assistant_tokens_mask=True
            )
            assert marked["input_ids"] == theirs
            mask = marked["assistant_masks"]
        start = 1
        if completion_only:
            prompt = tokenizer.apply_chat_template(messages[:-1], add_generation_prompt=True)["input_ids"]
            pairs = enumerate(zip(theirs, prompt, strict=False))
            start = max(1, next((n for n, (one, other) in pairs if one != other), len(prompt)))
        encoded, texts, cut = encoder.show(row)

        assert encoded.input_ids == theirs
        assert encoded.labels == [
            token if bit and n >= start else IGNORED for n, (token, bit) in enumerate(zip(theirs, mask, strict=True))
        ]
        assert "".join(texts) == tokenizer.apply_chat_template(messages, tokenize=False)
        assert cut == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_of_each_family_the_answers_and_nothing_of_the_questions_is_supervised(tokenizer: Any, family: str) -> None:
    """Both answers with what ends them; no header, no question, no system message."""
    tokenizer.chat_template = stock(family)
    rows = talks(family)
    encoder = Encoder(chat_of(tokenizer), rows, 512, assistant_only=True)
    encoded, texts, _ = encoder.show(rows[-1])
    pairs = zip(texts, encoded.labels, strict=True)
    supervised = "".join(text if label != IGNORED else "\0" for text, label in pairs)
    said = [part for part in supervised.split("\0") if part]

    assert "".join(said).count("First.") == "".join(said).count("Second 🙂.") == 1
    assert len("".join(said)) > len("First.Second 🙂.")
    assert "?" not in "".join(said)
    assert "short" not in "".join(said)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "cohere"])
def test_without_the_library_our_own_do(tokenizer: Any, family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service in a cluster has no TRL: it tells the same labels, without tools, of all but Cohere's."""
    tokenizer.chat_template = stock(family)
    rows = talks(family)
    ours = {name: text for name, text in families.stored().items() if not name.startswith("trl ")}
    monkeypatch.setattr(families, "stored", lambda: ours)
    encoder = Encoder(chat_of(tokenizer), rows, 512, assistant_only=True)

    assert sum(label != IGNORED for row in rows for label in encoder.encode(row).labels) > 0
    assert "{%- generation %}" in encoder.template


def test_without_the_library_nothing_is_refused_that_it_may_know(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cohere's is TRL's alone: a service without it leaves the answer to the trainer."""
    tokenizer.chat_template = stock("cohere")
    monkeypatch.setattr(families, "_library", lambda: None)
    families.stored.cache_clear()
    with pytest.raises(NotReady) as caught:
        Encoder(chat_of(tokenizer), talks("cohere"), 512, assistant_only=True)
    families.stored.cache_clear()

    assert caught.value.reason == "LABELS_UNCHECKED"


def test_a_conversation_that_the_template_refuses_is_said_so(tokenizer: Any) -> None:
    """In the template's own words: Gemma takes no system message."""
    tokenizer.chat_template = stock("gemma")
    with pytest.raises(NotReady) as caught:
        Encoder(chat_of(tokenizer), [Row("e", "TRAIN", SYSTEM)], 512, assistant_only=True)

    assert caught.value.reason == "CONVERSATION_REFUSED"
    assert "System role not supported" in caught.value.message


def test_one_that_drops_a_message_only_in_a_copy_is_not_marked_by_it(tokenizer: Any) -> None:
    """A template is a family's only where every row comes out the same."""
    tokenizer.chat_template = stock("llama3").replace("| trim", "| trim | lower")
    with pytest.raises(NotReady) as caught:
        Encoder(chat_of(tokenizer), [Row("e", "TRAIN", TALK)], 512, assistant_only=True)

    assert caught.value.reason == "NO_CHAT_TEMPLATE"
