"""Jobs of chats on a cluster: those that wait for a place, and those that nothing is heard of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from finetuneflow.training.v1 import chat_worker_service_pb2
from services.common.auth import Principal, set_principal
from services.common.errors import NotReady
from services.training import chats as chats_module
from services.training.chatlimits import Limits
from tests.fakes.chats import Cluster, Deaf, chats_on, run
from tests.service.test_training import RUN
from tests.service.test_training_chat import question


async def asked_nothing() -> AsyncIterator[chat_worker_service_pb2.ConverseRequest]:
    """A process that says nothing."""
    for said in ():
        yield said


async def test_a_job_that_finds_no_place_is_given_up(tmp_path: Path) -> None:
    """With why and the remedy; it stays in no line."""
    cluster = Cluster()
    chats = chats_on(cluster, tmp_path, Limits(give_way=60, place=0.01, most=3600))
    asked = aiter(chats.generate(await run(RUN), question("Why?")))
    await anext(asked)
    (job,) = cluster.jobs.values()
    with pytest.raises(NotReady) as caught:
        await anext(asked)
    await chats.sweep()

    assert caught.value.reason == "CHAT_NO_ROOM"
    assert "No room. Wait." in caught.value.message
    assert job.resources.active_deadline_seconds == 3600
    assert cluster.jobs == {}


async def test_a_job_whose_container_is_being_made_has_its_place(tmp_path: Path) -> None:
    """An image may take minutes to be pulled."""
    cluster = Cluster(why="STARTING")
    chats = chats_on(cluster, tmp_path, Limits(give_way=60, place=0.01))
    asked = aiter(chats.generate(await run(RUN), question("Why?")))
    await anext(asked)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(asked), 1.2)
    left = list(cluster.jobs)
    await chats.close()

    assert len(left) == 1


async def test_what_to_load_is_said_when_the_process_is_there(tmp_path: Path) -> None:
    """Its Job may have waited for longer than URLs are good. It is told of the weights and the tokenizer alone."""
    cluster = Cluster()
    chats = chats_on(cluster, tmp_path)
    asked = aiter(chats.generate(await run(RUN), question("Why?")))
    waiting = (await anext(asked)).waiting
    before = cluster.granted
    (job,) = cluster.jobs
    set_principal(Principal("x", "launch", f"{RUN}/chats/{job}"))
    orders = aiter(chats.converse(aiter(asked_nothing())))
    spec = (await anext(orders)).spec
    await chats.close()

    assert (waiting, before) == ("No room. Wait.", 0)
    assert [file.filename for file in spec.files] == [
        *("adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "tokenizer_config.json"),
    ]
    assert len(spec.urls) == len(spec.files)


async def test_a_process_that_hears_nothing_any_more_ends_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though its Job runs on, as that of a node that is cut off."""
    monkeypatch.setattr(chats_module, "PARTING_SECONDS", 0.1)
    cluster = Deaf()
    chats = chats_on(cluster, tmp_path)
    asked = aiter(chats.generate(await run(RUN), question("Why?")))
    waiting = (await anext(asked)).waiting
    (job,) = cluster.jobs
    set_principal(Principal("x", "launch", f"{RUN}/chats/{job}"))
    orders = aiter(chats.converse(aiter(asked_nothing())))
    await anext(orders)
    await orders.aclose()  # type: ignore[attr-defined]  # an async generator
    with pytest.raises(NotReady, match="is gone") as caught:
        await anext(asked)
    await chats.close()

    assert waiting == "The models are being loaded."
    assert caught.value.reason == "CHAT_ENDED"
