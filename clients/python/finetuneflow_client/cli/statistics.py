"""Datasets in numbers, and their reports."""

from __future__ import annotations

from pathlib import Path

from finetuneflow.dataset.v1 import dataset_service_pb2, statistics_pb2
from finetuneflow_client import names
from finetuneflow_client.cli import targets, wording
from finetuneflow_client.cli.session import Session
from finetuneflow_client.downloads import place, unwritable


async def stats(session: Session) -> None:
    """Count a dataset's examples by file, split and reason, and if wanted their tokens."""
    args = session.args
    name = await targets.dataset(session, args.dataset)
    request = dataset_service_pb2.GetDatasetStatisticsRequest(
        name=name,
        count_tokens=args.tokens,
        model=await targets.model(session, args.model) if args.model else "",
        max_length=args.max_length,
    )
    found = await session.flow.dataset.GetDatasetStatistics(request, timeout=300)
    if session.output.as_json:
        session.output.message(found)
    if not found.accepted and not found.dropped:
        session.screen.say(wording.no_examples(name))
    if session.output.as_json:
        return
    approved = f", {found.approved:,} of them approved" if found.approved else ""
    session.output.facts(
        {
            "dataset": name,
            "accepted": f"{found.accepted:,}{approved}",
            "split": f"{found.train_examples:,} to train on, {found.eval_examples:,} of documents held out, "
            f"{found.recall_examples:,} kept back of trained documents",
            "dropped": wording.drops([(drop.reason, drop.count) for drop in found.dropped]),
            "types": _named(list(found.types)),
            "languages": _named(list(found.languages)),
            "prompts": _spread(found.prompt_characters),
            "responses": _spread(found.response_characters),
            "scores": "; ".join(f"{name} {_score(found.scores[name])}" for name in sorted(found.scores)),
            "judged": _named(list(found.judged)),
            **(_tokens(found.tokens) if found.HasField("tokens") else {}),
        }
    )
    session.output.line()
    rows = [(f.display_name, f"{f.accepted:,}", _split(f.split)) for f in found.files]
    session.output.table(("FILE", "ACCEPTED", "SPLIT"), rows)


async def report(session: Session) -> None:
    """Save a dataset's report with its plots."""
    args = session.args
    name = await targets.dataset(session, args.dataset)
    request = statistics_pb2.MakeDatasetReportRequest(
        name=name,
        model=await targets.model(session, args.model) if args.model else "",
        max_length=args.max_length,
    )
    found = await session.flow.dataset.GetDatasetStatistics(
        dataset_service_pb2.GetDatasetStatisticsRequest(name=name), timeout=300
    )
    if not found.accepted and not found.dropped:
        session.screen.say(wording.no_examples(name))
    files: dict[str, bytes] = {}
    async for part in session.flow.dataset.MakeDatasetReport(request):
        files[part.filename] = files.get(part.filename, b"") + part.data
    folder = Path(args.output or f"{names.short(name)}-report")
    paths = []
    try:
        for filename, content in files.items():
            path = place(folder, filename)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            paths.append(str(path))
    except OSError as error:
        raise unwritable(folder, error, "choose another folder with -o") from error
    session.output.saved(paths)


def _tokens(found: statistics_pb2.TokenStatistics) -> dict[str, str]:
    percentiles = ", ".join(f"p{p.percent} {p.tokens:,}" for p in found.percentiles)
    facts = {
        "tokens": f"{found.total:,} as {found.tokenizer} counts; {found.mean:.1f} an example, "
        f"{found.min:,} to {found.max:,}; {percentiles}"
    }
    if found.max_length:
        facts["truncated"] = f"{found.truncated:,} ({found.truncated_share:.1%}) over {found.max_length:,} tokens"
    return facts


def _named(counts: list[statistics_pb2.NamedCount]) -> str:
    return ", ".join(f"{c.name} {c.count:,}" for c in counts if c.name)


def _spread(found: dataset_service_pb2.Distribution) -> str:
    return f"{found.mean:.0f} characters on average, {found.min:.0f} to {found.max:.0f}, 95 % up to {found.p95:.0f}"


def _score(found: dataset_service_pb2.Distribution) -> str:
    return f"{found.mean:.2f} on average, {found.min:.3g} to {found.max:.3g}"


def _split(value: int) -> str:
    return {1: "train", 2: "held out", 3: "recall"}.get(value, "both or none")
