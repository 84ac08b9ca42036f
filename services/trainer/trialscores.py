"""What an evaluation while training comes to: of answers our own count, of preferences and verdicts TRL's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from services.common.chat.encode import Encoded
from services.common.errors import NotReady
from services.trainer.evaluate import evaluating, total_score
from services.trainer.reporter import Orders, Stopped, Terminated
from services.trainer.team import Team

Score = Callable[[], dict[str, float]]

_REWARDS = ("rewards/accuracies", "rewards/margins", "rewards/chosen", "rewards/rejected", "kl")


def go_on(orders: Orders, team: Team) -> None:
    """Return if an evaluation is to go on.

    Raises:
        Stopped: the service wants no more.
        Terminated: SIGTERM, and this process is alone: the evaluation is made when the training goes on.
    """
    if orders.stopping:
        raise Stopped
    if orders.terminating and team.size == 1:
        raise Terminated


def go_on_together(orders: Orders, team: Team) -> None:
    """Return, in every process, if an evaluation whose batches are gathered from all is to go on.

    Only the leader hears that the service wants no more. Were it to leave alone, the others would wait for its part of
    the next batch.

    Raises:
        Stopped, Terminated: as go_on, in every process after the same batch.
    """
    if team.size == 1:
        go_on(orders, team)
    elif team.decide(int(orders.stopping)):
        raise Stopped


def of_answers(
    model: Callable[[], Any], examples: Sequence[Encoded], pad: int, orders: Orders, team: Team
) -> dict[str, float]:
    """Return loss and share of foreseen tokens over all supervised tokens; each process scores a share."""

    def share() -> tuple[float, int]:
        current = model()
        with evaluating(current):
            return total_score(current, examples, pad, lambda done: go_on(orders, team), team.rank, team.size)

    shares = team.each(share)
    tokens = sum(e.supervised for e in examples)
    loss, hits = (sum(part[i] for part in shares) / tokens for i in (0, 1))
    return {"eval_loss": loss, "eval_mean_token_accuracy": hits}


def of_judged(trainer: Any, team: Team) -> dict[str, float]:
    """Return what TRL's evaluation of preferences or verdicts comes to: the loss that is trained by, and rewards.

    The loss is a mean over examples; rewards are TRL's means over batches. The training's chance is left as it was: a
    data loader draws from it. Whether to go on is asked between batches, by Progress.
    """

    def share() -> dict[str, float]:
        devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
        try:
            with torch.random.fork_rng(devices), evaluating(trainer.model):
                found = trainer.evaluate()
        finally:
            # Of one that was broken off there is something left.
            trainer._metrics["eval"].clear()
        names = ("eval_loss", *(f"eval_{name}" for name in _REWARDS))
        return {name: float(found[name]) for name in names if name in found}

    return team.each(share)[0]


def require_both(examples: Sequence[Encoded], metric: str) -> None:
    """Refuse verdicts of which TRL makes no margin.

    Raises:
        NotReady: NO_EVAL_EXAMPLES, where the margin is to choose and all held out are wanted, or all unwanted.
    """
    sides = {example.row.label for example in examples}
    if metric == "eval_rewards/margins" and examples[0].row.objective == "KTO" and len(sides) < 2:
        raise NotReady(
            "metric_for_best_model is eval_rewards/margins, the reward of wanted answers less that of unwanted ones, "
            "and the dataset holds out only one kind. Use eval_loss, or hold out both.",
            reason="NO_EVAL_EXAMPLES",
        )
