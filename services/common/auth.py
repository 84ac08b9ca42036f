"""Who is calling, and what the caller may do.

Four kinds of caller, each with a bearer token:

    user      a person or a program: a random token from a file or a Secret     all methods but the worker contract
    service   one service calling another: signed, or of a ServiceAccount       as a user
    launch    a Job that was just started: signed, for one piece of work        BeginAttempt of that work, or its chat
    attempt   a trainer at work: signed, for one attempt of one piece of work    the rest of the worker contract

Signed tokens are HMAC-SHA256 over their content with a key that a service's replicas share. Other issuers plug in as
further TokenSources.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Collection, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, Protocol

from services.common.errors import PermissionDenied, Unauthenticated

Kind = Literal["user", "service", "launch", "attempt"]

WORKER_SERVICE = "/finetuneflow.common.v1.WorkerService/"
CHAT_WORKER_SERVICE = "/finetuneflow.training.v1.ChatWorkerService/"
OPEN_METHODS = ("/grpc.health.v1.Health/",)
_PREFIX = "ftf1."


@dataclass(frozen=True)
class Principal:
    """A caller.

    Args:
        name: the token's name, a service's name, or the work's.
        work: for launch and attempt: the one piece of work that it may touch.
        attempt: for attempt: the one attempt.
    """

    name: str
    kind: Kind
    work: str = ""
    attempt: int = 0


_current: ContextVar[Principal | None] = ContextVar("principal", default=None)


def current_principal() -> Principal:
    """Return who made the call that is being handled.

    Raises:
        Unauthenticated: outside a call.
    """
    principal = _current.get()
    if principal is None:
        raise Unauthenticated("This call carries no token. Run `ftf up`, or set FTF_TOKEN.")
    return principal


def caller_name() -> str:
    """Return the name of who made the call that is being handled; "" for work that a service does by itself."""
    principal = _current.get()
    return principal.name if principal else ""


def set_principal(principal: Principal | None) -> None:
    """Name the caller for the rest of this task; done by the server's interceptor."""
    _current.set(principal)


class Signer:
    """Makes and checks signed tokens.

    Args:
        key: at least 32 random bytes, shared by a service's replicas.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, principal: Principal) -> str:
        """Return a token for a principal; the same principal gives the same token."""
        content = json.dumps(
            {"n": principal.name, "k": principal.kind, "w": principal.work, "a": principal.attempt}, sort_keys=True
        ).encode()
        return _PREFIX + _encode(content) + "." + _encode(self._mac(content))

    def check(self, token: str) -> Principal | None:
        """Return the principal that a token was signed for, or None."""
        try:
            content, mac = (_decode(part) for part in token.removeprefix(_PREFIX).split("."))
        except (ValueError, binascii.Error):
            return None
        if not token.startswith(_PREFIX) or not hmac.compare_digest(mac, self._mac(content)):
            return None
        fields = json.loads(content)
        return Principal(fields["n"], fields["k"], fields["w"], fields["a"])

    def _mac(self, content: bytes) -> bytes:
        return hmac.new(self._key, content, hashlib.sha256).digest()


class TokenSource(Protocol):
    """One place that tokens come from: an issuer."""

    async def principal(self, token: str) -> Principal | None:
        """Return whom a token stands for, or None if it is not a good one of this issuer.

        Raises:
            Unavailable: the issuer cannot be asked now.
        """
        ...


class NamedTokens:
    """User tokens that stay as they are: name → token."""

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self._users = {digest(token): name for name, token in tokens.items()}

    async def principal(self, token: str) -> Principal | None:
        """See TokenSource."""
        user = self._users.get(digest(token))
        return Principal(user, "user") if user else None


class SignedTokens:
    """Tokens that a service signed.

    Args:
        kinds: of caller that such tokens may stand for.
    """

    def __init__(self, signer: Signer, kinds: Collection[Kind] = ("service", "launch", "attempt")) -> None:
        self._signer = signer
        self._kinds = kinds

    async def principal(self, token: str) -> Principal | None:
        """See TokenSource."""
        found = self._signer.check(token)
        return found if found and found.kind in self._kinds else None


class Authenticator:
    """Turns a call's metadata into a principal and decides about methods.

    Args:
        sources: asked in turn; the first that knows a token names the caller.
    """

    def __init__(self, sources: Sequence[TokenSource]) -> None:
        self._sources = tuple(sources)

    async def authenticate(self, metadata: Mapping[str, str]) -> Principal:
        """Return the caller.

        Raises:
            Unauthenticated: no bearer token, or not a good one.
            Unavailable: who could tell cannot be asked now.
        """
        scheme, _, token = metadata.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("This call carries no token. Run `ftf up`, or set FTF_TOKEN.")
        for source in self._sources:
            principal = await source.principal(token)
            if principal is not None:
                return principal
        raise Unauthenticated(
            "This call's token is not a good one. Set FTF_TOKEN to one of this server; that of `ftf up` lies in its "
            "state folder."
        )

    def authorize(self, principal: Principal, method: str) -> None:
        """Let the call pass or refuse it. Methods are closed unless their kind of caller opens them.

        Raises:
            PermissionDenied: a good token, but not for this method.
        """
        if method == WORKER_SERVICE + "BeginAttempt" or method.startswith(CHAT_WORKER_SERVICE):
            allowed = principal.kind == "launch"
        elif method.startswith(WORKER_SERVICE):
            allowed = principal.kind == "attempt"
        else:
            allowed = principal.kind in ("user", "service")
        if not allowed:
            raise PermissionDenied(f"A {principal.kind}'s token does not open {method}. Use a token of the right kind.")


def is_open(method: str) -> bool:
    """Whether a method needs no token: health checks alone."""
    return method.startswith(OPEN_METHODS)


def digest(token: str) -> bytes:
    """Return what to know a token by without keeping it."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
