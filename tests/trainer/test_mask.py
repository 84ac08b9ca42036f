"""Which tokens are trained on: exactly the assistant's words and the token that ends them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.common.chat.encode import IGNORED, Encoder, measure, require_supervision
from services.common.chat.rows import Row, read_rows
from services.common.errors import NotReady
from services.trainer.model import chat_of
from tests.fakes.tiny_model import CHATML

SMOL = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}"
    "{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""The template of SmolLM2: ChatML with a preamble of its own."""


@pytest.fixture
def tokenizer(model: Path) -> Any:
    """The tiny model's tokenizer, anew for each test."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model)


def row(*texts: str, system: str = "") -> Row:
    """A conversation: user and assistant in turns."""
    messages = [{"role": "system", "content": system}] if system else []
    messages += [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]
    return Row("e", "TRAIN", tuple(messages))


CONVERSATIONS = (
    row("What?", "The pump."),
    row("What?", "The pump.", system="Answer in one sentence."),
    row("One?", "First answer.", "Two?", " Second, with a space before and\n\ntwo lines.\n"),
    row("Who says assistant?", "Nobody: <not a tag> {{ not a template }} {% nor this %}"),
    row("Ä?", "Ünïcödé 🙂 and an end"),
)


@pytest.mark.parametrize("template", [CHATML, SMOL], ids=["plain", "with preamble"])
def test_exactly_the_assistants_tokens_are_supervised(tokenizer: Any, template: str) -> None:
    """Turn by turn: what the assistant says and its <|im_end|>, nothing of what others say."""
    tokenizer.chat_template = template
    encoder = Encoder(chat_of(tokenizer), CONVERSATIONS, max_length=512, assistant_only=True)

    for conversation in CONVERSATIONS:
        encoded = encoder.encode(conversation)
        said = [m["content"] for m in conversation.messages if m["role"] == "assistant"]
        supervised = tokenizer.decode([label for label in encoded.labels if label != IGNORED])
        assert supervised == "".join(text + "<|im_end|>" for text in said)
        assert tokenizer.decode(encoded.input_ids) == tokenizer.apply_chat_template(
            list(conversation.messages), tokenize=False
        )


@pytest.mark.parametrize(("assistant_only", "end"), [(True, "<|im_end|>"), (False, "<|im_end|>\n")])
def test_with_completion_only_loss_the_last_answer_alone_is_supervised(
    tokenizer: Any, assistant_only: bool, end: str
) -> None:
    """What was answered before it is a part of the prompt; without assistant_only_loss its last line end counts too."""
    encoder = Encoder(chat_of(tokenizer), CONVERSATIONS, 512, assistant_only, completion_only=True)
    for conversation in CONVERSATIONS:
        encoded = encoder.encode(conversation)
        supervised = tokenizer.decode([label for label in encoded.labels if label != IGNORED])

        assert supervised == conversation.reference + end


CALL = {"type": "function", "function": {"name": "warmth", "arguments": {"at": "noon"}}}
WITH_TOOLS = Row(
    "t",
    "TRAIN",
    (
        {"role": "user", "content": "How warm?"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "72"},
        {"role": "assistant", "content": "It is 72."},
    ),
    ({"type": "function", "function": {"name": "warmth", "description": "Tells it.", "parameters": {}}},),
)


def test_calls_of_tools_are_learnt_where_the_template_shows_them(tokenizer: Any) -> None:
    """The call and the answer are supervised; what is offered, and what the tool says, is not."""
    from trl.chat_template_utils import qwen2_5_chat_template

    tokenizer.chat_template = qwen2_5_chat_template
    encoder = Encoder(chat_of(tokenizer), [WITH_TOOLS], max_length=2048, assistant_only=True)
    encoded = encoder.encode(WITH_TOOLS)
    supervised = tokenizer.decode([label for label in encoded.labels if label != IGNORED])

    assert '{"name": "warmth", "arguments": {"at": "noon"}}' in supervised
    assert "It is 72." in supervised
    assert "Tells it." not in supervised
    assert "<tool_response>" not in supervised
    assert "Tells it." in tokenizer.decode(encoded.input_ids)


def test_tools_are_refused_where_the_template_drops_them(tokenizer: Any) -> None:
    """Nothing would be learnt of them, and empty answers would be."""
    tokenizer.chat_template = CHATML
    with pytest.raises(NotReady) as caught:
        Encoder(chat_of(tokenizer), [WITH_TOOLS], max_length=512, assistant_only=True)

    assert caught.value.reason == "NO_CHAT_TEMPLATE"


def test_a_family_that_the_library_knows_is_marked_by_it(tokenizer: Any) -> None:
    """TRL brings marked copies of well-known templates: Qwen 2.5's, for one."""
    from trl.chat_template_utils import qwen2_5_chat_template

    tokenizer.chat_template = qwen2_5_chat_template
    encoder = Encoder(chat_of(tokenizer), CONVERSATIONS, max_length=512, assistant_only=True)
    encoded = encoder.encode(CONVERSATIONS[1])

    assert "The pump.<|im_end|>" in tokenizer.decode([label for label in encoded.labels if label != IGNORED])
    assert "Answer in one sentence" not in tokenizer.decode([label for label in encoded.labels if label != IGNORED])


def test_a_template_with_marks_of_its_own_is_used_as_it_is(tokenizer: Any) -> None:
    """Whatever it marks."""
    tokenizer.chat_template = (
        "{% for message in messages %}{% if message['role'] == 'assistant' %}"
        "{% generation %}{{ message['content'] }}{% endgeneration %}<|im_end|>"
        "{% else %}{{ message['content'] }}{% endif %}{% endfor %}"
    )
    encoded = Encoder(chat_of(tokenizer), CONVERSATIONS[:1], 512, assistant_only=True).encode(CONVERSATIONS[0])

    assert tokenizer.decode([label for label in encoded.labels if label != IGNORED]) == "The pump."


@pytest.mark.parametrize(
    "template",
    [
        "{% for message in messages %}[{{ message['role'] }}] {{ message['content'] }}{% endfor %}",
        CHATML.replace("message['content']", "message['content'] | trim"),
    ],
    ids=["unknown family", "ChatML that changes the text"],
)
def test_a_template_that_cannot_be_marked_faithfully_is_refused(tokenizer: Any, template: str) -> None:
    """A marked copy that renders one example otherwise would train on what is never asked."""
    tokenizer.chat_template = template
    with pytest.raises(NotReady) as caught:
        Encoder(chat_of(tokenizer), CONVERSATIONS, 512, assistant_only=True)

    assert caught.value.reason == "NO_CHAT_TEMPLATE"
    assert "assistant_only_loss" in caught.value.message


def test_the_whole_text_is_supervised_if_it_is_asked_for(tokenizer: Any) -> None:
    """But for the first token, which is predicted from nothing. Any template will do."""
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    encoded = Encoder(chat_of(tokenizer), CONVERSATIONS, 512, assistant_only=False).encode(CONVERSATIONS[0])

    assert encoded.labels == [IGNORED, *encoded.input_ids[1:]]


def test_truncation_is_counted_and_empty_examples_are_dropped(tokenizer: Any) -> None:
    """In = kept + dropped; an example that is cut before its answer teaches nothing."""
    long_question = row("word " * 100, "An answer that is never reached.")
    long_answer = row("What?", "word " * 100)
    encoder = Encoder(chat_of(tokenizer), [long_question, long_answer], 40, assistant_only=True)
    encoded = [encoder.encode(r) for r in (CONVERSATIONS[0], long_question, long_answer)]
    mask = measure(encoded)

    assert (mask.examples, mask.kept, mask.truncated) == (3, 2, 2)
    assert mask.supervised_tokens == encoded[0].supervised + encoded[2].supervised
    assert len(encoded[2].input_ids) == 40
    require_supervision(mask)
    with pytest.raises(NotReady):
        require_supervision(measure([encoded[1]]))


def test_our_labels_are_those_that_the_library_would_make(tokenizer: Any) -> None:
    """TRL's own tokenisation of the same messages by the same marked template."""
    from trl.data_utils import _tokenize

    encoder = Encoder(chat_of(tokenizer), CONVERSATIONS, 512, assistant_only=True)
    for conversation in CONVERSATIONS:
        theirs = _tokenize(
            tokenizer, list(conversation.messages), chat_template=encoder.template, return_assistant_tokens_mask=True
        )
        ours = encoder.encode(conversation)
        labels = [t if m else IGNORED for t, m in zip(theirs["input_ids"], theirs["assistant_masks"], strict=True)]

        assert ours.input_ids == theirs["input_ids"]
        assert ours.labels == labels


def test_packed_examples_do_not_see_each_other(model: Path, tokenizer: Any, tmp_path: Path) -> None:
    """The loss of a packed sequence is that of its examples apart."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM
    from trl.trainer.sft_trainer import SFTTrainer

    from services.trainer.evaluate import total_loss
    from services.trainer.settings import sft_config
    from tests.trainer.runs import config

    encoder = Encoder(chat_of(tokenizer), CONVERSATIONS, 128, assistant_only=True)
    encoded = [encoder.encode(r) for r in CONVERSATIONS]
    base = AutoModelForCausalLM.from_pretrained(model)
    with torch.no_grad():
        apart = total_loss(base.eval(), encoded, 0)
    columns = {"input_ids": [e.input_ids for e in encoded], "labels": [e.labels for e in encoded]}
    args = sft_config(config(packing=True), tmp_path, gpu=False, bf16=False)
    trainer = SFTTrainer(base, args, train_dataset=Dataset.from_dict(columns), processing_class=tokenizer)
    batches = [trainer._prepare_inputs(batch) for batch in trainer.get_train_dataloader()]
    trainer.model.eval()
    with torch.no_grad():
        packed = sum(float(trainer.compute_loss(trainer.model, b, num_items_in_batch=torch.tensor(1))) for b in batches)

    assert len(trainer.train_dataset) < len(encoded)
    assert packed == pytest.approx(apart, rel=1e-4)


def test_a_frozen_conversation_is_learnt_turn_by_turn_and_asked_for_its_last_answer(
    tokenizer: Any, tmp_path: Path
) -> None:
    """Every answer of a line of several turns is supervised; evaluation begins before the last one.

    Its reasoning, which stands apart, is not learnt.
    """
    turns = [
        {"role": role, "content": f"{role} says {n}"} for n in range(3) for role in ("user", "assistant")
    ]  # fmt: skip
    line = {"id": "e", "split": "EVAL", "messages": turns, "task_type": "chat", "reasoning": "Nobody hears this."}
    (tmp_path / "d.jsonl").write_text(json.dumps(line) + "\n")
    (found,) = read_rows(tmp_path / "d.jsonl")
    tokenizer.chat_template = CHATML
    encoder = Encoder(chat_of(tokenizer), [found], max_length=512, assistant_only=True)
    encoded = encoder.encode(found)
    prompt = tokenizer.decode(encoder.prompt_ids(found))

    assert [m["role"] for m in found.prompt] == ["user", "assistant", "user", "assistant", "user"]
    assert found.reference == "assistant says 2"
    supervised = tokenizer.decode([label for label in encoded.labels if label != IGNORED])
    assert supervised == "".join(f"assistant says {n}<|im_end|>" for n in range(3))
    assert prompt.endswith("user says 2<|im_end|>\n<|im_start|>assistant\n")
    assert "Nobody" not in tokenizer.decode(encoded.input_ids)
