"""The documentation does not go stale: commands are commands, links lead somewhere, every reason has a remedy."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from finetuneflow.common.v1 import reasons_pb2
from finetuneflow_client.cli.grammar.parser import build
from tests.unit.docs.pages import DOCS, ROOT

PAGES = [*sorted(ROOT.glob("*.md")), *DOCS[1:]]
_BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]+)(#[^)\s]+)?\)")


def names(path: Path) -> str:
    """A page's name, for the ids of tests."""
    return str(path.relative_to(ROOT))


def commands(page: Path) -> Iterator[str]:
    """Every `ftf` command of a page's blocks, without its comment."""
    text = page.read_text(encoding="utf-8")
    for block in _BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            if line.strip().removeprefix("$ ").startswith("ftf "):
                yield re.split(r"\s+#|\s{3,}(?=\S)", line.strip().removeprefix("$ "))[0]


def mentions(page: Path) -> Iterator[str]:
    """Every `ftf` command within a page's sentences; its arguments may be left out."""
    for command in re.findall(r"`(ftf [^`]+)`", _BLOCK.sub("", page.read_text(encoding="utf-8"))):
        yield " ".join(command.split())


def refusal(command: str) -> str:
    """Return what the client's own parser says against a command; "" if it takes it."""
    plain = re.sub(r"\[--.*?\]", "", command.replace("…", ""))
    words = shlex.split(plain if "'" in plain else plain.split("|")[0].split(">")[0])[1:]
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            build(words).parse_args(words)
        except SystemExit as end:
            return said.getvalue() if end.code else ""
    return ""


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_command_of_the_documentation_is_one(page: Path) -> None:
    """The client takes it as it stands there."""
    wrong = {command: said for command in commands(page) if (said := refusal(command))}
    unknown = {command: said for command in mentions(page) if (said := refusal(command)) and "are required" not in said}

    assert (wrong, unknown) == ({}, {})


def test_the_commands_of_the_readme_are_found() -> None:
    """The test above looks at something."""
    found = list(commands(ROOT / "README.md"))

    assert len(found) > 30
    assert refusal("ftf train --no-such-flag") != ""


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_link_of_the_documentation_leads_to_a_file(page: Path) -> None:
    """And to a heading, where it names one. Links to pages made of the contract are looked at by `make docs`."""
    missing = []
    for target, heading in _LINK.findall(page.read_text(encoding="utf-8")):
        if target.startswith("reference/"):
            continue
        path = page.parent / target
        if not path.exists() or (heading and heading[1:] not in anchors(path)):
            missing.append(target + heading)

    assert missing == []


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_make_target_of_the_documentation_is_one(page: Path) -> None:
    """`make …` in blocks and sentences."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = page.read_text(encoding="utf-8")
    lines = [line for block in _BLOCK.findall(text) for line in block.splitlines() if line.startswith("make ")]
    lines += list(re.findall(r"`(make [^`]+)`", text))
    named = {re.split(r"#|\s{2,}", line)[0].split()[1] for line in lines}

    assert named <= targets


def test_every_reason_says_what_to_do() -> None:
    """The comment of a reason in the contract ends with the remedy; it is what the reference prints."""
    text = (ROOT / "protos/finetuneflow/common/v1/reasons.proto").read_text(encoding="utf-8")
    found = re.findall(r"((?:^  //.*\n)+)  REASON_(\w+) = \d+;", text, re.MULTILINE)
    comments = {name: " ".join(line.strip(" /") for line in comment.splitlines()) for comment, name in found}
    reasons = {name.removeprefix("REASON_") for name in reasons_pb2.Reason.DESCRIPTOR.values_by_name}
    short = [name for name, comment in comments.items() if comment.count(".") + comment.count(":") < 2]

    assert set(comments) == reasons
    assert short in ([], ["UNSPECIFIED"])
