"""Base model against tuned model: on what, each process's share of it, and how far it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from finetuneflow.training.v1 import config_pb2, evaluation_pb2
from services.common.chat.encode import Encoded, Encoder
from services.common.chat.rows import EVAL, RECALL, Row, of_split
from services.trainer.answers import Answered, answer_both, choose, longest_prompt, samples, scored
from services.trainer.attempt import Attempt
from services.trainer.evaluate import combine, losses
from services.trainer.general import GENERAL, forgetting, general_rows
from services.trainer.measuring import begin_stretch
from services.trainer.rewards import Judged, judge_all, reward_score
from services.trainer.settings import is_judged, setting
from services.trainer.tuned import Tuned


@dataclass(frozen=True)
class HeldOut:
    """What a run is evaluated on.

    Args:
        encoded: the answers to be learnt that can be scored, by split.
        judged: preferences and verdicts, by split.
        chosen: those that both models answer, with their set's name.
        left_out: how many could not be chosen, by split, for their prompts are too long.
    """

    encoded: dict[str, list[Encoded]]
    judged: dict[str, list[Encoded]]
    chosen: list[tuple[str, Row]]
    left_out: dict[str, int]

    @property
    def to_score(self) -> int:
        """Sequences to score, one for each of the two models."""
        judged = sum(len(e.sequences) for some in self.judged.values() for e in some)
        return 2 * (sum(map(len, self.encoded.values())) + judged)

    @staticmethod
    def of(rows: Sequence[Row], encoder: Encoder, answers: int, longest: int) -> HeldOut:
        """Take what a dataset holds out, with the general set.

        Args:
            answers: how many are answered at most.
            longest: tokens of a prompt that is asked, at most.
        """
        sets = {EVAL: of_split(rows, EVAL), RECALL: of_split(rows, RECALL), GENERAL: general_rows()}
        encoded = {s: [e for e in encoder.encode_all(some) if e.supervised] for s, some in sets.items()}
        judged = {s: [e for e in some if e.row.objective in ("DPO", "KTO")] for s, some in encoded.items()}
        wanted = {s: [e.sequences[0] for e in some if e.row.label is not False] for s, some in encoded.items()}
        asked = {s: [r for r in sets[s] if answers and r.label is not False and not r.raw] for s in (EVAL, RECALL)}
        short = {s: [row for row in some if len(encoder.prompt_ids(row)) <= longest] for s, some in asked.items()}
        left_out = {s: len(some) - len(short[s]) for s, some in asked.items()}
        return HeldOut(wanted, judged, choose(short[EVAL], short[RECALL], answers), left_out)


class Comparison:
    """What both models come to on what was held out. What it takes is measured from here on.

    Args:
        attempt: told how far it is, and asked whether to go on.
        rows, encoder: the dataset, and what makes tokens of it.
        tokenizer: the stock tokenizer.
        config: the run's settings.
    """

    def __init__(
        self,
        attempt: Attempt,
        rows: Sequence[Row],
        encoder: Encoder,
        tokenizer: Any,
        config: config_pb2.TrainingConfig,
    ) -> None:
        self.stretch = begin_stretch()
        self._attempt = attempt
        self._encoder = encoder
        self._tokenizer = tokenizer
        self._max_forgetting = setting(config, "max_forgetting")
        self._beta = setting(config, "beta") if is_judged(config) else 0.0
        answers = setting(config, "num_eval_answers")
        self._longest = longest_prompt(setting(config, "max_length"), torch.cuda.is_available()) if answers else 0
        self._held_out = HeldOut.of(rows, encoder, answers, self._longest)
        self.answered: list[Answered] = []

    def scores(self, tuned: Tuned) -> dict[str, list[Any]]:
        """Score both models, a share in each process; return every process's sums, by split."""
        team = self._attempt.team
        pad = self._tokenizer.pad_token_id or 0
        encoded = self._held_out.encoded

        def share() -> dict[str, Any]:
            step = self._counter(0, team.size)
            found: dict[str, Any] = {
                s: losses(tuned, some, pad, step, team.rank, team.size) for s, some in encoded.items()
            }
            for s, some in self._held_out.judged.items():
                judged = judge_all(tuned, some, pad, step, team.rank, team.size)
                found[_rewards(s)] = [asdict(one) for one in judged]
            return found

        shares = team.each(share)
        return {name: [share[name] for share in shares] for name in shares[0]}

    def evaluation(self, tuned: Tuned, scores: dict[str, list[Any]]) -> evaluation_pb2.Evaluation:
        """Put the scores together, and let both models answer; `answered` has all of the answers then."""
        encoded = self._held_out.encoded
        step = self._counter(self._held_out.to_score, 1)
        answered = answer_both(tuned, self._tokenizer, self._encoder, self._held_out.chosen, step)
        self.answered = answered
        return evaluation_pb2.Evaluation(
            generalise=scored(self._combined(EVAL, scores), answered, "generalise"),
            recall=scored(self._combined(RECALL, scores), answered, "recall"),
            forgetting=forgetting(combine(encoded[GENERAL], scores[GENERAL]), self._max_forgetting),
            samples=samples(answered),
            longest_prompt=self._longest,
        )

    def _combined(self, split: str, scores: dict[str, list[Any]]) -> evaluation_pb2.EvalScore:
        score = combine(self._held_out.encoded[split], scores[split])
        score.left_out = self._held_out.left_out[split]
        judged = [Judged(**one) for share in scores[_rewards(split)] for one in share]
        if judged:
            score.rewards.CopyFrom(reward_score(judged, self._beta))
        return score

    def _counter(self, done: int, times: int) -> Callable[[int], None]:
        """Return what reports how far it is when it hears of more examples; each stands for so many."""
        attempt, to_score = self._attempt, self._held_out.to_score
        total = to_score + 2 * len(self._held_out.chosen)
        most = total if done else to_score

        def step(more: int) -> None:
            nonlocal done
            done = min(done + more * times, most)
            attempt.orders.check()
            attempt.phase("evaluate", done, total, "examples")

        step(0)
        return step


def _rewards(split: str) -> str:
    """Return the name of a split's rewards among the scores."""
    return f"{split} rewards"
