"""Tokens of ServiceAccounts, checked by the Kubernetes API: how services in a cluster know each other."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from services.common.auth import Principal, digest
from services.common.errors import FineTuneFlowError, Unavailable

AUDIENCE = "finetuneflow"
KEEP_SECONDS = 60.0
"""How long an answer counts at most; a token of a deleted account is refused after it."""
KEEP_REFUSAL_SECONDS = 5.0
KEEP_AWAY_SECONDS = 900.0
"""How long a good answer counts while the API server is away, so that its outage does not stop the services."""
KEPT = 1024
"""Answers that are kept at most."""

_LONGEST_TOKEN = 16_384
_LAST = 1e12
_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"

log = logging.getLogger(__name__)


class Creates(Protocol):
    """What is needed of the Kubernetes API: see api.KubeApi."""

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create an object and return it as it was answered."""
        ...


Kept = tuple[float, float, Principal | None]
"""Until when an answer counts, and until when while the API server is away."""


class ServiceAccounts:
    """Takes tokens of named ServiceAccounts that were made for this audience.

    Args:
        api: a connection whose own account may create TokenReviews (ClusterRole system:auth-delegator).
        accounts: system:serviceaccount:NAMESPACE:NAME → the service that it stands for.
        audience: what a token must have been made for.
        monotonic, now: seconds, for tests.
    """

    def __init__(
        self,
        api: Creates,
        accounts: Mapping[str, str],
        audience: str = AUDIENCE,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._accounts = accounts
        self._audience = audience
        self._monotonic = monotonic
        self._now = now
        self._kept: dict[bytes, Kept] = {}
        self._asking: dict[bytes, asyncio.Task[Principal | None]] = {}

    async def principal(self, token: str) -> Principal | None:
        """See auth.TokenSource. The API is asked once a minute for a token, and never for what cannot be one."""
        claims = _claims(token)
        if claims is None or self._audience not in _list(claims.get("aud")) or _expiry(claims) <= self._now():
            return None
        key = digest(token)
        kept = self._kept.get(key)
        if kept and kept[0] > self._monotonic():
            return kept[2]
        if key not in self._asking:
            task = asyncio.create_task(self._ask(key, token, _expiry(claims)))
            self._asking[key] = task
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        try:
            # A caller that goes away must not take the answer from the others who wait for it.
            return await asyncio.shield(self._asking[key])
        except Unavailable:
            if kept and kept[2] and kept[1] > self._monotonic():
                return kept[2]
            raise

    async def _ask(self, key: bytes, token: str, expiry: float) -> Principal | None:
        status = await self._review(token)
        user = str((status.get("user") or {}).get("username") or "")
        good = status.get("authenticated") is True and self._audience in (status.get("audiences") or [])
        service = self._accounts.get(user) if good else None
        if good and service is None:
            log.warning("A token of %s is not taken: it is none of FTF_SERVICE_ACCOUNTS.", user)
        found = Principal(service, "service") if service else None
        seconds = min(KEEP_SECONDS, expiry - self._now()) if found else KEEP_REFUSAL_SECONDS
        while len(self._kept) >= KEPT:
            self._kept.pop(next(iter(self._kept)))
        self._kept.pop(key, None)
        now, lasting = self._monotonic(), min(KEEP_AWAY_SECONDS, expiry - self._now())
        self._kept[key] = (now + seconds, now + (lasting if found else 0), found)
        return found

    async def _review(self, token: str) -> Mapping[str, Any]:
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [self._audience]},
        }
        try:
            answer = await self._api.create(_REVIEWS, body)
        except Unavailable:
            raise
        except FineTuneFlowError as error:
            # No caller can mend this: the service's own account lacks a right.
            log.error("This service cannot have tokens reviewed (%s). Bind it to system:auth-delegator.", error.reason)
            raise Unavailable("The Kubernetes API reviews no tokens for this service. See its log.") from None
        status: Mapping[str, Any] = answer.get("status") or {}
        return status


def _claims(token: str) -> dict[str, Any] | None:
    """Return what a token says of itself, unproven; None if it is no JSON Web Token (RFC 7519)."""
    parts = token.split(".")
    if len(parts) != 3 or len(token) > _LONGEST_TOKEN:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None
    return claims if isinstance(claims, dict) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _expiry(claims: Mapping[str, Any]) -> float:
    expiry = claims.get("exp")
    # A number of some hundred digits, which JSON allows, is no float.
    return float(expiry) if isinstance(expiry, int | float) and abs(expiry) < _LAST else 0.0
