"""A language model as an ONNX graph with its key-value cache as inputs and outputs, and the graph at work.

The names are those that optimum gives: input_ids, attention_mask, position_ids, past_key_values.N.key and .value in;
logits, present.N.key and .value out. Batch, sequence and past may be of any length, past of none.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

GRAPH = "model.onnx"
WEIGHTS = "model.onnx_data"

_BATCH, _SEQUENCE, _PAST = 2, 3, 5
"""Lengths of the example that is traced: none is 0 or 1, which tracing would take for fixed."""


class Cached(torch.nn.Module):
    """A model whose cache is given and returned as plain tensors, a key and a value for each layer."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: Any, attention_mask: Any, position_ids: Any, past: Sequence[tuple[Any, Any]]
    ) -> tuple[Any, list[tuple[Any, Any]]]:
        """Return the logits, batch × sequence × vocabulary, and the cache with the sequence at its end.

        Args:
            input_ids: batch × sequence.
            attention_mask: batch × (past + sequence): 0 for padding, which is on the left.
            position_ids: batch × sequence.
            past: of each layer, batch × heads × past × width of a head.
        """
        from transformers import DynamicCache

        found = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=DynamicCache(past),
            use_cache=True,
        )
        return found.logits, [(layer.keys, layer.values) for layer in found.past_key_values.layers]


def cache_names(prefix: str, layers: int) -> list[str]:
    """Return the names of a cache's tensors, in order: "present.0.key", "present.0.value", …"""
    return [f"{prefix}.{layer}.{part}" for layer in range(layers) for part in ("key", "value")]


def write_graph(model: Any, folder: Path) -> int:
    """Write a model in float32 on the CPU as GRAPH and WEIGHTS, and return the version of the operators used.

    torch's own exporter traces it once and writes every weight as it is.
    """
    import onnx_ir

    cached = Cached(model).eval()
    ids = torch.ones(_BATCH, _PAST, dtype=torch.long)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, past = cached(ids, torch.ones_like(ids), torch.arange(_PAST).repeat(_BATCH, 1), [])
        example = (
            torch.ones(_BATCH, _SEQUENCE, dtype=torch.long),
            torch.ones(_BATCH, _PAST + _SEQUENCE, dtype=torch.long),
            torch.arange(_PAST, _PAST + _SEQUENCE).repeat(_BATCH, 1),
            past,
        )
        new = {0: "batch", 1: "sequence"}
        before = {0: "batch", 2: "past"}
        program: Any = torch.onnx.export(
            cached,
            example,
            dynamo=True,
            verbose=False,
            input_names=["input_ids", "attention_mask", "position_ids", *cache_names("past_key_values", len(past))],
            output_names=["logits", *cache_names("present", len(past))],
            dynamic_shapes=(new, {0: "batch", 1: "total"}, new, [(before, before)] * len(past)),
        )
    onnx_ir.save(program.model, str(folder / GRAPH), external_data=WEIGHTS)
    return int(program.model.opset_imports[""])


class Graph:
    """A written graph in ONNX Runtime, on the CPU."""

    def __init__(self, folder: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(str(folder / GRAPH), options, providers=["CPUExecutionProvider"])
        self.loader = f"onnxruntime {onnxruntime.__version__}"
        self._caches = [cache for cache in self._session.get_inputs() if cache.name.startswith("past_key_values.")]

    def no_past(self, batch: int) -> list[Any]:
        """Return the cache of nothing."""
        return [torch.zeros(batch, cache.shape[1], 0, cache.shape[3]).numpy() for cache in self._caches]

    def step(self, ids: Any, attention: Any, past: Sequence[Any]) -> tuple[Any, list[Any]]:
        """Return the logits of further tokens, batch × sequence × vocabulary, and the cache after them.

        Args:
            ids: batch × sequence, the tokens that are new.
            attention: batch × (past + sequence): 0 for padding, which is on the left.
            past: from no_past, or from the step before.
        """
        positions = (attention.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        given = {"input_ids": ids.numpy(), "attention_mask": attention.numpy(), "position_ids": positions.numpy()}
        caches = {cache.name: tensor for cache, tensor in zip(self._caches, past, strict=True)}
        logits, *present = self._session.run(None, {**given, **caches})
        return torch.from_numpy(logits), present

    def follow(self, prompt: Sequence[int], answer: Sequence[int]) -> Any:
        """Return the logits at each token of prompt and answer, the answer's given one by one with the cache."""
        parts, past = [], self.no_past(1)
        done = 0
        for new in (prompt, *([token] for token in answer)):
            done += len(new)
            logits, past = self.step(torch.tensor([list(new)]), torch.ones(1, done, dtype=torch.long), past)
            parts.append(logits[0])
        return torch.cat(parts)

    def padded(self, prompts: Sequence[Sequence[int]]) -> list[Any]:
        """Return the logits at each token of prompts that are given in one batch, padded on the left with token 0."""
        width = max(len(prompt) for prompt in prompts)
        rows = [[0] * (width - len(prompt)) + list(prompt) for prompt in prompts]
        seen = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        logits, _ = self.step(torch.tensor(rows), torch.tensor(seen), self.no_past(len(prompts)))
        return [logits[row, -len(prompt) :] for row, prompt in enumerate(prompts)]
