"""A run on paper: report.md with its pictures and evaluation.json."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict

from finetuneflow.training.v1 import evaluation_pb2, run_pb2
from services.trainer.answers import FEWEST_NEW_TOKENS, MORE_TOKENS, MOST_NEW_TOKENS, SAMPLES
from services.trainer.encode import Mask
from services.trainer.plots import plot_evaluation, plot_loss
from services.trainer.rows import EVAL, RECALL, TRAIN, Row
from services.trainer.totals import Totals

_SETS = {
    "generalise": "documents that nothing was trained on",
    "recall": "questions kept back about documents that were trained on",
}


_MEASURES = {
    "exact_match": "exact match",
    "token_f1": "token F1",
    "rouge_l": "ROUGE-L",
    "chrf": "chrF",
    "accuracy": "accuracy of classifications",
    "field_f1": "field F1 of extractions",
}
_OF_A_TASK = ("accuracy", "field_f1")
"""Measures that a set has only if it has answers to such tasks."""
_METHODS = {"LORA": "LoRA", "QLORA": "QLoRA", "FULL": "Full fine-tuning"}


_LENGTH = (
    f"of at most {MORE_TOKENS} tokens more than the longest reference among {SAMPLES} that are asked together "
    f"({FEWEST_NEW_TOKENS} to {MOST_NEW_TOKENS} tokens)"
)


@dataclass(frozen=True)
class Facts:
    """What a report tells beside the result.

    Args:
        spec: what the trainer was asked.
        base_name: name of the base model.
        settings: every setting as trained with.
        rows: the dataset.
        mask: what of the training set was trained on.
        totals: numbers of the training.
        hardware: what it ran on.
        attempt: the attempt that wrote the report.
    """

    spec: run_pb2.TrainSpec
    base_name: str
    settings: Mapping[str, Any]
    rows: Sequence[Row]
    mask: Mask
    totals: Totals
    hardware: Mapping[str, str]
    attempt: int


def write_report(folder: Path, facts: Facts, result: run_pb2.RunResult) -> list[Path]:
    """Write report.md, loss.png, evaluation.png and evaluation.json into a folder and return their paths."""
    plot_loss(facts.totals.losses, folder / "loss.png")
    plot_evaluation(result.evaluation, folder / "evaluation.png")
    fields = MessageToDict(result.evaluation, preserving_proto_field_name=True)
    (folder / "evaluation.json").write_text(json.dumps(fields, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(_markdown(facts, result), encoding="utf-8")
    return [folder / name for name in ("report.md", "loss.png", "evaluation.png", "evaluation.json")]


def _markdown(facts: Facts, result: run_pb2.RunResult) -> str:
    parts = [
        f"# {facts.spec.run}\n",
        _summary(facts, result),
        "## Evaluation: base against tuned\n",
        _evaluation(result.evaluation),
        "## Answers against references\n",
        _answers(result.evaluation),
        "## What it forgot\n",
        _forgetting(result.evaluation.forgetting),
        "## Training\n",
        f"![Training loss](loss.png)\n\n{_training(facts, result)}",
        "## Data\n",
        _data(facts),
        "## Settings\n",
        _table(("setting", "value"), [(name, _plain(value)) for name, value in facts.settings.items()]),
        "## Sample answers\n",
        _samples(result.evaluation.samples),
        "## Hardware and versions\n",
        _table(("", ""), [*facts.hardware.items(), *sorted(result.versions.items())]),
    ]
    return "\n".join(parts)


def _summary(facts: Facts, result: run_pb2.RunResult) -> str:
    spec = facts.spec
    return (
        f"{_METHODS[facts.settings['method']]} on **{facts.base_name}** "
        f"(revision `{spec.model_revision or 'not given'}`) with dataset "
        f"`{spec.dataset}` version {spec.dataset_version} (SHA-256 `{spec.dataset_sha256}`): {result.steps} steps in "
        f"{result.train_seconds:.0f} s, {result.trainable_parameters:,} parameters trained, "
        f"attempt {facts.attempt}.\n"
    )


def _evaluation(evaluation: evaluation_pb2.Evaluation) -> str:
    rows = []
    for name, score in (("generalise", evaluation.generalise), ("recall", evaluation.recall)):
        if not score.examples:
            rows.append((name, _SETS[name], "0", "", "", "", "", ""))
            continue
        change = f"{score.tuned_loss - score.base_loss:+.4f}"
        losses = (f"{score.base_loss:.4f}", f"{score.tuned_loss:.4f}", change)
        perplexities = (f"{score.base_perplexity:.2f}", f"{score.tuned_perplexity:.2f}")
        rows.append((name, _SETS[name], f"{score.examples} ({score.tokens:,} tokens)", *losses, *perplexities))
    head = ("set", "of", "examples", "base loss", "tuned loss", "change", "base perplexity", "tuned perplexity")
    note = "Loss is the mean per supervised token, in nats; perplexity is its exponential. Lower is better.\n"
    return f"![Base against tuned](evaluation.png)\n\n{_table(head, rows)}\n{note}"


def _answers(evaluation: evaluation_pb2.Evaluation) -> str:
    rows = [
        (name, str(score.answers), label, _score(score.base_answers, field), _score(score.tuned_answers, field))
        for name, score in (("generalise", evaluation.generalise), ("recall", evaluation.recall))
        for field, label in _MEASURES.items()
        if score.answers and (field not in _OF_A_TASK or score.tuned_answers.HasField(field))  # type: ignore[arg-type]  # one of _OF_A_TASK
    ]
    if not rows:
        return "No answer was asked for.\n"
    note = f"Means over greedy answers {_LENGTH}, 0 to 1; higher is better.\n"
    return f"{_table(('set', 'answers', 'measure', 'base', 'tuned'), rows)}\n{note}"


def _score(scores: evaluation_pb2.AnswerScores, field: str) -> str:
    return f"{getattr(scores, field):.3f}"


def _forgetting(found: evaluation_pb2.Forgetting) -> str:
    score = found.score
    if not score.examples:
        return "The general questions have no token within max_length.\n"
    verdict = "passed" if found.passed else "**not passed**: an export has to accept it"
    return (
        f"On {score.examples} general questions that no document answers, the loss went from {score.base_loss:.4f} to "
        f"{score.tuned_loss:.4f} nats per token ({score.tuned_loss - score.base_loss:+.4f}; at most "
        f"{found.max_loss_increase:+g} is allowed): {verdict}.\n"
    )


def _training(facts: Facts, result: run_pb2.RunResult) -> str:
    totals = facts.totals
    share = 100 * totals.platform_seconds / totals.train_seconds if totals.train_seconds else 0.0
    first = f"{totals.losses[0]:.4f}" if totals.losses else "none"
    rows = [
        ("loss of the first step", first),
        ("mean loss of the last tenth of the steps", f"{result.train_loss:.4f}"),
        ("optimizer steps", str(result.steps)),
        ("tokens trained on, padding not counted", f"{totals.num_tokens:,.0f}"),
        ("seconds of training, all attempts", f"{totals.train_seconds:.1f}"),
        ("of these in FineTuneFlow itself", f"{totals.platform_seconds:.2f} ({share:.2f} %)"),
        ("most memory used", f"{result.peak_memory_bytes / 2**30:.2f} GiB"),
    ]
    return _table(("", ""), rows)


def _data(facts: Facts) -> str:
    splits = Counter(row.split for row in facts.rows)
    mask = facts.mask
    rows = [
        ("examples to train on", str(splits[TRAIN])),
        ("examples of documents held out", str(splits[EVAL])),
        ("examples kept back of trained documents", str(splits[RECALL])),
        ("training examples in", str(mask.examples)),
        ("out", str(mask.kept)),
        ("dropped: no supervised token within max_length", str(mask.examples - mask.kept)),
        ("truncated at max_length", str(mask.truncated)),
        ("tokens in the training set", f"{mask.tokens:,}"),
        ("of these supervised", f"{mask.supervised_tokens:,}"),
    ]
    return _table(("", ""), rows)


def _samples(samples: Sequence[evaluation_pb2.SampleAnswer]) -> str:
    if not samples:
        return "There was no example to ask.\n"
    rows = [(s.set, s.prompt, s.reference, s.base, s.tuned) for s in samples]
    head = ("set", "prompt", "reference", "base", "tuned")
    return f"{_table(head, rows)}\nBoth models answer greedily, {_LENGTH}.\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(_cell(text) for text in line)} |\n" for line in lines)


def _cell(text: str) -> str:
    """One line that cannot break out of its table or become HTML."""
    flat = "".join(c if c.isprintable() else " " for c in " ".join(text.split()))
    return flat.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "\\`")


def _plain(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)
