"""The help of commands tells the defaults that the services fill in, and their bounds."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from finetuneflow.dataset.v1 import dataset_pb2
from finetuneflow_client.cli import chat
from finetuneflow_client.cli.grammar.parser import build
from finetuneflow_client.cli.grammar.settings import CHUNK, DATASET, Setting
from services.dataset.core import alike, doubles, grounding
from services.dataset.spec import complete
from services.ingest.core.settings import chunk_rules
from services.training.chatform import MAX_KEEP_SECONDS
from tests.service.test_client_streams import leaves

WITHOUT_LIMIT = ("0: no limit", "0: no goal")


def generation() -> dict[str, float]:
    """Return what an empty DatasetSpec becomes; of judge and semantic_duplicates, what one without settings becomes."""
    asked = dataset_pb2.DatasetSpec(judge=dataset_pb2.Judge(), semantic_duplicates=dataset_pb2.SemanticDuplicates())
    spec = complete(asked)
    left_open = {"min_grounding": grounding.LEAST, "near_duplicate": doubles.NEAR}
    assert spec["semantic_duplicates"]["threshold"] == alike.THRESHOLD
    assert not spec.keys() & left_open.keys()
    inner = {f"{name}.{key}": value for name in ("judge", "semantic_duplicates") for key, value in spec[name].items()}
    return {**spec, **inner, **left_open}


def cutting() -> dict[str, float]:
    """Return what chunk settings with nothing but a strategy become."""
    found = chunk_rules("", 0, 0, "markdown").to_document()
    return {name: value for name, value in found.items() if isinstance(value, int)}


@pytest.mark.parametrize(
    ("settings", "filled"), [(DATASET, generation()), (CHUNK, cutting())], ids=["dataset", "chunk"]
)
def test_the_help_of_a_number_ends_with_its_default(settings: tuple[Setting, ...], filled: Mapping[str, float]) -> None:
    """In brackets; 0 may be no limit."""
    numbers = {setting.field: setting.help for setting in settings if setting.kind in (int, float)}
    told = {field: (re.findall(r"\(([^()]+)\)$", text) or [""])[0] for field, text in numbers.items()}
    wrong = {
        field: word
        for field, word in told.items()
        if word != f"{filled[field]:g}" and not (filled[field] == 0 and word in WITHOUT_LIMIT)
    }

    assert len(told) >= len(CHUNK)
    assert wrong == {}


def test_the_help_of_a_chat_tells_how_long_models_may_stay() -> None:
    """From what the command asks for at least to what the service keeps at most."""
    (chat_help,) = (parser.format_help() for parser in leaves(build()) if parser.prog == "ftf chat")
    least = chat._BETWEEN_SECONDS

    assert f"{least} to {MAX_KEEP_SECONDS}; fewer count as {least}" in " ".join(chat_help.split())
