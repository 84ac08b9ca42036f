"""Tokens of ServiceAccounts: what is asked of the Kubernetes API, how often, and what its answers mean."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

from services.common.auth import Principal
from services.common.errors import PermissionDenied, Unavailable
from services.common.kube.tokenreview import KEEP_AWAY_SECONDS, KEEP_REFUSAL_SECONDS, KEEP_SECONDS, ServiceAccounts

ACCOUNT = "system:serviceaccount:ours:ingest"
NOW = 1_000_000.0


def made_token(audience: object = "finetuneflow", expiry: float = NOW + 3600, salt: str = "") -> str:
    """A JSON Web Token with a signature that only the fake API knows."""
    claims = json.dumps({"aud": audience, "exp": expiry, "jti": salt}).encode()
    return ".".join(["e30", base64.urlsafe_b64encode(claims).decode().rstrip("="), "c2ln"])


class Api:
    """Answers reviews as the API server does."""

    def __init__(
        self, user: str = ACCOUNT, *, good: bool = True, audiences: tuple[str, ...] = ("finetuneflow",)
    ) -> None:
        self.status: dict[str, Any] = {"authenticated": good, "user": {"username": user}, "audiences": list(audiences)}
        self.error: Exception | None = None
        self.asked: list[dict[str, Any]] = []

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0)
        self.asked.append(body["spec"])
        if self.error:
            raise self.error
        return {"status": self.status}


class World:
    """A source of tokens with a clock that is moved by hand."""

    def __init__(self, api: Api) -> None:
        self.time = 0.0
        self.api = api
        self.source = ServiceAccounts(
            api, {ACCOUNT: "ingest"}, monotonic=lambda: self.time, now=lambda: NOW + self.time
        )


async def test_a_token_of_a_named_account_is_its_services() -> None:
    """The API is asked whether it is good for this audience."""
    world = World(Api())
    token = made_token(["finetuneflow"])

    assert await world.source.principal(token) == Principal("ingest", "service")
    assert world.api.asked == [{"token": token, "audiences": ["finetuneflow"]}]


@pytest.mark.parametrize(
    "api",
    [
        Api(good=False),
        Api(audiences=("https://kubernetes.default.svc",)),
        Api(audiences=()),
        Api("system:serviceaccount:theirs:ingest"),
        Api("system:serviceaccount:ours:other"),
        Api("system:admin"),
    ],
)
async def test_any_other_token_is_refused(api: Api) -> None:
    """Not authenticated, for another audience, of another namespace or account."""
    assert await World(api).source.principal(made_token()) is None


@pytest.mark.parametrize(
    "token",
    [
        "",
        "plain",
        "a.b",
        "a.b.c",
        "a.é.c",
        "..",
        made_token("other"),
        made_token(expiry=NOW - 1),
        made_token(expiry=10**400),
        made_token(expiry=float("nan")),
        "a." + "e" * 20_000 + ".c",
    ],
)
async def test_what_cannot_be_such_a_token_is_asked_of_nobody(token: str) -> None:
    """Whoever sends rubbish gives the API server no work."""
    world = World(Api())

    assert await world.source.principal(token) is None
    assert world.api.asked == []


async def test_an_answer_counts_for_a_minute() -> None:
    """So a deleted account is refused after it, and a busy service asks once a minute."""
    world = World(Api())
    token = made_token()
    for _ in range(3):
        await world.source.principal(token)
    within = len(world.api.asked)
    world.api.status = {"authenticated": False}
    world.time += KEEP_SECONDS

    assert within == 1
    assert await world.source.principal(token) is None


async def test_an_answer_counts_no_longer_than_its_token() -> None:
    """A token that ran out is no better for having been good."""
    world = World(Api())
    token = made_token(expiry=NOW + 10)
    first = await world.source.principal(token)
    world.time += 10

    assert first is not None
    assert await world.source.principal(token) is None


async def test_a_refusal_is_kept_for_a_moment_only() -> None:
    """An account that was made just now is soon let in."""
    world = World(Api(good=False))
    token = made_token()
    await world.source.principal(token)
    await world.source.principal(token)
    asked = len(world.api.asked)
    world.api.status = Api().status
    world.time += KEEP_REFUSAL_SECONDS

    assert asked == 1
    assert await world.source.principal(token) == Principal("ingest", "service")


async def test_calls_at_once_ask_once() -> None:
    """A burst after the minute is over is one question."""
    world = World(Api())
    token = made_token()
    found = await asyncio.gather(*(world.source.principal(token) for _ in range(20)))

    assert found == [Principal("ingest", "service")] * 20
    assert len(world.api.asked) == 1


@pytest.mark.parametrize("error", [Unavailable("away"), PermissionDenied("may not")])
async def test_an_api_that_does_not_answer_says_nothing_about_the_token(error: Exception) -> None:
    """The caller repeats the call; it would give up on UNAUTHENTICATED. Nothing is kept of it."""
    world = World(Api())
    world.api.error = error
    token = made_token()
    with pytest.raises(Unavailable):
        await world.source.principal(token)
    world.api.error = None

    assert await world.source.principal(token) == Principal("ingest", "service")


async def test_services_know_each_other_through_an_outage() -> None:
    """For a quarter of an hour after the last good answer, and only of tokens that had one."""
    world = World(Api())
    known, unknown = made_token(), made_token(salt="other")
    await world.source.principal(known)
    world.api.error = Unavailable("away")
    world.time += KEEP_AWAY_SECONDS - 1
    within = await world.source.principal(known)
    with pytest.raises(Unavailable):
        await world.source.principal(unknown)
    world.time += 1

    assert within == Principal("ingest", "service")
    with pytest.raises(Unavailable):
        await world.source.principal(known)
