"""Where the base model of a Job is: a folder, a hub, or files of the object store that were uploaded."""

from __future__ import annotations

from typing import Any

from finetuneflow.hardware.v1 import model_pb2
from services.common.documents.port import Document
from services.common.objects.port import Objects
from services.common.protoform import artifact_to_document, artifact_to_proto


def base_fields(model: model_pb2.Model) -> Document:
    """Return what a document keeps of where its base model is."""
    files = [artifact_to_document(file) for file in model.files] if model.uploaded else []
    return {"model_location": model.local_path or model.hub_id, "model_files": files}


async def base_of(doc: Document, objects: Objects) -> dict[str, Any]:
    """Return the fields of a spec that name the files of an uploaded base model, with URLs good for an hour."""
    files = doc.get("model_files", [])  # there were no such models before
    return {
        "model_files": [artifact_to_proto(file) for file in files],
        "model_urls": [await objects.grant(file["key"], "read") for file in files],
    }
