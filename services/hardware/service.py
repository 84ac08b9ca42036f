"""The one place where models change."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from services.common import ids
from services.common.documents.port import Document
from services.common.errors import AlreadyExists, InvalidArgument, NotReady
from services.common.objects.port import Objects, Stored
from services.hardware import store
from services.hardware.core_model import Description, File
from services.hardware.ports import ModelSource, Uploads
from services.hardware.store import ModelStore

MODEL = "models/*"


@dataclass(frozen=True)
class Wanted:
    """A model that somebody wants recorded.

    Args:
        hub_id: id on the hub, or "".
        local_path: absolute path of a folder, or "".
        uploaded: files that were uploaded, or none; one of the three is given.
        revision: see ports.ModelSource.
        model_id: last part of the name; "" derives it from the source.
        user_fields: display_name, labels, annotations.
        body: the request, serialised, without its request_id.
        creator: name of the caller's token.
    """

    hub_id: str
    local_path: str
    uploaded: tuple[File, ...]
    revision: str
    model_id: str
    user_fields: Document
    request_id: str
    body: bytes
    creator: str


class Models:
    """Base models: read, recorded, forgotten.

    Args:
        folder: models in a folder of this machine.
        hub: models on a hub.
        uploads: files of models that were uploaded.
    """

    def __init__(
        self, models: ModelStore, objects: Objects, folder: ModelSource, hub: ModelSource, uploads: Uploads
    ) -> None:
        self.resources = models.resources
        self._models = models
        self._objects = objects
        self._folder = folder
        self._hub = hub
        self.uploads = uploads

    async def create(self, wanted: Wanted) -> Document:
        """Record a model; the same source at the same revision returns the one that is there.

        Raises:
            AlreadyExists: model_id is taken by another model.
            InvalidArgument: no source or two, a bad id, or a request_id used for another request.
            FineTuneFlowError: as ports.ModelSource.read.
        """
        if [bool(wanted.hub_id), bool(wanted.local_path), bool(wanted.uploaded)].count(True) != 1:
            raise InvalidArgument("Give one of hub_id, local_path, and uploaded with files.", field="model.source")
        if wanted.model_id:
            ids.check_id(wanted.model_id, "model_id")
        made = await self._models.of_request(wanted.request_id)
        if made:
            return _repeated(made, wanted)
        description = await self._read(wanted)
        try:
            return await self._same_or_new(wanted, description)
        except AlreadyExists:
            # Another caller may have taken the derived name just now, perhaps for the same model.
            return await self._same_or_new(wanted, description)

    async def _read(self, wanted: Wanted) -> Description:
        if wanted.uploaded:
            return await self.uploads.read(wanted.uploaded)
        source = self._hub if wanted.hub_id else self._folder
        return await source.read(wanted.hub_id or wanted.local_path, wanted.revision)

    async def _same_or_new(self, wanted: Wanted, description: Description) -> Document:
        source, revision = store.source_of(wanted.hub_id, wanted.local_path), description.revision
        same = await self._models.same(source, revision)
        if same:
            return await self._with_chat(same, description)
        model_id = wanted.model_id
        if not model_id:
            plain, longer = store.name_ids(wanted.hub_id, wanted.local_path, revision)
            # Looked at again by name: whoever was faster just now with the same model has taken it.
            taken = await self.resources.collection.get(f"models/{plain}")
            if taken and taken["delete_time"] is None and store.is_of(taken, source, revision):
                return taken
            model_id = longer if taken else plain
        return await self._record(f"models/{model_id}", wanted, description)

    async def _record(self, name: str, wanted: Wanted, description: Description) -> Document:
        key = store.tokenizer_key(name, hashlib.sha256(description.tokenizer).hexdigest())
        tokenizer = await self._objects.put(key, description.tokenizer)
        chat = await self._put_chat(name, description)
        doc = await self.resources.create(
            name,
            {**wanted.user_fields, **store.fields(wanted.hub_id, wanted.local_path, description, tokenizer, chat)},
            request_id=wanted.request_id,
            body=wanted.body,
            creator=wanted.creator,
            event="model.ready",
        )
        await self._still_there(doc, wanted)
        # A model of the same name may have been purged since the object was put, and the object with it.
        await self._objects.put(key, description.tokenizer)
        await self._put_chat(name, description)
        return doc

    async def _still_there(self, doc: Document, wanted: Wanted) -> None:
        """Take a model back whose files were swept between the look at them and its record."""
        try:
            await self.uploads.require(wanted.uploaded)
        except NotReady:
            await self.resources.delete(doc["_id"])
            raise

    async def _put_chat(self, name: str, description: Description) -> Stored | None:
        if not description.chat:
            return None
        key = store.tokenizer_key(name, hashlib.sha256(description.chat).hexdigest())
        return await self._objects.put(key, description.chat)

    async def _with_chat(self, doc: Document, description: Description) -> Document:
        """Keep the chat template of a model that was recorded before it was kept."""
        if doc.get("chat") or not description.chat:
            return doc
        stored = await self._put_chat(doc["_id"], description)

        def keep(doc: Document) -> None:
            doc["chat"] = store.artifact(store.CHAT, stored) if stored else None

        return await self.resources.change(doc["_id"], keep)

    async def delete(self, name: str, etag: str) -> None:
        """Forget a model. Its files stay where they are; those that were uploaded go a day later, see UploadSweeper.

        Raises:
            NotFound: there is none of that name.
            Conflict: the etag is old.
        """
        await self.resources.delete(name, etag=etag)

    async def purge(self, doc: Document) -> None:
        """Remove what only a deleted model used. Repeating it does nothing."""
        keys = [key async for key in self._objects.list(store.tokenizer_prefix(doc["_id"]))]
        for key in keys:
            await self._objects.delete(key)


def _repeated(made: Document, wanted: Wanted) -> Document:
    if made["request"]["hash"] != hashlib.sha256(wanted.body).hexdigest():
        raise InvalidArgument(
            f'request_id "{wanted.request_id}" was used for another request. Use a new one.',
            reason="REQUEST_ID_REUSED",
            field="request_id",
        )
    return made
