"""A dataset in full: what it was made of, its balance, its versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finetuneflow.dataset.v1 import dataset_pb2
from finetuneflow_client import names
from finetuneflow_client.cli import wording
from finetuneflow_client.cli.view.dataset import stage_rows
from finetuneflow_client.cli.view.estimate import estimate_rows
from finetuneflow_client.errors import from_work

if TYPE_CHECKING:
    from finetuneflow_client.cli.output import Output


_HELD_BACK = (
    "{} was asked as much at once as its limit allows and refused nothing. Unless it queues calls, "
    "`ftf llm update --adaptive`, or a higher --max-concurrency, may be faster."
)


def show_dataset(output: Output, dataset: dataset_pb2.Dataset) -> None:
    """Write a dataset: for programs as it is, for people in figures."""
    if output.as_json:
        output.message(dataset)
        return
    output.facts(
        {
            "dataset": dataset.name,
            "state": f"{wording.state(dataset.work)} {wording.progress(dataset.work)}".strip(),
            "waiting": wording.waiting(dataset.work),
            "error": from_work(dataset.work, names.short(dataset.name)) or "",
            **_origin(dataset),
            "flags": wording.drops(sorted(dataset.flags.items())),
            "versions": "\n".join(map(_version, dataset.versions)),
        }
    )
    output.line()
    output.table(("STAGE", "IN", "OUT", "DROPPED"), stage_rows(list(dataset.counts)))
    if dataset.HasField("estimate"):
        output.line()
        output.table(("", "EXPECTED", "MEASURED"), estimate_rows(dataset))
    if dataset.usage.held_back:
        output.line()
        output.line(_HELD_BACK.format(names.short(dataset.spec.llm_endpoint)))


def _version(version: dataset_pb2.DatasetVersion) -> str:
    sides = (
        "erased with a document"
        if version.erased
        else f"{version.train_examples} train, {version.eval_examples} held out, {version.recall_examples} recall"
    )
    approved = "approved only, " if version.approved_only else ""
    return f"{version.version}: {sides}, {approved}sha256 {version.artifact.sha256}"


def _origin(dataset: dataset_pb2.Dataset) -> dict[str, str]:
    if dataset.HasField("imported"):
        file = dataset.imported
        return {
            "imported": f"{file.filename}, {wording.size(file.size_bytes)}, sha256 {file.sha256}",
            "kind": {2: "preference", 3: "KTO", 4: "raw text"}.get(dataset.kind, "conversations"),
        }
    usage = dataset.usage
    if dataset.kind == dataset_pb2.DATASET_KIND_TEXT:
        return {"files": wording.many(len(dataset.spec.files), "file"), "kind": "raw text of documents, without an LLM"}
    return {
        "files": wording.many(len(dataset.spec.files), "file"),
        "llm": dataset.spec.llm_endpoint,
        "judge": _judge(dataset),
        "embeddings": _embeddings(dataset),
        "usage": f"{wording.many(usage.calls, 'call')}, {usage.prompt_tokens:,} prompt and "
        f"{usage.completion_tokens:,} reply tokens, {wording.duration(usage.seconds)}"
        + (f", cost {usage.cost:,.4f}" if usage.cost else ""),
        "stopped": dataset.stop_reason,
    }


def _judge(dataset: dataset_pb2.Dataset) -> str:
    """Return who judges the examples, from which score they are kept, and how often it was asked."""
    judge = dataset.spec.judge
    if not dataset.spec.HasField("judge"):
        return ""
    return f"{judge.llm_endpoint}, from {judge.min_score:g} of 5; {wording.many(dataset.usage.judge_calls, 'call')}"


def _embeddings(dataset: dataset_pb2.Dataset) -> str:
    """Return which vectors examples are compared by, from which cosine on they are the same, and how many there are."""
    found = dataset.spec.semantic_duplicates
    if not dataset.spec.HasField("semantic_duplicates"):
        return ""
    texts = wording.many(dataset.usage.embedded_texts, "text")
    return f"{found.model} of {found.llm_endpoint}, the same from {found.threshold:g}; {texts}"
