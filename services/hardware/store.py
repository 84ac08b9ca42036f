"""Models as documents."""

from __future__ import annotations

import dataclasses

from services.common import ids
from services.common.documents.port import Document
from services.common.errors import NotReady
from services.common.objects.port import Stored
from services.common.resources import INDEXES, Resources
from services.hardware.core_model import Description, read_sizes
from services.hardware.core_parameters import Shape, shape

MODEL_INDEXES = (*INDEXES, "revision_of", "request.id")
"""revision_of is "<source>@<revision>": what makes two models the same."""


UPLOADS = "modelUploads/"
"""What the keys of uploaded files begin with."""
CHAT = "chat.json"
"""The file that chat template and special tokens are kept in."""


class ModelStore:
    """The models there are."""

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    async def same(self, source: str, revision: str) -> Document | None:
        """Return the model that has this source at this revision, or None."""
        return await self._first({"revision_of": f"{source}@{revision}"})

    async def of_request(self, request_id: str) -> Document | None:
        """Return the model that a request made, or None."""
        return await self._first({"request.id": request_id}) if request_id else None

    async def _first(self, where: dict[str, str]) -> Document | None:
        found = await self.resources.collection.find({**where, "delete_time": None}, sort="order", limit=1)
        return found[0] if found else None


def source_of(hub_id: str, local_path: str) -> str:
    """Return where a model comes from as one string; uploaded ones are told apart by their files alone."""
    return f"hub:{hub_id}" if hub_id else f"folder:{local_path}" if local_path else "upload:"


def name_ids(hub_id: str, local_path: str, revision: str) -> tuple[str, str]:
    """Return the ids that a model's source gives it: the plain one, and one for when that is taken."""
    last = (hub_id or local_path).rstrip("/").rpartition("/")[2]
    plain = ids.slug(last) or ids.derived_id("model", hub_id, local_path)
    return plain, f"{plain[:50].rstrip('-')}-{revision[:8]}"


def is_of(doc: Document, source: str, revision: str) -> bool:
    """Whether a model has this source at this revision."""
    return bool(doc["revision_of"] == f"{source}@{revision}")


def tokenizer_key(name: str, sha256: str) -> str:
    """Return the key of a model's tokenizer."""
    return f"{tokenizer_prefix(name)}{sha256}.json"


def tokenizer_prefix(name: str) -> str:
    """Return what the keys of a model's tokenizers begin with."""
    return f"{name}/tokenizer/"


def upload_key(sha256: str) -> str:
    """Return the key of an uploaded file's bytes."""
    return UPLOADS + sha256


def fields(hub_id: str, local_path: str, description: Description, tokenizer: Stored, chat: Stored | None) -> Document:
    """Return a description as a document's fields."""
    return {
        "hub_id": hub_id,
        "local_path": local_path,
        "uploaded": not hub_id and not local_path,
        "model_revision": description.revision,
        "revision_of": f"{source_of(hub_id, local_path)}@{description.revision}",
        "files": [[file.filename, file.size_bytes, file.sha256] for file in description.files],
        "config": dict(description.config),
        "sizes": dataclasses.asdict(read_sizes(description.config)),
        "parameters": description.parameters,
        "dtype": description.dtype,
        "license": description.license,
        "gated": description.gated,
        "has_chat_template": description.has_chat_template,
        "tokenizer": artifact("tokenizer.json", tokenizer),
        "chat": artifact(CHAT, chat) if chat else None,
    }


def artifact(filename: str, stored: Stored) -> Document:
    """Return an object as a part of a model's document."""
    return {"filename": filename, "size_bytes": stored.size, "sha256": stored.sha256, "key": stored.key}


def model_shape(doc: Document) -> Shape:
    """Return the shape of a stored model.

    Raises:
        NotReady: its architecture is not known (ARCHITECTURE_UNKNOWN).
    """
    try:
        return shape(doc["config"])
    except NotReady as error:
        raise NotReady(f"{doc['_id']}: {error.message}", reason=error.reason) from None
