"""The commands of README and docs, in their order, against all five services: what stands there works.

The LLM is scripted and the trainer a stand-in; that the same commands train is what the demo and test_pipeline.py say.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import shutil
import sys
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from services import local
from tests.fakes.llm_server import Answer, LlmServer, Request, good
from tests.fakes.office import xlsx_file
from tests.fakes.running import TOKEN, serving
from tests.fakes.terminal import Terminal
from tests.fakes.tiny_model import hollow_model
from tests.service.test_dataset_templates import glossary
from tests.service.test_training import fake_jobs
from tests.unit.docs.pages import DOCS, ROOT, Block, blocks

GUIDES = [page for page in DOCS if page.parent != ROOT and any(block.is_run_here for block in blocks(page))]
SAMPLES = ROOT / "samples" / "documents"
TEACHER = "http://127.0.0.1:11500/v1"
# What every project has before a page begins, and what some have beside it.
SERVER = [
    "ftf model add .cache/SmolLM2-135M-Instruct --id smollm2",
    f"ftf llm create teacher --url {TEACHER} --llm-model smollm2-135m-instruct",
]
PROJECT = ["ftf upload handbook.pdf notes.md", "ftf chunk --model smollm2"]
BEFORE = {
    "cli.md": ["ftf dataset generate --id handbook"],
    "dataset-formats.md": ["ftf dataset generate --id handbook"],
    "evaluation.md": ["ftf dataset generate --id handbook", "ftf train --id run-1 --watch"],
    "review.md": ["ftf dataset generate --id d1", "ftf dataset review d1 --filter '*' --approve", "ftf dataset freeze"],
    "training.md": [
        "ftf dataset import verdicts.jsonl --id verdicts",
        "ftf dataset generate --id other",
        "ftf dataset generate --id handbook",
        "ftf train --dataset handbook --id run-1 --watch",
    ],
    # The page shows two ways to the same dataset.
    "ftf dataset import texts.jsonl --id texts": ["ftf dataset delete texts --yes"],
}
# The scripted LLM knows English only.
TOLD = {"--language de": "--language en"}
ROWS = {
    "pairs": [{"prompt": f"What is {n}?", "chosen": f"{n}, a number.", "rejected": "No."} for n in range(12)],
    "texts": [{"text": f"The pump {n} stands in the cellar. It lifts the water to the roof."} for n in range(12)],
    "verdicts": [{"prompt": f"What is {n}?", "completion": f"{n}.", "label": n % 2 == 0} for n in range(12)],
}


def teacher(request: Request) -> Answer:
    """A good reply, of a template of one's own, too."""
    return glossary(request) if '"term"' in json.dumps(request.body) else good(request)


def lay_out(folder: Path) -> None:
    """Write the files that the pages name."""
    hollow_model(folder / ".cache" / "SmolLM2-135M-Instruct")
    (folder / "samples").symlink_to(ROOT / "samples")
    shutil.copy(SAMPLES / "company-history.pdf", folder / "handbook.pdf")
    shutil.copy(SAMPLES / "safety-rules.md", folder / "notes.md")
    (folder / "prices.xlsx").write_bytes(xlsx_file({"Prices": [["pump", 120], ["valve", 14]]}))
    shutil.copytree(SAMPLES, folder / "manuals", ignore=shutil.ignore_patterns("*.docx", "*.pdf"))
    shutil.make_archive(str(folder / "manuals"), "zip", folder / "manuals")
    for name, rows in ROWS.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "qa.csv").write_text("question,answer\n" + "".join(f"What is {n}?,A number.\n" for n in range(12)))
    (folder / "fields.json").write_text(json.dumps({"type": "object", "properties": {"number": {"type": "string"}}}))


@pytest.fixture
async def terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Terminal]:
    """A terminal in a folder with the files, whose server is up."""
    for name in ("FTF_PROJECT", "FTF_SERVER", "FTF_TOKEN", "FTF_LLM_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    lay_out(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO("What does the keeper read?\n"))
    llm = LlmServer(teacher)
    await llm.start()
    (tmp_path / "state").mkdir()
    jobs = fake_jobs(tmp_path / "state", steps=40, save_steps=40, step_seconds=0)
    async with serving(tmp_path / "state", local.COMPOSES, jobs=jobs) as served:
        local.announce(tmp_path / "state", served.program, time.monotonic())
        (tmp_path / "state" / local.TOKEN_FILE).write_text(TOKEN)
        yield Terminal(tmp_path, served.address, capsys, {TEACHER: llm.url, **TOLD})
        for job in await jobs.list():
            await jobs.stop(job.name, 0)
    await llm.stop()


async def meant(terminal: Terminal, command: str) -> str:
    """Put a name that exists where the page has one that stands for any, and leave out what may be left out."""
    if "exports/ID" in command:
        found = json.loads((await terminal.run("ftf exports --json"))[1])["exports"][0]["name"]
        return command.replace("exports/ID", found)
    if re.search(r"\be-\d", command):
        examples = json.loads((await terminal.run("ftf dataset examples d1 --json"))[1])["examples"]
        return re.sub(r"\be-(\d)", lambda found: str(examples[int(found[1])]["name"]).rpartition("/")[2], command)
    return re.sub(r" \[(?:FILE|--)[^\]]*\]", "", command)


async def failures(terminal: Terminal, commands: Iterable[str]) -> list[tuple[str, int, str]]:
    """Run commands in their order; return those that fail, with what they say."""
    found = []
    for command in commands:
        code, said = await terminal.run(await meant(terminal, command))
        if code:
            found.append((command, code, said))
    return found


async def read(terminal: Terminal, page: Iterable[Block]) -> list[tuple[str, int, str]]:
    """Do what a page says, block by block; return what fails."""
    failed = []
    for block in page:
        if block.file:
            Path(block.file).write_text(block.text, encoding="utf-8")
        elif block.is_run_here:
            for line in (line for line in block.lines if line.startswith("ftf ")):
                failed += await failures(terminal, [*BEFORE.get(line, []), line])
    return failed


async def test_the_flow_by_hand_works_as_the_readme_says(terminal: Terminal) -> None:
    """From a project to the trace of a weight file, and all of it again in one command."""
    failed = await read(terminal, blocks(ROOT / "README.md"))

    assert failed == []


async def test_the_commands_of_each_guide_work_as_they_stand(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page in a project of its own."""
    failed = {"": await failures(terminal, SERVER)}
    for page in GUIDES:
        monkeypatch.setenv("FTF_PROJECT", page.stem)
        before = [f"ftf project create {page.stem}", *PROJECT, *BEFORE.get(page.name, [])]
        failed[page.name] = await failures(terminal, before)
        failed[page.name] += await read(terminal, sorted(blocks(page), key=lambda block: not block.file))

    assert {name: found for name, found in failed.items() if found} == {}


async def test_buf_asks_the_server_as_the_readme_says(terminal: Terminal, tmp_path: Path) -> None:
    """Its address and its token are where the page says; the server describes itself."""
    text = {block.line: block.text for block in blocks(ROOT / "README.md") if "$TOKEN" in block.text}
    settings, asking = (text[line] for line in sorted(text))
    home = "STATE=~/.local/state/finetuneflow"
    script = settings[: settings.index("grpcurl")].replace(home, f"STATE={tmp_path / 'state'}") + asking

    shell = await asyncio.create_subprocess_exec(
        "bash", "-euc", script, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )  # fmt: skip
    out, said = await shell.communicate()

    assert (shell.returncode, json.loads(out or b"0")) == (0, {}), said
