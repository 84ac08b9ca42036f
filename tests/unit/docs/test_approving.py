"""Reviews of many at once: approving takes in what a check dropped, and what users copy does not; filters."""

from __future__ import annotations

import re
from pathlib import Path

from finetuneflow_client.cli.grammar import manual
from finetuneflow_client.cli.grammar.parser import build
from services.dataset.core.filters import FIELDS
from tests.service.test_client_streams import leaves
from tests.unit.docs.pages import DOCS, ROOT

SAFE = "accepted = true"
COMMAND = re.compile(r"--filter '([^']+)'.* --approve\b")
CALL = re.compile(r"""\.review\(\s*[\\"']+([^\\"']+)[\\"']+,\s*(?:action=)?[\\"']+approve""")


def texts() -> dict[str, str]:
    """Return all that users copy from: pages, examples of the client, and what `ftf` says of itself."""
    examples = [path for path in (ROOT / "clients/python/examples").iterdir() if path.is_file()]
    manual_page = Path(str(manual.__file__)).parent.parent / "manual.md"
    pages = [*DOCS, ROOT / "clients/python/README.md", *examples, manual_page]
    shown = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in pages}
    return shown | {parser.prog: parser.format_help() for parser in leaves(build())}


def test_every_filter_that_approves_leaves_out_what_a_check_dropped() -> None:
    """Personal data, injected text and canaries stay out of a dataset unless somebody means to have them."""
    found = [(name, told) for name, text in texts().items() for told in COMMAND.findall(text) + CALL.findall(text)]
    names = {name for name, _ in found}

    assert names >= {"docs/review.md", "ftf dataset review", "clients/python/examples/review.ipynb"}
    assert [one for one in found if not one[1].startswith(SAFE)] == []


def test_the_filter_that_the_help_of_a_review_shows_first_is_such_a_one() -> None:
    """Its scores are those that somebody approves by."""
    (help_,) = (parser.format_help() for parser in leaves(build()) if parser.prog == "ftf dataset review")
    found = re.findall(r"'([^']*scores\.[^']*)'", " ".join(help_.split()))

    assert [told for told in found if not told.startswith(SAFE)] == []


def test_the_page_names_every_field_of_a_filter() -> None:
    """And none besides, scores and texts apart, which have other comparisons."""
    page = (ROOT / "docs" / "review.md").read_text(encoding="utf-8")
    told = page.partition("`ftf dataset examples`): ")[2].partition(" with `=`")[0]
    named = {name.strip() for name in re.sub(r"\([^)]*\)", "", told).split(",")}

    assert named == FIELDS.keys() - {"text"}
