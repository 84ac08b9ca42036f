"""A run on paper: report.md with its pictures, the same as one web page, and evaluation.json."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict

from finetuneflow.common.v1 import work_pb2
from finetuneflow.training.v1 import run_pb2
from services.common.chat.encode import Mask
from services.common.chat.rows import EVAL, RECALL, TRAIN, Row
from services.trainer.plots import evaluation_figure, loss_figure, png, svg
from services.trainer.reportestimate import expected
from services.trainer.reportevaluation import answers, evaluation, forgetting, rewards, samples
from services.trainer.reporthtml import page
from services.trainer.reportmarkdown import markdown
from services.trainer.reportparts import Picture, Report, Section, Span, Table, Text
from services.trainer.totals import Totals

_EVALUATED = {
    "eval_loss": ("loss on held-out examples", "{:.4f}"),
    "eval_mean_token_accuracy": ("tokens foreseen, share", "{:.3f}"),
    "eval_rewards/accuracies": ("better answer has the higher reward, share", "{:.3f}"),
    "eval_rewards/margins": ("margin of rewards", "{:+.4f}"),
}
"""What evaluations while training are shown with: the heading, and the form of the number."""
_OBJECTIVES = {"SFT": "", "PRETRAIN": "Continued pretraining, ", "DPO": "DPO, ", "KTO": "KTO, "}
_METHODS = {"LORA": "LoRA", "QLORA": "QLoRA", "FULL": "Full fine-tuning"}


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
    """Write report.md with loss.png and evaluation.png, report.html and evaluation.json; return their paths."""
    evaluated = [(found["step"], found["eval_loss"]) for found in facts.totals.evaluations]
    figures = {"loss": loss_figure(facts.totals.losses, evaluated), "evaluation": evaluation_figure(result.evaluation)}
    report = contents(facts, result)
    fields = MessageToDict(result.evaluation, preserving_proto_field_name=True)
    files = {
        "report.md": markdown(report).encode(),
        "report.html": page(report, {name: svg(figure) for name, figure in figures.items()}).encode(),
        **{f"{name}.png": png(figure) for name, figure in figures.items()},
        "evaluation.json": (json.dumps(fields, indent=2, ensure_ascii=False) + "\n").encode(),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in files]


def contents(facts: Facts, result: run_pb2.RunResult) -> Report:
    """Return what a report says, whatever it is written as."""
    found = result.evaluation
    return Report(
        title=facts.spec.run,
        summary=_summary(facts, result),
        sections=[
            Section("Evaluation: base against tuned", evaluation(found)),
            Section("Rewards", rewards(found)),
            Section("Answers against references", answers(found)),
            Section("What it forgot", forgetting(found.forgetting)),
            Section("Training", [Picture("loss", "Training loss"), *_training(facts, result)]),
            Section("Estimated and measured", expected(facts.spec, result)),
            Section("Data", [_data(facts)]),
            Section("Where the data came from", _ledger(facts.spec.dataset_counts)),
            Section("Settings", [_settings(facts.settings)]),
            Section("Sample answers", samples(found.samples)),
            Section("Hardware and versions", [Table.of_facts(_versions(facts, result))]),
        ],
    )


def _summary(facts: Facts, result: run_pb2.RunResult) -> Text:
    spec = facts.spec
    return Text.of(
        f"{_OBJECTIVES[facts.settings['objective']]}{_METHODS[facts.settings['method']]} on ",
        Span(facts.base_name, "strong"),
        " (revision ",
        Span(spec.model_revision or "not given", "code"),
        ") with dataset ",
        Span(spec.dataset, "code"),
        f" version {spec.dataset_version} (SHA-256 ",
        Span(spec.dataset_sha256, "code"),
        f"): {result.steps} steps in {result.train_seconds:,.1f} s, {result.trainable_parameters:,} parameters "
        f"trained, attempt {facts.attempt}.",
    )


def _training(facts: Facts, result: run_pb2.RunResult) -> list[Table | Text]:
    totals = facts.totals
    share = 100 * totals.platform_seconds / totals.train_seconds if totals.train_seconds else 0.0
    first = f"{totals.losses[0]:.4f}" if totals.losses else "none"
    table = Table.of_facts(
        [
            ("loss of the first step", first),
            ("mean loss of the last tenth of the steps", f"{result.train_loss:.4f}"),
            ("optimizer steps", f"{result.steps}{', ended early' if result.stopped_early else ''}"),
            *([("weights that are kept: of step", str(result.kept_step))] if result.evaluations else []),
            ("tokens trained on, padding not counted", f"{totals.num_tokens:,.0f}"),
            ("seconds of training, all attempts", f"{totals.train_seconds:.1f}"),
            ("of these in FineTuneFlow itself", f"{totals.platform_seconds:.2f} ({share:.2f} %)"),
            ("most memory used", f"{result.peak_memory_bytes / 2**30:.2f} GiB"),
        ]
    )
    return [table, *_while_training(result)]


def _while_training(result: run_pb2.RunResult) -> list[Table | Text]:
    """Return the evaluations that were made while training, where there were some."""
    if not result.evaluations:
        return []
    shown = [name for name in _EVALUATED if any(name in point.values for point in result.evaluations)]
    rows = [
        (str(point.step), *(_EVALUATED[name][1].format(point.values[name]) for name in shown))
        for point in result.evaluations
    ]
    note = "What chose the weights is no independent measure of them: compare on documents of their own."
    table = Table(("after step", *(_EVALUATED[name][0] for name in shown)), rows)
    return [table, *([Text.of(note)] if result.kept_step != result.steps else [])]


def _data(facts: Facts) -> Table:
    splits = Counter(row.split for row in facts.rows)
    mask = facts.mask
    return Table.of_facts(
        [
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
    )


def _ledger(counts: Sequence[work_pb2.StageCount]) -> list[Table | Text]:
    """Return what came in, went on and was dropped until the dataset was there; nothing where nobody said."""
    if not counts:
        return []
    rows = [
        (
            count.stage,
            f"{getattr(count, 'in'):,}",
            f"{count.out:,}",
            ", ".join(f"{drop.reason} {drop.count:,}" for drop in count.dropped),
        )
        for count in counts
    ]
    note = "At each step, in = out + dropped. These are the dataset's counts as the run was made."
    return [Table(("step", "in", "out", "dropped"), rows), Text.of(note)]


def _settings(settings: Mapping[str, Any]) -> Table:
    return Table(("setting", "value"), [(name, _plain(value)) for name, value in settings.items()])


def _versions(facts: Facts, result: run_pb2.RunResult) -> list[tuple[str, str]]:
    return [*facts.hardware.items(), *sorted(result.versions.items())]


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
