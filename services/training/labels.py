"""What a run would learn from, found by a process of its own, and remembered for the next who asks the same."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from google.protobuf.json_format import Parse

from finetuneflow.common.v1 import artifact_pb2
from finetuneflow.training.v1 import check_pb2
from services.common.confined.cold import Cold, child_environment
from services.common.confined.endings import Broken, Overrun
from services.common.confined.limits import Limits
from services.common.confined.running import Command, run
from services.common.errors import NotReady
from services.common.objects.port import Objects
from services.training.labelling.preview import Wanted

PROGRAM = "services.training.labelling"
LIMITS = Limits(memory_bytes=2 << 30, cpu_seconds=15, output_bytes=256 << 20, wall_seconds=20)
"""A thousand examples of 500 tokens take about two seconds."""
REMEMBERED = 16
AT_ONCE = 2


class Labels:
    """Looks at datasets as models see them; see ports.Labels.

    Args:
        scratch: an existing folder for the files of the processes.
    """

    def __init__(self, objects: Objects, scratch: Path, limits: Limits = LIMITS) -> None:
        self._objects = objects
        self._scratch = scratch
        self._limits = limits
        self._room = asyncio.Semaphore(AT_ONCE)
        self._known: OrderedDict[str, check_pb2.LabelPreview] = OrderedDict()

    async def look(
        self,
        dataset: artifact_pb2.Artifact,
        tokenizer: artifact_pb2.Artifact,
        chat: artifact_pb2.Artifact,
        settings: Mapping[str, Any],
        shown: int,
    ) -> check_pb2.LabelPreview:
        """Return what a run would learn from; see ports.Labels."""
        names = ("max_length", "assistant_only_loss", "completion_only_loss")
        asked = (*(settings[name] for name in names), shown)
        key = json.dumps((dataset.sha256, tokenizer.sha256, chat.sha256, asked))
        async with self._room:
            if key not in self._known:
                self._known[key] = await self._found({"dataset": dataset, "tokenizer": tokenizer, "chat": chat}, asked)
                while len(self._known) > REMEMBERED:
                    self._known.popitem(last=False)
        return self._known[key]

    async def _found(
        self, files: Mapping[str, artifact_pb2.Artifact], asked: tuple[Any, ...]
    ) -> check_pb2.LabelPreview:
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=self._scratch))
        try:
            for name, artifact in files.items():
                await self._fetch(artifact.key, folder / name)
            paths = {name: str(folder / name) for name in files}
            wanted = Wanted(paths["dataset"], paths["tokenizer"], paths["chat"], *asked)
            note = folder / "job.json"
            note.write_text(
                json.dumps({"limits": asdict(self._limits), "wanted": asdict(wanted), "out": "out.json"}),
                encoding="utf-8",
            )
            await run(Cold(child_environment(os.environ)), Command(PROGRAM, note), self._limits)
            return Parse((folder / "out.json").read_text(encoding="utf-8"), check_pb2.LabelPreview())
        except Overrun as error:
            raise unchecked(f"looking at the dataset took more {error}") from None
        except Broken as error:
            raise unchecked(f"template or dataset broke the program that looks at them ({error})") from None
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, True))

    async def _fetch(self, key: str, path: Path) -> None:
        with path.open("wb") as file:
            async for block in self._objects.get(key):
                await asyncio.to_thread(file.write, block)


def unchecked(why: str) -> NotReady:
    """Return the error for labels that could not be looked at."""
    return NotReady(
        f"The labels were not looked at: {why}. The trainer checks them when it starts.", reason="LABELS_UNCHECKED"
    )
