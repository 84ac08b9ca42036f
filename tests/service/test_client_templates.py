"""Prompt templates by way of the command ftf."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finetuneflow_client.cli.grammar.parser import build
from finetuneflow_client.cli.main import connected
from tests.fakes.datasets import dataset_service
from tests.fakes.ingest import library
from tests.fakes.llm_server import llm
from tests.fakes.running import TOKEN
from tests.service.test_dataset_templates import TEXT, glossary, schema


async def test_ftf_makes_a_template_and_a_dataset_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Created from files, shown, listed, used by its name and version, deleted."""
    text, rules = tmp_path / "t.md", tmp_path / "t.json"
    text.write_text(TEXT, encoding="utf-8")
    rules.write_text(schema(), encoding="utf-8")
    (tmp_path / "token").write_text(TOKEN)
    make = f"template create glossary --text {text} --schema {rules} --scope passage --map".split()
    commands = (
        [*make, "prompt=term,response=meaning,evidence=quote"],
        ["template", "show", "glossary/1"],
        ["template", "list", "--json"],
        ["dataset", "generate", "-p", "p", "--id", "d", "--template", "glossary/1", "--persona", "a cook", "--quiet"],
        ["dataset", "examples", "-p", "p", "d", "--limit", "1"],
        ["template", "delete", "glossary"],
    )
    outs = []
    async with llm(glossary) as server, dataset_service(tmp_path / "state", server, library(1)) as (_, served):
        for words in commands:
            args = build().parse_args(
                [*words, "--server", served.address, "--token-file", str(tmp_path / "token"), "--state", str(tmp_path)]
            )
            assert await connected(args.command, args) == 0
            outs.append(capsys.readouterr().out)

    assert outs[0] == "promptTemplates/glossary/versions/1\n"
    assert "prompt: term" in outs[1]
    assert TEXT.strip() in outs[1]
    assert json.loads(outs[2])["prompt_templates"][-1]["name"].startswith("promptTemplates/glossary")
    assert "by a cook" in outs[4]
