"""Which answers the models would rather give: implicit rewards on preferences and verdicts that were held out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from finetuneflow.training.v1 import evaluation_pb2
from services.common.chat.encode import Encoded
from services.trainer.evaluate import Step, evaluating, sequence_losses
from services.trainer.tuned import Tuned


@dataclass(frozen=True)
class Judged:
    """What both models say to one preference or verdict: log-probabilities of whole answers, in nats.

    Args:
        base, tuned: of the answer; of a preference its better one.
        base_worse, tuned_worse: of a preference's worse answer; else None.
        wanted: of a verdict, whether the answer is wanted.
    """

    base: float
    tuned: float
    base_worse: float | None = None
    tuned_worse: float | None = None
    wanted: bool = True

    def margin(self, beta: float) -> float:
        """Return the difference of a preference's rewards, or a verdict's reward, negated if unwanted."""
        reward = beta * (self.tuned - self.base)
        if self.base_worse is None or self.tuned_worse is None:
            return reward if self.wanted else -reward
        return reward - beta * (self.tuned_worse - self.base_worse)


def judge_all(
    tuned: Tuned, examples: Sequence[Encoded], pad: int, step: Step, rank: int = 0, size: int = 1
) -> list[Judged]:
    """Return what both models say to one process's share of preferences or verdicts."""
    share = list(examples)[rank::size]
    if not share:
        return []
    sequences = [sequence for example in share for sequence in example.sequences]
    with evaluating(tuned.model):
        after = iter(sequence_losses(tuned.model, sequences, pad, step))
    with tuned.base() as base, evaluating(base):
        before = iter(sequence_losses(base, sequences, pad, step))
    found = []
    for example in share:
        one = Judged(-next(before), -next(after), wanted=example.row.label is not False)
        if example.worse:
            one = Judged(one.base, one.tuned, -next(before), -next(after))
        found.append(one)
    return found


def reward_score(judged: Sequence[Judged], beta: float) -> evaluation_pb2.RewardScore:
    """Return the score of preferences or of verdicts, of all processes."""
    if not judged:
        return evaluation_pb2.RewardScore()
    margins = [one.margin(beta) for one in judged]
    score = evaluation_pb2.RewardScore(
        examples=len(judged),
        reward_accuracy=sum(margin > 0 for margin in margins) / len(margins),
        reward_margin=_margin(judged, margins),
        loss=sum(math.log1p(math.exp(-abs(m))) + max(-m, 0.0) for m in margins) / len(margins),
        base_loss=math.log(2),
    )
    if all(one.base_worse is not None for one in judged):
        score.base_accuracy = _likelier((one.base, one.base_worse) for one in judged)
        score.tuned_accuracy = _likelier((one.tuned, one.tuned_worse) for one in judged)
    return score


def _likelier(pairs: Iterable[tuple[float, float | None]]) -> float:
    """Return the share of pairs whose better answer is the likelier one."""
    found = [worse is not None and better > worse for better, worse in pairs]
    return sum(found) / len(found)


def _margin(judged: Sequence[Judged], margins: Sequence[float]) -> float:
    """Return the mean of preferences' margins; of verdicts, the wanted ones' mean reward less the unwanted ones'."""
    sides = [[m for one, m in zip(judged, margins, strict=True) if one.wanted is side] for side in (True, False)]
    return sum(sum(side) / len(side) for side in sides if side)


def measures(score: evaluation_pb2.RewardScore) -> list[tuple[str, str, str]]:
    """Return a score as lines of a table: what is measured, the base model's value, the tuned one's."""
    if not score.examples:
        return []
    lines = [
        ("right answer has the higher reward", "", f"{score.reward_accuracy:.3f}"),
        ("margin of rewards", "0", f"{score.reward_margin:+.4f}"),
        ("loss −ln σ(margin)", f"{score.base_loss:.4f}", f"{score.loss:.4f}"),
    ]
    if score.HasField("tuned_accuracy"):
        likelier = ("better answer is the likelier one", f"{score.base_accuracy:.3f}", f"{score.tuned_accuracy:.3f}")
        lines.insert(0, likelier)
    return lines
