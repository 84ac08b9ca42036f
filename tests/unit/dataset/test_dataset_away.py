"""What a dataset says of an LLM that is away, and when it stops saying so."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from services.common.errors import Unavailable
from services.dataset import absence
from services.dataset.absence import Absence, telling
from services.dataset.tries import CallRefused
from tests.fakes import llm_server as fake
from tests.fakes.datasets import until
from tests.fakes.llm_server import llm
from tests.service.test_dataset_llm import MESSAGES, SCHEMA, client


class Work:
    """Stands for a claim whose store does not answer the first `failures` updates."""

    def __init__(self, failures: int = 0) -> None:
        self.doc: dict[str, Any] = {"work": {"state": "RUNNING", "waiting": None}}
        self.failures = failures
        self.told: list[str] = []

    async def update(self, mutate: Any) -> None:
        """See Claim."""
        if self.failures:
            self.failures -= 1
            raise Unavailable("The document store does not answer. Repeat the call.")
        mutate(self.doc)
        self.told.append((self.doc["work"]["waiting"] or {}).get("reason", ""))


@pytest.mark.parametrize("failures", [0, 2])
async def test_a_wait_is_told_in_spite_of_a_store_that_is_away_and_is_over_with_the_calls(
    monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    """The last call is answered between two looks, and nothing looks again."""
    monkeypatch.setattr(absence, "LOOK_SECONDS", 0.01)
    one, work = SimpleNamespace(absence=Absence(), endpoint=SimpleNamespace(base_url="http://llm")), Work(failures)
    one.absence.failed("status 503", 60)
    one.absence.since = time.time() - 5
    claim: Any = work
    clients: Any = [one]
    async with asyncio.timeout(20), telling(claim, clients):
        await until(lambda: work.told)
        monkeypatch.setattr(absence, "LOOK_SECONDS", 60)
        await asyncio.sleep(0.05)
        one.absence.answered()

    assert work.told == ["LLM_AWAY", ""]


async def test_a_wait_is_told_again_after_a_pause_and_not_while_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause takes it away; the message is still the same when the work goes on."""
    monkeypatch.setattr(absence, "LOOK_SECONDS", 0.01)
    one, work = SimpleNamespace(absence=Absence(), endpoint=SimpleNamespace(base_url="http://llm")), Work()
    one.absence.failed("status 503", 60)
    one.absence.since = time.time() - 5
    claim: Any = work
    clients: Any = [one]
    async with asyncio.timeout(20), telling(claim, clients):
        await until(lambda: work.told)
        work.doc["work"].update(state="PAUSING", waiting=None)
        before = len(work.told)
        await until(lambda: len(work.told) > before + 1)
        paused = work.told[before:]
        work.doc["work"].update(state="RUNNING")
        await until(lambda: work.told[-1] == "LLM_AWAY")

    assert set(paused) == {""}


async def test_a_server_that_refuses_a_call_has_answered() -> None:
    """It is not away."""
    async with llm(fake.first(fake.status(503), then=fake.status(413))) as server:
        one = client(server)
        try:
            with pytest.raises(CallRefused):
                await one.complete(MESSAGES, SCHEMA, temperature=0.5, max_tokens=64, seed=7)
        finally:
            await one.close()

    assert one.absence.until > 0
    assert one.absence.since == 0


def test_nothing_is_told_of_a_wait_whose_time_is_over() -> None:
    """The last try is still on its way: what it was asked until has passed."""
    absence = Absence()
    absence.failed("status 503", 60)
    absence.since -= 90
    waits = absence.words("http://llm")
    absence.until = time.time() - 1

    assert waits.startswith("The LLM at http://llm gave status 503.")
    assert absence.words("http://llm") == ""
