"""Models are recorded once, whoever is faster."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from services.common.clock import SystemClock
from services.common.documents.port import Collection, Document, Where
from services.common.documents.sqlite import SqliteDocuments
from services.common.objects.folder import FolderObjects
from services.common.objects.unfinished import Unfinished
from services.common.resources import Resources
from services.hardware.folder import FolderSource
from services.hardware.hub import HubSource
from services.hardware.service import Models, Wanted
from services.hardware.store import MODEL_INDEXES, ModelStore
from services.hardware.uploaded import Uploaded
from tests.fakes.model_folder import model_files, write_folder


class Late:
    """A collection whose first search answers as it was before the others wrote; all else is the real one's."""

    def __init__(self, inner: Collection) -> None:
        self._inner = inner
        self.late = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def find(self, where: Where, **options: Any) -> list[Document]:
        """Return what there is, but nothing once while late."""
        if self.late:
            self.late = False
            return []
        return await self._inner.find(where, **options)


class Setting:
    """The service on real stores, with a collection that can be late."""

    def __init__(self, state: Path) -> None:
        self.documents = SqliteDocuments(state / "hardware.db")
        self.collection = Late(self.documents.collection("models", MODEL_INDEXES))
        self.source = FolderSource()
        self.objects = FolderObjects(state / "objects")
        resources = Resources(self.collection, "model", SystemClock())
        hub = HubSource(False, "http://127.0.0.1:9", lambda: None)
        unfinished = Unfinished(self.objects, "hardware", SystemClock())
        uploaded = Uploaded(self.objects, state, unfinished, lambda key: None)
        self.models = Models(ModelStore(resources), self.objects, self.source, hub, uploaded)

    async def create(self, folder: Path, request_id: str = "") -> Document:
        """Record a folder's model."""
        user = {"display_name": "", "labels": {}, "annotations": {}}
        return await self.models.create(Wanted("", str(folder), (), "", "", user, request_id, b"body", "tester"))


@pytest_asyncio.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    """The service."""
    setting = Setting(tmp_path / "state")
    yield setting
    setting.source.close()
    await setting.documents.close()


async def test_a_caller_that_was_slower_gets_the_model_of_the_faster_one(setting: Setting, tmp_path: Path) -> None:
    """Even if it looked for the model just before the other recorded it."""
    folder = write_folder(tmp_path / "tiny", model_files())
    faster = await setting.create(folder)
    setting.collection.late = True
    slower = await setting.create(folder)

    assert slower["uid"] == faster["uid"]
    assert await setting.collection.count({}) == 1


async def test_purging_a_model_twice_is_harmless(setting: Setting, tmp_path: Path) -> None:
    """Its tokenizer goes; those of others stay, even of one whose name begins alike."""
    one = await setting.create(write_folder(tmp_path / "tiny", model_files()))
    two = await setting.create(write_folder(tmp_path / "tiny-two", model_files()))
    await setting.models.purge(one)
    await setting.models.purge(one)

    assert await setting.objects.size(one["tokenizer"]["key"]) is None
    assert await setting.objects.size(two["tokenizer"]["key"]) is not None
