"""The GGUF form of an export: merged and proven, written, and proven again by llama.cpp."""

from __future__ import annotations

import gc
import shutil
from importlib import metadata
from pathlib import Path

from finetuneflow.export.v1 import export_pb2
from services.trainer.failures import refused
from services.trainer.ggml import require_part
from services.trainer.gguffile import architecture, write_gguf
from services.trainer.ggufproof import BOUNDS, prove, references
from services.trainer.ggufvocab import splitting
from services.trainer.merge import Check, export_merged, load_tuned
from services.trainer.model import Source, load_config, load_tokenizer
from services.trainer.shards import DEFAULT_SHARD_BYTES

MODELFILE = "Modelfile"


def export_gguf(
    source: Source, adapter: Path, out: Path, scratch: Path, quantization: str, check: Check
) -> export_pb2.ExportResult:
    """Write base and adapter as one GGUF file with a Modelfile beside it, and prove it.

    Args:
        source: the base model.
        adapter: folder of the run's adapter.
        out: folder to write into.
        scratch: folder for the merged files, which are removed again, and llama.cpp's log.
        quantization: "Q8_0"; a key of BOUNDS.
        check: called between the parts; raises when it is time to stop.

    Raises:
        NotReady: with reason GGUF_PART_MISSING or GGUF_UNSUPPORTED before anything heavy is begun; else as
            merge.export_merged.
    """
    require_part()
    architecture(load_config(source))
    merged = scratch / "merged"
    merged.mkdir(parents=True)
    load_tokenizer(source).save_pretrained(merged)
    splitting(merged)
    result = export_merged(source, adapter, merged, check, DEFAULT_SHARD_BYTES)
    path = out / f"{source.name.rpartition('/')[2]}-{quantization}.gguf"
    rounding = write_gguf(merged, path, quantization, source.name)
    shutil.rmtree(merged)
    bound, rounding_bound = BOUNDS[quantization]
    if not rounding <= rounding_bound:
        raise refused(f"a tensor was rounded by {rounding:.3g}, {rounding_bound:.3g} is allowed", rounding)
    check()
    tokenizer, tuned = load_tokenizer(source), load_tuned(source, adapter)
    expected = references(tuned, tokenizer)
    del tuned
    gc.collect()
    check()
    found = prove(path, expected, tokenizer, quantization, scratch / "llama.log")
    result.gguf.CopyFrom(
        export_pb2.GgufProof(
            divergence=found.divergence,
            divergence_bound=bound,
            agreement=found.agreement,
            tokens=found.places,
            rounding=rounding,
            rounding_bound=rounding_bound,
            loader=f"xllamacpp {metadata.version('xllamacpp')}",
        )
    )
    (out / MODELFILE).write_text(_modelfile(path.name, tokenizer.eos_token), encoding="utf-8")
    return result


def _modelfile(name: str, end: str | None) -> str:
    """Return what `ollama create` reads; it takes the chat template from the GGUF file."""
    lines = [f"FROM ./{name}", "PARAMETER temperature 0"]
    return "\n".join([*lines, *([f'PARAMETER stop "{end}"'] if end else [])]) + "\n"
