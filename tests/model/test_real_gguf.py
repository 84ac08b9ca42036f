"""GGUF files of the real pretrained model, in every quantisation, proven by llama.cpp."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from services.trainer.gguffile import write_gguf
from services.trainer.ggufproof import BOUNDS, Reference, prove, references
from services.trainer.merge import export_merged, load_tuned
from services.trainer.model import load_tokenizer, source_of
from services.trainer.shards import DEFAULT_SHARD_BYTES

pytestmark = [pytest.mark.model, pytest.mark.timeout(900), pytest.mark.filterwarnings("ignore")]

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
SIZES = {
    name: int(size)
    for name, size in re.findall(r"^\| (\w+)[^|]*\| [\d.]+ \| [\d.]+ \| (\d+) MB \|$", PAGE, re.MULTILINE)
}
"""By quantisation: megabytes of the file, as the page has them."""


@pytest.fixture(scope="module")
def merged(base: Path, adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, list[Reference]]:
    """Merged weights with their tokenizer, and what the tuned model says."""
    source, folder = source_of(str(base), ""), tmp_path_factory.mktemp("merged")
    tokenizer = load_tokenizer(source)
    tokenizer.save_pretrained(folder)
    export_merged(source, adapter, folder, lambda: None, DEFAULT_SHARD_BYTES)
    return folder, tokenizer, references(load_tuned(source, adapter), tokenizer)


def test_fewer_bits_make_smaller_files() -> None:
    """The page has every quantisation, from the largest to the smallest; BF16 is as large as F16."""
    assert list(SIZES) == list(BOUNDS)
    assert list(SIZES.values()) == sorted(SIZES.values(), reverse=True)


@pytest.mark.parametrize("quantization", BOUNDS)
def test_a_real_model_in_fewer_bits_says_what_it_said(
    merged: tuple[Path, Any, list[Reference]], tmp_path: Path, quantization: str
) -> None:
    """Rounding and probabilities within the bounds, and a file as large as the page says."""
    weights, tokenizer, expected = merged
    path = tmp_path / f"{quantization}.gguf"
    rounding = write_gguf(weights, path, quantization, "smollm2")
    found = prove(path, expected, tokenizer, quantization, tmp_path / "llama.log")
    divergence_bound, rounding_bound = BOUNDS[quantization]

    assert found.divergence <= divergence_bound
    assert rounding <= rounding_bound
    assert path.stat().st_size / 1e6 == pytest.approx(SIZES[quantization], abs=1)
