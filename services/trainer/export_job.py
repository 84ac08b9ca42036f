"""An export from its spec to its proven and uploaded files."""

from __future__ import annotations

import functools
import json
import logging
import time
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict

from finetuneflow.common.v1 import artifact_pb2
from finetuneflow.export.v1 import export_pb2
from services.common.errors import InvalidArgument, NotReady
from services.common.optionalpart import PARTS
from services.trainer.attempt import Attempt
from services.trainer.basemodel import fetch_base, location_of
from services.trainer.cards import proof_of, write_card, write_manifest
from services.trainer.machine import versions
from services.trainer.measuring import peak_memory_bytes
from services.trainer.model import Source, check_files, source_of
from services.trainer.transfer import fetch
from services.trainer.uploads import upload_all

log = logging.getLogger(__name__)


def run_export(
    attempt: Attempt, spec: export_pb2.ExportSpec
) -> tuple[export_pb2.ExportResult, list[artifact_pb2.Artifact]]:
    """Do an export and return its result and its uploaded files.

    Raises:
        NotReady: with reason PACKAGE_MISSING, before anything is fetched; ACCEPTANCE_FAILED, when nothing was uploaded.
        Stopped, Terminated: told to, between two parts of the work.
    """
    began = time.perf_counter()
    manifest = _manifest(spec)
    if part := PARTS.get(spec.format):
        part.require(part.is_here())
    location = location_of(spec, attempt.folder)
    source = source_of(location, spec.model_revision, str(manifest.get("model", {}).get("name", "")))
    fetch_base(spec, attempt.folder, attempt.patience, lambda: attempt.renewed(spec))
    check_files(source)
    adapter = _fetch_weights(attempt, spec)
    out = attempt.folder / "artifacts"
    out.mkdir()
    result = write_export(attempt, spec, source, adapter, out, manifest)
    paths = sorted(path for path in out.rglob("*") if path.is_file())
    artifacts = upload_all(
        attempt.worker, out, paths, attempt.patience, lambda done, total: attempt.phase("upload", done, total, "bytes")
    )
    result.seconds = time.perf_counter() - began
    result.peak_memory_bytes = peak_memory_bytes()
    return result, artifacts


def write_export(
    attempt: Attempt, spec: export_pb2.ExportSpec, source: Source, adapter: Path, out: Path, manifest: dict[str, Any]
) -> export_pb2.ExportResult:
    """Write and prove the files, then the card and the manifest beside them."""
    attempt.phase("export")
    name = export_pb2.Format.Name(spec.format).removeprefix("FORMAT_").lower()
    result = _write_weights(attempt, spec, source, adapter, out)
    proof = proof_of(result)
    log.info("%s: %s", name, proof)
    acceptance = MessageToDict(result, preserving_proto_field_name=True)
    manifest = {**manifest, "acceptance": acceptance, "export_versions": versions()}
    write_card(out, name, source.name, not source.is_folder, manifest, proof)
    write_manifest(out, manifest)
    return result


def _write_weights(
    attempt: Attempt, spec: export_pb2.ExportSpec, source: Source, adapter: Path, out: Path
) -> export_pb2.ExportResult:
    check = attempt.orders.check
    if spec.format == export_pb2.FORMAT_GGUF:
        from services.trainer.ggufexport import export_gguf

        quantization = export_pb2.Quantization.Name(spec.quantization).removeprefix("QUANTIZATION_")
        return export_gguf(source, adapter, out, attempt.folder / "gguf", quantization, check)
    if spec.format == export_pb2.FORMAT_AWQ:
        from services.trainer.awqexport import export_awq

        return export_awq(source, adapter, out, attempt.folder / "awq", check)
    if spec.format == export_pb2.FORMAT_ONNX:
        from services.trainer.onnxexport import export_onnx

        return export_onnx(source, adapter, out, attempt.folder / "onnx", check)
    from services.trainer.merge import export_adapter, export_merged
    from services.trainer.shards import DEFAULT_SHARD_BYTES

    if spec.format == export_pb2.FORMAT_MERGED:
        return export_merged(source, adapter, out, check, spec.max_shard_bytes or DEFAULT_SHARD_BYTES)
    return export_adapter(source, adapter, out, check)


def _manifest(spec: export_pb2.ExportSpec) -> dict[str, Any]:
    if spec.format not in export_pb2.Format.values() or not spec.format:
        raise InvalidArgument(
            "The export's format is not one that is made. Ask for adapter, merged, gguf, awq or onnx.", field="format"
        )
    try:
        manifest = json.loads(spec.manifest_json or "{}")
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict):
        raise InvalidArgument("The export's manifest is not a JSON object. Create the export again.")
    return manifest


def _fetch_weights(attempt: Attempt, spec: export_pb2.ExportSpec) -> Path:
    folder = attempt.folder / "adapter"
    for place, (file, url) in enumerate(zip(spec.adapter_files, spec.adapter_urls, strict=True)):
        name = file.filename.rpartition("/")[2]
        again = functools.partial(_adapter_url, attempt, spec, place)
        fetch(url, file.sha256, folder / name, attempt.patience, f"Weights file {name}", again)
    config = "adapter_config.json" if spec.format == export_pb2.FORMAT_ADAPTER else "*config.json"
    missing = [form for form in (config, "*.safetensors") if not any(folder.glob(form))]
    if missing:
        raise NotReady(f"The run's weights lack {', '.join(missing)}. Train again.", reason="RUN_NOT_SUCCEEDED")
    return folder


def _adapter_url(attempt: Attempt, spec: export_pb2.ExportSpec, place: int) -> str:
    """Return a fresh URL of one of the weights' files."""
    url: str = attempt.renewed(spec).adapter_urls[place]
    return url
