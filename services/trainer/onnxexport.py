"""The ONNX form of an export: merged and proven, written as a graph, and proven again by ONNX Runtime.

The graph is made by torch's own exporter of what the merged files hold, in float32, and proven beside that: it computes
with the same numbers in another order, so that only rounding differs, as between any two builds of torch.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from finetuneflow.export.v1 import export_pb2
from services.common.errors import NotReady
from services.common.optionalpart import ONNX
from services.trainer.acceptance import PROMPTS, Behaviour, ends_of, observe, prompt_tokens, require_same
from services.trainer.answers import generate
from services.trainer.evaluate import evaluating
from services.trainer.merge import Check, export_merged, load_tuned
from services.trainer.model import Source, load_config, load_generation, load_model, load_tokenizer, source_of
from services.trainer.onnxgraph import Graph, write_graph
from services.trainer.shards import DEFAULT_SHARD_BYTES

ANSWER_TOKENS = 24
"""Most tokens of the answers that are followed."""
LOGIT_BOUND = 1e-3
"""Largest difference of a logit from the merged weights: as between tuned and merged model."""
_MOVING = ("dynamic", "longrope")
"""Kinds of rotary positions whose frequencies change with the length: the trace would keep those of one length."""


def export_onnx(source: Source, adapter: Path, out: Path, scratch: Path, check: Check) -> export_pb2.ExportResult:
    """Write what the run left as an ONNX graph with a cache, and prove it.

    Args:
        source: the base model.
        adapter: folder of what the run left.
        out: folder to write into.
        scratch: folder for the merged files, which are removed again.
        check: called between the parts; raises when it is time to stop. Writing the graph is one part, of minutes.

    Raises:
        NotReady: with reason ARCHITECTURE_UNKNOWN before anything heavy is begun; else as merge.export_merged.
    """
    config = load_config(source)
    ONNX.require_architecture((config.architectures or [""])[0])
    require_steady_positions(config)
    scratch.mkdir(parents=True)
    result = export_merged(source, adapter, scratch, check, DEFAULT_SHARD_BYTES)
    merged, tokenizer = load_model(source_of(str(scratch), "", source.name), torch.float32), load_tokenizer(source)
    opset = write_graph(merged, out)
    _write_beside(source, scratch, tokenizer, out)
    check()
    graph, written = Graph(out), load_tokenizer(source_of(str(out), ""))
    result.onnx.CopyFrom(prove(merged, tokenizer, graph, written))
    result.onnx.opset = opset
    del merged
    shutil.rmtree(scratch)
    check()
    expected = observe(load_tuned(source, adapter), tokenizer)
    result.max_logit_difference = require_same(expected, observe_graph(graph, written, out), result.logit_bound)
    return result


def require_steady_positions(config: Any) -> None:
    """Refuse a model whose rotary positions depend on how long the text is.

    Raises:
        NotReady: with reason ARCHITECTURE_UNKNOWN.
    """
    for kind in _rope_kinds(config.get_text_config().to_dict()):
        if kind in _MOVING:
            raise NotReady(
                f"The model counts positions by {kind}, which changes with the length of the text; a graph holds one "
                "way only. Export it merged.",
                reason="ARCHITECTURE_UNKNOWN",
            )


def _rope_kinds(settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield every kind of rotary positions in a configuration, which may have one for each kind of layer."""
    for name, value in settings.items():
        if name in ("rope_type", "type") and isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            yield from _rope_kinds(value)


def prove(merged: Any, tokenizer: Any, graph: Graph, written: Any) -> export_pb2.OnnxProof:
    """Return how far a graph is from the merged weights.

    Args:
        merged: the model, in float32.
        tokenizer: its own.
        graph: loaded again.
        written: the tokenizer beside it, loaded again.

    Raises:
        NotReady: with reason ACCEPTANCE_FAILED if it is further than is allowed.
    """
    prompts = [prompt_tokens(written, text) for text in PROMPTS]
    with evaluating(merged):
        answers = generate(merged, tokenizer, prompts, ANSWER_TOKENS)
        whole = [merged(input_ids=torch.tensor([p + a])).logits[0] for p, a in zip(prompts, answers, strict=True)]
    followed = [graph.follow(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]
    template, generation = str(tokenizer.chat_template), merged.generation_config
    both = (*whole, *(w[: len(p)] for w, p in zip(whole, prompts, strict=True)))
    expected = Behaviour(both, template, ends_of(generation, tokenizer))
    found = Behaviour((*followed, *graph.padded(prompts)), str(written.chat_template), ends_of(generation, written))
    difference = require_same(expected, found, LOGIT_BOUND)
    chosen = [f[len(p) - 1 : -1].argmax(-1).tolist() for f, p in zip(followed, prompts, strict=True)]
    tokens = sum(len(answer) for answer in answers)
    same = sum(a == b for c, answer in zip(chosen, answers, strict=True) for a, b in zip(c, answer, strict=True))
    return export_pb2.OnnxProof(
        max_logit_difference=difference,
        logit_bound=LOGIT_BOUND,
        agreement=same / tokens,
        tokens=tokens,
        maker=f"torch {metadata.version('torch')}",
        loader=graph.loader,
    )


def observe_graph(graph: Graph, written: Any, out: Path) -> Behaviour:
    """Ask a graph the fixed prompts.

    Args:
        graph: loaded again.
        written: the tokenizer beside it, loaded again.
        out: its folder; what ends an answer is read there, from the configuration where no generation settings are.
    """
    from transformers import GenerationConfig

    source = source_of(str(out), "")
    generation = load_generation(source) or GenerationConfig.from_model_config(load_config(source))
    logits = tuple(graph.follow(prompt_tokens(written, text), ()) for text in PROMPTS)
    return Behaviour(logits, str(written.chat_template), ends_of(generation, written))


def _write_beside(source: Source, merged: Path, tokenizer: Any, out: Path) -> None:
    """Write tokenizer, generation settings and configuration, which says that the weights are in float32."""
    tokenizer.save_pretrained(out)
    generation = load_generation(source)
    if generation is not None:
        generation.save_pretrained(out)
    content = {**json.loads((merged / "config.json").read_text(encoding="utf-8")), "dtype": "float32"}
    (out / "config.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
