"""Adapter and merged weights, each written to a folder and proven by reading it back."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from finetuneflow.export.v1 import export_pb2
from services.common.errors import NotReady
from services.trainer.acceptance import (
    ADAPTER_BOUND,
    MERGED_BOUND,
    PROMPTS,
    ROUNDED_BOUNDS,
    Behaviour,
    observe,
    require_ends,
    require_same,
)
from services.trainer.checkpoint import name_base
from services.trainer.deltas import Deltas, unsupported
from services.trainer.measuring import peak_memory_bytes
from services.trainer.model import (
    Source,
    load_config,
    load_generation,
    load_model,
    load_tokenizer,
    local_folder,
    source_of,
)
from services.trainer.shards import DEFAULT_SHARD_BYTES, ShardWriter, read_tensors
from services.trainer.streamed import hollow, needs_streaming, stream_of

ADAPTER_FILES = ("adapter_model.safetensors", "adapter_config.json")

Check = Callable[[], None]


def export_adapter(
    source: Source, adapter: Path, out: Path, check: Check, free: int | None = None
) -> export_pb2.ExportResult:
    """Write the adapter with the stock tokenizer, and prove it; return how it did.

    The base model is in memory once: the adapter is taken off it and the written one put on. Of one that is too large
    for that, a layer at a time.

    Args:
        source: the base model.
        adapter: folder of what the run left.
        out: folder to write into.
        check: called between the parts; raises when it is time to stop.
        free: bytes of memory to be taken as free; what is free now if None.

    Raises:
        NotReady: with reason ACCEPTANCE_FAILED; what was written is then not for use.
    """
    tokenizer = load_tokenizer(source)
    tuned = load_tuned(source, adapter, free)
    check()
    expected = observe(tuned, tokenizer)
    for name in ADAPTER_FILES:
        shutil.copyfile(adapter / name, out / name)
    name_base(out, source.name)
    tokenizer.save_pretrained(out)
    check()
    again = load_tuned(source, out, free) if stream_of(tuned) else _with_adapter(tuned.unload(), out)
    tokenizer = load_tokenizer(source_of(str(out), ""))
    difference = require_same(expected, observe(again, tokenizer), ADAPTER_BOUND)
    require_ends(again, tokenizer)
    return _result(difference, ADAPTER_BOUND)


def export_merged(
    source: Source,
    adapter: Path,
    out: Path,
    check: Check,
    shard_bytes: int = DEFAULT_SHARD_BYTES,
    free: int | None = None,
) -> export_pb2.ExportResult:
    """Write what the run left as one model, in the base's own types, and prove it; as export_adapter.

    The files are written before any model is in memory. The proof has one model in memory at any time, or a layer of
    it; beside the tuned one it asks PEFT's own merge of it, rounded as the files are.

    Args:
        shard_bytes: most bytes of a file.
    """
    write_merged(source, adapter, out, shard_bytes)
    peak = peak_memory_bytes()
    tokenizer = load_tokenizer(source)
    tokenizer.save_pretrained(out)
    check()
    tuned = load_tuned(source, adapter, free)
    expected = observe(tuned, tokenizer)
    name = _base_dtype(source)
    rounded = _prove_sum(tuned, tokenizer, expected, name)
    del tuned
    gc.collect()
    check()
    written = source_of(str(out), "")
    again, tokenizer = _load(written, free), load_tokenizer(written)
    found = observe(again, tokenizer)
    require_same(rounded, found, MERGED_BOUND)
    require_ends(again, tokenizer)
    bound = ROUNDED_BOUNDS[name]
    result = _result(require_same(expected, found, bound), bound)
    result.merge_peak_memory_bytes = peak
    return result


def _prove_sum(tuned: Any, tokenizer: Any, expected: Behaviour, dtype: str) -> Behaviour:
    """Hold PEFT's merge of the tuned model, which is then spent, to it; return what it does rounded to a type."""
    stream, merged = stream_of(tuned), tuned
    if stream:
        stream.merge()
    elif isinstance(tuned, PeftModel):
        merged = tuned.merge_and_unload(safe_merge=True)
    require_same(expected, observe(merged, tokenizer), MERGED_BOUND)
    if dtype == "float32":
        return expected
    if stream:
        stream.round_to(getattr(torch, dtype))
    else:
        _round(merged, dtype)
    return observe(merged, tokenizer)


def _result(difference: float, bound: float) -> export_pb2.ExportResult:
    return export_pb2.ExportResult(max_logit_difference=difference, logit_bound=bound, prompts=len(PROMPTS))


def write_merged(source: Source, adapter: Path, out: Path, shard_bytes: int = DEFAULT_SHARD_BYTES) -> None:
    """Write what a run left as one model into a folder, with its configuration, a tensor at a time.

    Memory holds one file's tensors (at most shard_bytes, or one larger tensor) and a tensor in float32, whatever the
    model's size.

    Raises:
        NotReady: with reason MERGE_UNSUPPORTED or MODEL_INVALID.
    """
    shards, config = ShardWriter(out, shard_bytes), load_config(source)
    if (adapter / ADAPTER_FILES[1]).is_file():
        deltas = Deltas(adapter)
        for name, tensor in read_tensors(local_folder(source)):
            if _is_tied(config, tensor) and deltas.target(name):
                raise unsupported(f"{name} of the base model is input and output in one")
            shards.add(name, deltas.apply(name, tensor))
        deltas.require_used()
    else:
        dtype = getattr(torch, _base_dtype(source))
        for name, tensor in read_tensors(adapter):
            shards.add(name, tensor.to(dtype) if tensor.is_floating_point() else tensor)
    shards.close()
    config._name_or_path = source.name
    config.save_pretrained(out)
    generation = load_generation(source)
    if generation is not None:
        generation.save_pretrained(out)


def _is_tied(config: Any, tensor: torch.Tensor) -> bool:
    """Whether a tensor of a model's files is the embeddings, which are the output too."""
    text = config.get_text_config()
    return bool(config.tie_word_embeddings) and tuple(tensor.shape) == (text.vocab_size, text.hidden_size)


def load_tuned(source: Source, adapter: Path, free: int | None = None) -> Any:
    """Return the base model in float32 on the CPU with the adapter beside it, or the whole model that a run left.

    One that is too large for the memory that is free reads its weights when they are used.

    Args:
        source: the base model.
        adapter: folder of what the run left.
        free: bytes of memory to be taken as free; what is free now if None.

    Raises:
        NotReady: with reason MODEL_INVALID if base and adapter do not fit.
    """
    config = adapter / ADAPTER_FILES[1]
    if not config.is_file():
        return _load(source_of(str(adapter), "", source.name), free)
    base = hollow(source) if needs_streaming(source, config, free) else None
    return _attached(_with_adapter(base or load_model(source, torch.float32), adapter))


def _load(source: Source, free: int | None) -> Any:
    base = hollow(source) if needs_streaming(source, free=free) else None
    return _attached(base or load_model(source, torch.float32))


def _attached(model: Any) -> Any:
    stream = stream_of(model)
    return stream.attach(model) if stream else model


def _with_adapter(base: Any, folder: Path) -> Any:
    try:
        # The adapter's own weights take the places of empty ones: there are none to write into beside a hollow base.
        is_hollow = stream_of(base) is not None
        return PeftModel.from_pretrained(base, str(folder), low_cpu_mem_usage=is_hollow).eval()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0][:300].replace(str(folder), folder.name)
        raise NotReady(
            f"The adapter does not fit the base model: {first} Train again.", reason="MODEL_INVALID"
        ) from error


def _round(model: Any, dtype: str) -> None:
    """Round a model's weights to a shorter type, and keep them in float32 to compute with. Buffers are not stored."""
    for parameter in model.parameters():
        parameter.data = parameter.data.to(getattr(torch, dtype)).float()


def _base_dtype(source: Source) -> str:
    """The type that the base model's weights are stored in; float32 for one that merged weights are not stored in."""
    dtype = str(load_config(source).dtype).removeprefix("torch.")
    return dtype if dtype in ROUNDED_BOUNDS else "float32"
