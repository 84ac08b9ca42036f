"""ONNX graphs: what is refused before they are made, and how one is followed and judged.

The packages that make and load them are an extra, onnx, of the project. Here torch does in their place what a written
graph does; tests/model has real ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from services.common.errors import NotReady
from services.trainer import onnxexport
from services.trainer.acceptance import observe, require_same
from services.trainer.model import load_tokenizer, source_of
from services.trainer.onnxgraph import Cached, Graph
from tests.trainer.test_gguf import TUNED
from tests.trainer.test_merge import adapted

LONG = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 2, "long_factor": [4.0] * 2}


class TorchGraph(Graph):
    """What a written graph does, done by torch."""

    loader = "torch"

    def __init__(self, model: Any) -> None:
        self._model = Cached(model.eval())

    def no_past(self, batch: int) -> list[Any]:
        """Nothing: torch needs no empty tensors."""
        return []

    def step(self, ids: Any, attention: Any, past: Sequence[Any]) -> tuple[Any, list[Any]]:
        """The same numbers, by transformers."""
        import torch

        positions = (attention.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        with torch.no_grad():
            return self._model(ids, attention, positions, past)


@pytest.fixture
def merged(tmp_path: Path, model: Path) -> Any:
    """A model that prefers some tokens to others."""
    return adapted(model, tmp_path / "adapter", **TUNED).merge_and_unload()


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"model_type": "bloom", "architectures": ["BloomForCausalLM"]}, "BloomForCausalLM"),
        ({"model_type": "phi3", "architectures": ["Phi3ForCausalLM"], "rope_parameters": LONG}, "longrope"),
        (
            {"model_type": "phi3", "architectures": ["Phi3ForCausalLM"], "rope_scaling": LONG},
            "longrope",
        ),
    ],
)
def test_a_model_that_a_graph_cannot_hold_is_refused_before_it_is_merged(
    tmp_path: Path, config: dict[str, Any], named: str
) -> None:
    """Only its config.json is read. Longrope would be written without a complaint, and answer wrongly."""
    shape = {"hidden_size": 16, "num_attention_heads": 4, "original_max_position_embeddings": 16}
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 64, **shape, **config}))
    with pytest.raises(NotReady) as caught:
        onnxexport.export_onnx(source_of(str(tmp_path), ""), tmp_path, tmp_path, tmp_path / "scratch", lambda: None)

    assert caught.value.reason == "ARCHITECTURE_UNKNOWN"
    assert named in caught.value.message
    assert not (tmp_path / "scratch").exists()


def test_a_graph_that_answers_as_the_merged_weights_do_is_proven(model: Path, merged: Any) -> None:
    """Alone, padded in one batch, and token by token with the cache; every token of the answers is its own choice."""
    tokenizer = load_tokenizer(source_of(str(model), ""))
    proof = onnxexport.prove(merged, tokenizer, TorchGraph(merged), tokenizer)

    assert 0 < proof.max_logit_difference < proof.logit_bound == 1e-3
    assert (proof.agreement, proof.loader) == (1.0, "torch")
    assert proof.tokens > 40


class Forgetful(TorchGraph):
    """Mistakes what came before for padding."""

    def step(self, ids: Any, attention: Any, past: Sequence[Any]) -> tuple[Any, list[Any]]:
        """With the cache, only the new token is seen."""
        attention = attention.clone()
        attention[:, : attention.shape[1] - ids.shape[1]] = 0
        return super().step(ids, attention, past)


class Unmasked(TorchGraph):
    """Attends to padding."""

    def step(self, ids: Any, attention: Any, past: Sequence[Any]) -> tuple[Any, list[Any]]:
        """As if nothing were padding."""
        return super().step(ids, attention.new_ones(attention.shape), past)


@pytest.mark.parametrize("kind", [Forgetful, Unmasked])
def test_a_graph_that_answers_otherwise_is_refused(model: Path, merged: Any, kind: Callable[[Any], Graph]) -> None:
    """Whether the cache or the padding is at fault."""
    tokenizer = load_tokenizer(source_of(str(model), ""))
    with pytest.raises(NotReady) as caught:
        onnxexport.prove(merged, tokenizer, kind(merged), tokenizer)

    assert caught.value.reason == "ACCEPTANCE_FAILED"
    assert "logits differ" in caught.value.message


def test_a_graph_beside_which_the_end_tokens_are_lost_is_refused(tmp_path: Path, model: Path, merged: Any) -> None:
    """Whoever runs it stops at what the files say: generation settings, or the configuration where there are none."""
    tokenizer, graph = load_tokenizer(source_of(str(model), "")), TorchGraph(merged)
    expected = observe(merged, tokenizer)
    merged.config.save_pretrained(tmp_path)
    of_configuration = onnxexport.observe_graph(graph, tokenizer, tmp_path)
    (tmp_path / "generation_config.json").write_text("{}")
    lost = onnxexport.observe_graph(graph, tokenizer, tmp_path)

    assert require_same(expected, of_configuration, 1e-3) < 1e-3
    with pytest.raises(NotReady, match="it lacks tokens that end an answer") as caught:
        require_same(expected, lost, 1e-3)
    assert caught.value.reason == "ACCEPTANCE_FAILED"
