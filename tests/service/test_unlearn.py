"""The client on all five services: documents in, reviewed, trained on, and one of them unlearned."""

from __future__ import annotations

import json
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
