"""The page of a training's defaults has what the code fills in, and says where it is from."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from docs import defaults, prompts, recommended
from services.dataset import templates
from services.trainer.settings import DEFAULTS, LORA_DEFAULTS

LIBRARIES = ("TRL", "transformers", "PEFT")


@pytest.fixture(scope="module")
def table() -> dict[str, tuple[str, str, str, str]]:
    """Setting → default, default of the libraries, reason, source."""
    return {name: tuple(cells) for name, *cells in defaults.rows()}  # type: ignore[misc]


def test_every_default_is_in_the_table(table: dict[str, tuple[str, str, str, str]]) -> None:
    """With the value that the service fills in and that the trainer would take by itself, and a reason."""
    alone = {**DEFAULTS, **{f"lora.{name}": value for name, value in LORA_DEFAULTS.items()}}
    settings = {name for found in defaults.completed().values() for name in found}
    differ = [
        name
        for name, value in alone.items()
        if table[name][0].partition(";")[0] != defaults.written(defaults.UNSET if value is None else value)
    ]

    assert set(table) == settings
    assert differ == []
    assert [name for name, (_, _, why, source) in table.items() if not (why and source)] == []


def test_reasons_are_of_settings_that_there_are() -> None:
    """A setting that is gone takes its reason with it."""
    reasons = tomllib.loads(Path(defaults.ROOT, "docs/defaults.toml").read_text(encoding="utf-8"))
    settings = {name for found in defaults.completed().values() for name in found}

    assert set(reasons) - settings == set()


def test_a_default_that_is_said_to_be_a_librarys_is_its(table: dict[str, tuple[str, str, str, str]]) -> None:
    """Read from the library that is installed: another value would be ours."""
    said = {name: cells for name, cells in table.items() if cells[3] in LIBRARIES}
    differ = {
        name: (ours, theirs)
        for name, (ours, theirs, _, _) in said.items()
        if ours.partition(";")[0].rpartition(": ")[2] not in [one.rpartition(": ")[2] for one in theirs.split("; ")]
    }

    assert differ == {}
    assert len(said) > 10


def test_what_is_recommended_is_told_for_each_case() -> None:
    """In sentences of the code: each of the settings of a recommendation has one, and memory."""
    page = defaults.page()
    told = [page.split(f"### {title}\n")[1].split("\n#")[0] for title in recommended.CASES]

    assert all(text.count("\n- ") >= 10 and "learning_rate = " in text and "Memory: about" in text for text in told)


def test_every_template_of_the_service_is_on_its_page() -> None:
    """Word for word."""
    page = prompts.page()

    assert [v for v in templates.BUILT_IN if templates.document(v)["text"].strip() not in page] == []
