"""The preview of labels before a run: which tokens are trained on, and how many are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finetuneflow.dataset.v1 import dataset_pb2
from finetuneflow.training.v1 import config_pb2
from tests.fakes.chat_model import lines
from tests.fakes.upstream import usual
from tests.service.test_training_checks import ANSWERS, HELD_OUT, checked, ready, told, trained


async def test_each_token_says_whether_it_is_trained_on(tmp_path: Path) -> None:
    """Text and loss of the first examples, and the shares of all."""
    async with ready(tmp_path, lines(*ANSWERS) + HELD_OUT + lines("Kept back.", side="SPLIT_RECALL")) as stub:
        run = await checked(stub)
        more = await checked(stub, shown=5)
        none = await checked(stub, shown=0)
    labels = run.check.labels
    first = labels.examples[0]

    assert told(run) == []
    assert [example.id for example in labels.examples] == [f"SPLIT_TRAIN-{n}" for n in range(3)]
    whole = "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\nBecause of 0.<|im_end|>\n"
    assert "".join(token.text for token in first.tokens) == whole
    assert trained(first.tokens) == "Because of 0.<|im_end|>"
    assert (labels.train_examples, labels.checked_examples) == (5, 5)
    assert (labels.eval_examples, labels.recall_examples) == (25, 1)
    assert labels.supervised_tokens == 5 * (len("Because of 0.") + 1)
    assert labels.tokens == 5 * len(first.tokens)
    assert (labels.truncated_examples, labels.truncated_tokens, labels.empty_examples) == (0, 0, 0)
    assert labels.marked_by == "chatml"
    assert (len(more.check.labels.examples), len(none.check.labels.examples)) == (5, 0)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"assistant_only_loss": False}, "user\nWhy?<|im_end|>\n<|im_start|>assistant\nB.<|im_end|>\n"),
        ({"assistant_only_loss": False, "completion_only_loss": True}, "B.<|im_end|>\n"),
        ({"completion_only_loss": True}, "B.<|im_end|>"),
    ],
    ids=["full", "completion", "both"],
)
async def test_the_preview_follows_the_kind_of_loss(tmp_path: Path, settings: dict[str, bool], expected: str) -> None:
    """As the table of the documentation has it; the first token never has a loss."""
    async with ready(tmp_path, lines("B.") + HELD_OUT) as stub:
        run = await checked(stub, config=config_pb2.TrainingConfig(**settings))

    assert trained(run.check.labels.examples[0].tokens) == expected


async def test_of_a_preference_both_answers_are_shown_and_counted(tmp_path: Path) -> None:
    """As DPO scores them: each answer whole."""
    said = {role: [{"role": "assistant", "content": f"{role}."}] for role in ("chosen", "rejected")}
    question = {"role": "user", "content": "Why?"}
    row = {"id": "e", "split": "SPLIT_TRAIN", "messages": [question, *said["chosen"]], **said}
    upstream = usual()
    upstream.datasets["projects/p/datasets/d"].kind = dataset_pb2.DATASET_KIND_PREFERENCE
    async with ready(tmp_path, (json.dumps(row) + "\n").encode(), upstream=upstream) as stub:
        labels = (await checked(stub)).check.labels

    assert trained(labels.examples[0].tokens) == "chosen.<|im_end|>\n"
    assert trained(labels.examples[0].rejected_tokens) == "rejected.<|im_end|>\n"
    assert (upstream.asked[-1].counted_tokens, upstream.asked[-1].counted_examples) == (labels.tokens, 1)
    assert labels.supervised_tokens == len("chosen.rejected.") + 2 * len(("<|im_end|>", "\n"))
    assert labels.tokens == 2 * len(labels.examples[0].tokens) + len("rejected") - len("chosen")


async def test_of_raw_text_all_is_trained_on_and_nothing_is_cut(tmp_path: Path) -> None:
    """Texts follow each other in sequences of max_length, each text with its end token."""
    texts = ("word " * 40, "Short.")
    rows = [
        {"id": f"t{n}", "split": "TRAIN", "raw": True,
         "messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": text}]}
        for n, text in enumerate(texts)
    ]  # fmt: skip
    upstream = usual()
    upstream.datasets["projects/p/datasets/d"].kind = dataset_pb2.DATASET_KIND_TEXT
    dataset = "".join(json.dumps(row) + "\n" for row in rows).encode()
    async with ready(tmp_path, dataset + HELD_OUT, upstream=upstream) as stub:
        run = await checked(stub, config=config_pb2.TrainingConfig(max_length=64))
    labels = run.check.labels

    assert told(run) == []
    assert labels.tokens == sum(map(len, texts)) + len(texts)
    assert labels.supervised_tokens == labels.tokens - 4
    assert (labels.truncated_examples, labels.truncated_tokens, labels.longest_tokens) == (0, 0, 200)
    assert trained(labels.examples[1].tokens) == "hort."
