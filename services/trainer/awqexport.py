"""The AWQ form of an export: merged and proven, its layers' matrices in 4 bits, and proven again by reading it back.

AWQ (Lin et al. 2023, arXiv 2306.00978) scales what the activations show to matter before it rounds. It is auto-round's,
and works on a CPU. The files are compressed-tensors', which vLLM serves and transformers loads.
"""

from __future__ import annotations

import gc
import json
import math
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from finetuneflow.export.v1 import export_pb2
from services.common.optionalpart import AWQ
from services.trainer.acceptance import Behaviour, observe, require_ends, require_same
from services.trainer.failures import refused
from services.trainer.general import general_rows
from services.trainer.merge import Check, export_merged, load_tuned
from services.trainer.model import Source, load_config, load_generation, load_model, load_tokenizer, source_of
from services.trainer.shards import DEFAULT_SHARD_BYTES, ShardWriter, read_tensors

DIVERGENCE_BOUND = 1.2
"""Nats that the probabilities may move by, on average: as of GGUF's Q4_0. Half of that was measured at 135M."""
_GROUPS = (128, 64, 32)
_WINDOW = 128
"""Tokens of a sequence to calibrate with."""


def export_awq(source: Source, adapter: Path, out: Path, scratch: Path, check: Check) -> export_pb2.ExportResult:
    """Write what the run left as one model with weights of 4 bits, and prove it.

    Args:
        source: the base model.
        adapter: folder of what the run left.
        out: folder to write into.
        scratch: folder for the merged files, which are removed again.
        check: called between the parts; raises when it is time to stop. Rounding is one part, of minutes.

    Raises:
        NotReady: with reason ARCHITECTURE_UNKNOWN before anything heavy is begun; else as merge.export_merged.
    """
    config = load_config(source)
    AWQ.require_architecture((config.architectures or [""])[0])
    group = group_size(config.get_text_config())
    merged, made = scratch / "merged", scratch / "awq"
    merged.mkdir(parents=True)
    result = export_merged(source, adapter, merged, check, DEFAULT_SHARD_BYTES)
    tokenizer = load_tokenizer(source)
    _round(source_of(str(merged), "", source.name), tokenizer, scratch / "half", made, group)
    take(made, out, source.name)
    shutil.rmtree(scratch)
    tokenizer.save_pretrained(out)
    generation = load_generation(source)
    if generation is not None:
        generation.save_pretrained(out)
    check()
    expected = observe(load_tuned(source, adapter), tokenizer)
    gc.collect()
    check()
    written = source_of(str(out), "")
    again, tokenizer = load_model(written, torch.float32), load_tokenizer(written)
    found = observe(again, tokenizer)
    require_same(expected, found, math.inf)
    result.awq.CopyFrom(prove(expected, found, group, f"auto-round {metadata.version('auto-round')}"))
    require_ends(again, tokenizer)
    return result


def group_size(config: Any) -> int:
    """Return how many weights of a row share a scale: the most that divides every row; 32 where none does.

    Rows that 32 does not divide are left as they are.
    """
    heads = config.num_attention_heads
    across = heads * (getattr(config, "head_dim", None) or config.hidden_size // heads)
    widths = (config.hidden_size, config.intermediate_size, across)
    return next((size for size in _GROUPS if not any(width % size for width in widths)), _GROUPS[-1])


def prove(expected: Behaviour, found: Behaviour, group: int, maker: str) -> export_pb2.AwqProof:
    """Return how far probabilities moved.

    Args:
        expected: of the tuned model.
        found: of the files, read back, to the same prompts.
        group: weights that share a scale.
        maker: what made them, with its version.

    Raises:
        NotReady: with reason ACCEPTANCE_FAILED if it is further than is allowed.
    """
    divergence, agreement, tokens = 0.0, 0, 0
    for one, other in zip(expected.logits, found.logits, strict=True):
        p, q = one.log_softmax(-1), other.log_softmax(-1)
        divergence += float((p.exp() * (p - q)).sum())
        agreement += int((one.argmax(-1) == other.argmax(-1)).sum())
        tokens += len(one)
    divergence /= tokens
    if not divergence <= DIVERGENCE_BOUND:
        raise refused(f"its probabilities moved by {divergence:.3g} nats, {DIVERGENCE_BOUND:g} is allowed", divergence)
    return export_pb2.AwqProof(
        divergence=divergence,
        divergence_bound=DIVERGENCE_BOUND,
        agreement=agreement / tokens,
        tokens=tokens,
        group_size=group,
        maker=maker,
    )


def _round(merged: Source, tokenizer: Any, half: Path, out: Path, group: int) -> None:
    """Write a model with its matrices in 4 bits below a folder; output and embeddings stay as they are.

    It is given in 16 bits: of files in 32 bits auto-round puts the norms back as they were before AWQ scaled them.
    """
    from auto_round import AutoRound
    from auto_round.algorithms.quantization.rtn.config import RTNConfig
    from auto_round.algorithms.transforms.awq.config import AWQConfig

    dtype = load_config(merged).dtype
    load_model(merged, dtype if dtype == torch.float16 else torch.bfloat16).save_pretrained(half)
    windows = list(_windows(tokenizer))
    rounding = AutoRound(
        load_model(source_of(str(half), ""), "auto"),
        tokenizer=tokenizer,
        scheme="W4A16" if group == _GROUPS[0] else f"W4A16G{group}",
        alg_configs=[AWQConfig(), RTNConfig()],
        dataset=windows,
        nsamples=len(windows),
        seqlen=windows[0].shape[1],
        batch_size=8,
        device_map="cpu",
        enable_torch_compile=False,
    )
    rounding.quantize_and_save(str(out), format="llm_compressor")


def _windows(tokenizer: Any) -> Iterator[Any]:
    """Yield the general set as sequences of equal length: the run's own examples are not the export's to read."""
    text = "\n\n".join(message["content"] for row in general_rows() for message in row.messages)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    for place in range(0, len(ids) - _WINDOW + 1, _WINDOW):
        yield torch.tensor([ids[place : place + _WINDOW]])


def take(made: Path, out: Path, name: str) -> None:
    """Write weights and configuration that auto-round left below a folder into `out`, as the model `name`.

    What is not in 4 bits gets the configuration's own 16 bits: on a CPU without arithmetic for them auto-round leaves
    it in 32. The configuration names no folder of this machine.
    """
    config = next(made.rglob("config.json"))
    content = {**json.loads(config.read_text(encoding="utf-8")), "_name_or_path": name}
    dtype = getattr(torch, content["dtype"])
    writer = ShardWriter(out)
    for key, tensor in read_tensors(config.parent):
        writer.add(key, tensor.to(dtype) if tensor.dtype == torch.float32 else tensor)
    writer.close()
    (out / "config.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
