"""The client on all five services: documents in, reviewed, trained on, and one of them unlearned."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.local import COMPOSES
from tests.fakes.chat_model import tokenizer_json
from tests.fakes.commands import Client
from tests.fakes.ingest import text
from tests.fakes.llm_server import llm
from tests.fakes.model_folder import model_files, write_folder
from tests.fakes.running import serving
from tests.fakes.tiny_model import CHATML
from tests.service.test_training import fake_jobs


def _why(ledger: Any, name: str) -> dict[str, int]:
    (step,) = (s for s in ledger["steps"] if s["step"] == name)
    return {drop["reason"]: int(drop["count"]) for drop in step.get("dropped", ())}


def _given(folder: Path) -> tuple[Path, Path]:
    """Write three documents and a model; return their folders."""
    docs = folder / "docs"
    docs.mkdir()
    for number in range(3):
        (docs / f"{number}.md").write_text(f"# Manual {number}\n\n{text(number, 6)}\n")
    files = model_files()
    files["tokenizer.json"] = tokenizer_json()
    files["tokenizer_config.json"] = json.dumps({"chat_template": CHATML}).encode()
    return docs, write_folder(folder / "model", files)


async def _begun_from(ftf: Client, folder: Path, model: Path, words: list[str]) -> None:
    """Train on other examples, one run after the other with the weights of "r", and one with the base model's."""
    rows = [{"prompt": f"What is valve {n}?", "response": f"Valve {n} opens at {n} bar."} for n in range(4)]
    (folder / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    await ftf.plain("dataset", "import", str(folder / "own.jsonl"), "--id", "own")
    train = ["train", "-w", "-d", "own", "-m", str(model), *words]
    await ftf.plain(*train, "--id", "second", "--resume-from-checkpoint", "r", "--resume-weights-only")
    await ftf.plain(*train, "--id", "third", "--resume-from-checkpoint", "second", "--resume-weights-only")
    await ftf.plain(*train, "--id", "apart")


async def test_a_document_is_unlearned_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All that used it is shown and nothing changed; with --yes the file goes, and a version without it is frozen."""
    docs, model = _given(tmp_path)
    jobs = fake_jobs(tmp_path, steps=2, save_steps=1)
    async with llm() as server, serving(tmp_path, COMPOSES, jobs=jobs) as served:
        ftf = Client(tmp_path, served.address, capsys, "-q")
        await ftf.plain("project", "create", "p")
        await ftf.plain("upload", str(docs))
        await ftf.plain("chunk")
        await ftf.plain("llm", "create", "fake", "--url", server.url, "--llm-model", "m")
        await ftf.plain("dataset", "generate", "--id", "d", "--recall-fraction", "0", "--eval-fraction", "0")
        first = await ftf.json("dataset", "ledger")
        await ftf.plain("dataset", "review", "--filter", "*", "--approve", "--tag", "read")
        words = ["--no-recommended", "--max-length", "256", "--max-truncated", "1"]
        await ftf.plain("train", "-w", "-d", "d", "-m", str(model), "--id", "r", "--only-approved", *words)
        run = await ftf.json("runs", "r")
        await _begun_from(ftf, tmp_path, model, words)
        shown = await ftf.json("unlearn", "1.md")
        before = await ftf.json("dataset", "ledger", "d")
        told = await ftf.plain("unlearn", "1.md", "--yes")
        again = await ftf.json("unlearn", shown["file"].rpartition("/")[2], "--yes")
        after = await ftf.json("dataset", "ledger", "d")
        difference = await ftf.json("dataset", "diff", "-d", "d")
        left = await ftf.json("files")
        report = await ftf.plain("dataset", "report", "d", "-o", str(tmp_path / "report"), "--max-length", "32")
        for job in await jobs.list():
            await jobs.stop(job.name, 0)

    assert [s["step"] for s in first["steps"]][:4] == ["files", "paragraphs", "characters", "chunks"]
    assert (run["only_approved"], shown["deleted"]) == (True, False)
    assert (run["dataset_version"], [u["accepted"] for u in shown["uses"]]) == (2, ["3"])
    assert [r["name"].rpartition("/")[2] for r in shown["runs"]] == ["r", "second", "third"]
    assert [(v["version"], v["rows"]) for v in shown["uses"][0]["versions"]] == [(1, "3"), (2, "3")]
    assert _why(before, "review") == {}
    assert "with `ftf rerun r --dataset-version 3`, then" in told
    assert "with `ftf rerun third --from-checkpoint NEW --resume-weights-only`, NEW being second trained again" in told
    assert "version 3 without it" in told
    assert again["uses"][0].get("accepted", "0") == "0"
    assert _why(after, "review") == {"DOCUMENT_DELETED": 3}
    assert (difference["removed"], difference["other_version"]) == ("3", 3)
    assert sorted(f["display_name"] for f in left["files"]) == ["0.md", "2.md"]
    assert len(report.splitlines()) == 5


async def _trained(ftf: Client, folder: Path, url: str) -> None:
    """Make a dataset of documents, "r" of it, an export of "r", and two runs that began one from the other."""
    docs, model = _given(folder)
    await ftf.plain("project", "create", "p")
    await ftf.plain("upload", str(docs))
    await ftf.plain("chunk")
    await ftf.plain("llm", "create", "fake", "--url", url, "--llm-model", "m")
    await ftf.plain("dataset", "generate", "--id", "d", "--recall-fraction", "0", "--eval-fraction", "0")
    words = ["--no-recommended", "--max-length", "256", "--max-truncated", "1"]
    await ftf.plain("train", "-w", "-d", "d", "-m", str(model), "--id", "r", *words)
    await ftf.plain("export", "r", "--id", "x", "-w")
    await _begun_from(ftf, folder, model, words)
    await ftf.plain("export", "apart", "--id", "clean", "-w")


@asynccontextmanager
async def _learned(folder: Path, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Client]:
    """Run all services with what `_trained` makes; no trainer is left behind."""
    jobs = fake_jobs(folder, steps=2, save_steps=1)
    async with llm() as server, serving(folder, COMPOSES, jobs=jobs) as served:
        ftf = Client(folder, served.address, capsys, "-q")
        await _trained(ftf, folder, server.url)
        yield ftf
        for job in await jobs.list():
            await jobs.stop(job.name, 0)


async def test_what_learned_is_found_when_the_run_that_it_came_from_is_deleted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By what exports and later runs recorded themselves; and without the dataset by the documents of its exports."""
    async with _learned(tmp_path, capsys) as ftf:
        for run in ("r", "second"):
            await ftf.plain("runs", run, "--delete", "--yes")
        shown, words = await ftf.json("unlearn", "1.md"), await ftf.plain("unlearn", "1.md")
        traced = await ftf.plain("trace", "exports/x")
        await ftf.plain("dataset", "delete", "d", "--yes")
        later, blind = await ftf.json("unlearn", "1.md"), await ftf.plain("trace", "exports/x")
        told = await ftf.plain("unlearn", "1.md", "--yes")

    found = [[thing["name"] for thing in shown[kind]] for kind in ("runs", "exports")]
    assert found == [["projects/p/runs/third"], ["projects/p/exports/x"]]
    assert "export    projects/p/exports/x: weights of r, which is deleted\n" in words
    assert "run      projects/p/runs/r: deleted since\n" in traced
    assert "dataset  projects/p/datasets/d, version 1, sha256 " in traced
    assert [[thing["name"] for thing in later[kind]] for kind in ("runs", "exports")] == found
    assert "file     1.md (" in blind
    assert "with `ftf rerun third`, from the base model as second is deleted, then" in told


async def test_what_learned_is_found_though_its_version_was_erased_for_another_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the documents that the export recorded. A later run of the same name is not taken for the export's own."""
    async with _learned(tmp_path, capsys) as ftf:
        await ftf.plain("runs", "r", "--delete", "--yes")
        await ftf.plain("unlearn", "1.md", "--yes", "--erase")
        words = ["--no-recommended", "--max-length", "256", "--max-truncated", "1"]
        await ftf.plain("train", "-w", "-d", "d", "--id", "r", *words)
        shown, traced = await ftf.json("unlearn", "2.md"), await ftf.plain("trace", "exports/x")
        as_json = await ftf.json("trace", "exports/x")

    assert "projects/p/exports/x" in [thing["name"] for thing in shown["exports"]]
    assert "run      projects/p/runs/r: deleted since; another has its name\n" in traced
    assert "run" not in as_json
