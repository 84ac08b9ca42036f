"""What a report says about base and tuned model."""

from __future__ import annotations

from collections.abc import Sequence

from finetuneflow.training.v1 import evaluation_pb2
from services.trainer.answers import FEWEST_NEW_TOKENS, MORE_TOKENS, MOST_NEW_TOKENS, SAMPLES
from services.trainer.reportparts import Picture, Samples, Span, Table, Text
from services.trainer.rewards import measures

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
_LENGTH = (
    f"of at most {MORE_TOKENS} tokens more than the longest reference among up to {SAMPLES} that are asked together "
    f"({FEWEST_NEW_TOKENS} to {MOST_NEW_TOKENS} tokens)"
)


def evaluation(found: evaluation_pb2.Evaluation) -> list[Picture | Table | Text]:
    """Return the losses of both models."""
    rows = []
    for name, score in (("generalise", found.generalise), ("recall", found.recall)):
        if not score.examples:
            rows.append((name, _SETS[name], "0", "", "", "", "", ""))
            continue
        change = f"{score.tuned_loss - score.base_loss:+.4f}"
        losses = (f"{score.base_loss:.4f}", f"{score.tuned_loss:.4f}", change)
        perplexities = (f"{score.base_perplexity:.2f}", f"{score.tuned_perplexity:.2f}")
        rows.append((name, _SETS[name], f"{score.examples} ({score.tokens:,} tokens)", *losses, *perplexities))
    head = ("set", "of", "examples", "base loss", "tuned loss", "change", "base perplexity", "tuned perplexity")
    note = "Loss is the mean per supervised token, in nats; perplexity is its exponential. Lower is better."
    return [Picture("evaluation", "Base against tuned"), Table(head, rows), Text.of(note)]


def rewards(found: evaluation_pb2.Evaluation) -> list[Table | Text]:
    """Return which answers both models would rather give; nothing without preferences and verdicts."""
    rows = [
        (name, str(score.rewards.examples), *line)
        for name, score in (("generalise", found.generalise), ("recall", found.recall))
        for line in measures(score.rewards)
    ]
    if not rows:
        return []
    note = "A reward is beta times what training added to an answer's log-probability."
    return [Table(("set", "examples", "measure", "base", "tuned"), rows), Text.of(note)]


def answers(found: evaluation_pb2.Evaluation) -> list[Table | Text]:
    """Return how near the answers of both models come to the references."""
    rows = [
        (name, str(score.answers), label, _score(score.base_answers, field), _score(score.tuned_answers, field))
        for name, score in (("generalise", found.generalise), ("recall", found.recall))
        for field, label in _MEASURES.items()
        if score.answers and (field not in _OF_A_TASK or score.tuned_answers.HasField(field))  # type: ignore[arg-type]  # one of _OF_A_TASK
    ]
    missing = [
        Text.of(
            f"Of {name}, {left_out} could not be chosen: their prompts have more than {found.longest_prompt:,} tokens."
        )
        for name, left_out in (("generalise", found.generalise.left_out), ("recall", found.recall.left_out))
        if left_out
    ]
    if not rows:
        return [*(missing or [Text.of("No answer was asked for.")])]
    note = f"Means over greedy answers {_LENGTH}, 0 to 1; higher is better."
    return [Table(("set", "answers", "measure", "base", "tuned"), rows), Text.of(note), *missing]


def _score(scores: evaluation_pb2.AnswerScores, field: str) -> str:
    return f"{getattr(scores, field):.3f}"


def forgetting(found: evaluation_pb2.Forgetting) -> list[Text]:
    """Return the verdict on what was forgotten."""
    score = found.score
    if not score.examples:
        return [Text.of("The general questions have no token within max_length.")]
    verdict = ["passed."] if found.passed else [Span("not passed", "strong"), ": an export has to accept it."]
    return [
        Text.of(
            f"On {score.examples} general questions that no document answers, the loss went from "
            f"{score.base_loss:.4f} to {score.tuned_loss:.4f} nats per token "
            f"({score.tuned_loss - score.base_loss:+.4f}; at most {found.max_loss_increase:+g} is allowed): ",
            *verdict,
        )
    ]


def samples(found: Sequence[evaluation_pb2.SampleAnswer]) -> list[Samples | Text]:
    """Return answers of both models side by side."""
    if not found:
        return [Text.of("There was no example to ask.")]
    return [Samples(found), Text.of(f"Both models answer greedily, {_LENGTH}.")]
