"""Every method and objective with a real pretrained model on real text: the sections of the sample documents."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from finetuneflow.training.v1 import config_pb2, run_pb2
from tests.fakes.worker_host import WorkerHost
from tests.trainer.runs import config, run_here, train_spec, write_dataset

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
TRAINED = [SAMPLES / "sources" / "travel-policy.md"]
HELD_OUT = [SAMPLES / "documents" / "safety-rules.md"]
STEPS, TRAIN, EVAL = 6, 8, 3
"""Steps of most runs, of 4 examples each: three times through all; examples to train on; those held out."""

Line = dict[str, Any]

pytestmark = [
    pytest.mark.model,
    pytest.mark.timeout(900),
    *(pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("FutureWarning", "DeprecationWarning", "UserWarning")),
]


def sections(paths: list[Path]) -> list[tuple[str, str, str]]:
    """Return the title, the heading and the first two sentences of every section."""
    found = []
    for path in paths:
        title, *parts = re.split(r"^#+ ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
        for part in parts:
            heading, _, body = part.strip().partition("\n")
            found.append((title.strip(), heading, " ".join(re.split(r"(?<=[.]) ", body.strip())[:2])))
    return found


def user(section: tuple[str, str, str]) -> Line:
    """A question about a section."""
    return {"role": "user", "content": f"What does the {section[0]} say under {section[1]!r}?"}


def assistant(section: tuple[str, str, str]) -> Line:
    """A section's own words."""
    return {"role": "assistant", "content": section[2]}


def answers(section: tuple[str, str, str], other: tuple[str, str, str], place: int) -> Line:
    """A question and its answer."""
    return {"messages": [user(section), assistant(section)]}


def conversations(section: tuple[str, str, str], other: tuple[str, str, str], place: int) -> Line:
    """Two questions with their answers, the second of which is the completion."""
    return {"messages": [user(other), assistant(other), user(section), assistant(section)]}


def preferences(section: tuple[str, str, str], other: tuple[str, str, str], place: int) -> Line:
    """The section itself is better than what stands in another."""
    good, bad = assistant(section), assistant(other)
    return {"messages": [user(section), good], "chosen": [good], "rejected": [bad]}


def verdicts(section: tuple[str, str, str], other: tuple[str, str, str], place: int) -> Line:
    """The section itself is wanted, what stands in another is not; turn about."""
    wanted = place % 2 == 0
    return {"messages": [user(section), assistant(section if wanted else other)], "label": wanted}


def texts(section: tuple[str, str, str], other: tuple[str, str, str], place: int) -> Line:
    """The section as raw text."""
    return {"messages": [{"role": "user", "content": ""}, assistant(section)], "raw": True}


Make = Callable[[tuple[str, str, str], tuple[str, str, str], int], Line]


def lines(make: Make) -> list[Line]:
    """Lines of a dataset."""
    found: list[Line] = []
    for split, paths, most in (("TRAIN", TRAINED, TRAIN), ("EVAL", HELD_OUT, EVAL)):
        chosen = sections(paths)[: most + 1]
        for place, (section, other) in enumerate(itertools.pairwise(chosen)):
            line = make(section, other, place)
            found.append({"id": f"{split}{place}", "split": split, "source": {}, **line})
    return found


def settings(*, rate: float = 1e-3, steps: int = STEPS, **others: Any) -> dict[str, Any]:
    """A few short steps, and no answers to write."""
    sizes = {"max_steps": steps, "save_steps": steps, "num_eval_answers": 0, "max_forgetting": 100.0}
    return {**sizes, "learning_rate": rate, "lora": lora(), **others}


def lora(**options: Any) -> config_pb2.LoraConfig:
    """An adapter of the usual size."""
    return config_pb2.LoraConfig(**{"r": 8, "lora_alpha": 16.0, **options})


FULL: dict[str, Any] = {"method": config_pb2.METHOD_FULL, "lora": None, "rate": 5e-5}
QLORA: dict[str, Any] = {"method": config_pb2.METHOD_QLORA}
LEARNT: dict[str, tuple[Make, dict[str, Any]]] = {
    "lora": (answers, settings()),
    "full": (answers, settings(**FULL)),
    "qlora": (answers, settings(**QLORA)),
    "rslora": (answers, settings(lora=lora(use_rslora=True))),
    "dora": (answers, settings(lora=lora(use_dora=True))),
    "pissa": (answers, settings(lora=lora(init_lora_weights="pissa_niter_4"), rate=2e-4)),
    "olora": (answers, settings(lora=lora(init_lora_weights="olora"), rate=2e-4)),
    "loftq": (answers, settings(**QLORA, lora=lora(init_lora_weights="loftq"))),
    "neftune": (answers, settings(neftune_noise_alpha=5.0)),
    "packing": (answers, settings(packing=True)),
    "completion-only": (conversations, settings(completion_only_loss=True, max_length=192)),
    "pretrain": (texts, settings(objective=config_pb2.OBJECTIVE_PRETRAIN, max_length=32)),
}
JUDGED: dict[str, tuple[Make, dict[str, Any]]] = {
    "dpo": (preferences, settings(objective=config_pb2.OBJECTIVE_DPO, rate=5e-4, steps=4)),
    "kto": (verdicts, settings(objective=config_pb2.OBJECTIVE_KTO, rate=5e-4, steps=4)),
}


def trained(folder: Path, base: Path, make: Make, chosen: dict[str, Any]) -> tuple[WorkerHost, run_pb2.RunResult]:
    """Do a run and return what the service was told."""
    spec = train_spec(write_dataset(folder / "dataset.jsonl", lines(make)), base, config(**chosen))
    result = run_pb2.RunResult()
    with WorkerHost(folder / "objects", spec) as host:
        assert run_here(host, folder / "work") == 0
        assert host.finished[-1].result.Unpack(result)
    return host, result


@pytest.mark.parametrize("name", LEARNT)
def test_the_loss_falls_on_what_is_trained_and_on_what_is_held_out(name: str, base: Path, tmp_path: Path) -> None:
    """From the first two steps to the last two; and on another document's sections from the base to the tuned model."""
    host, result = trained(tmp_path, base, *LEARNT[name])
    losses = [loss for _, _, loss in host.curve()]
    score = result.evaluation.generalise

    assert len(losses) == STEPS
    assert mean(losses[-2:]) < mean(losses[:2])
    assert score.tuned_loss < score.base_loss


@pytest.mark.parametrize("name", JUDGED)
def test_the_margin_grows_between_what_is_wanted_and_what_is_not(name: str, base: Path, tmp_path: Path) -> None:
    """Its own section against another's. Three held-out examples are too few to judge by after so few steps."""
    host, result = trained(tmp_path, base, *JUDGED[name])
    margins = [margin for _, _, margin in host.curve("rewards/margins")]
    losses = [loss for _, _, loss in host.curve()]

    assert mean(losses[-2:]) < mean(losses[:2])
    assert margins[-1] > margins[0] == pytest.approx(0, abs=1e-4)
    assert result.evaluation.generalise.rewards.examples == EVAL
