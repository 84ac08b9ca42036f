"""Tokens and what they open."""

from __future__ import annotations

import pytest

from services.common.auth import WORKER_SERVICE, Authenticator, NamedTokens, Principal, SignedTokens, Signer
from services.common.errors import PermissionDenied, Unauthenticated

SIGNER = Signer(b"k" * 32)
AUTH = Authenticator([NamedTokens({"ann": "anns-token"}), SignedTokens(SIGNER)])
ATTEMPT = Principal("projects/p/runs/r", "attempt", "projects/p/runs/r", 2)


async def caller(token: str) -> Principal:
    return await AUTH.authenticate({"authorization": f"Bearer {token}"})


async def test_a_users_token_names_its_user() -> None:
    """The name, not the token, is what resources keep as their creator."""
    assert await caller("anns-token") == Principal("ann", "user")


async def test_a_signed_token_brings_its_principal_back() -> None:
    """Work and attempt are inside the signature."""
    assert await caller(SIGNER.sign(ATTEMPT)) == ATTEMPT


@pytest.mark.parametrize("metadata", [{}, {"authorization": "anns-token"}, {"authorization": "Basic anns-token"}])
async def test_a_call_without_a_bearer_token_is_refused(metadata: dict[str, str]) -> None:
    """Nothing is open by accident."""
    with pytest.raises(Unauthenticated):
        await AUTH.authenticate(metadata)


@pytest.mark.parametrize(
    "token",
    [
        "other",
        "ftf1.",
        "ftf1.é.é",
        "ftf1.e30.e30",
        SIGNER.sign(ATTEMPT)[:-2],
        "x" + SIGNER.sign(ATTEMPT)[1:],
        Signer(b"o" * 32).sign(ATTEMPT),
    ],
)
async def test_a_token_that_is_not_ours_is_refused(token: str) -> None:
    """Cut, changed, or signed with another key."""
    with pytest.raises(Unauthenticated):
        await caller(token)


@pytest.mark.parametrize(
    ("kind", "method", "allowed"),
    [
        ("user", "/finetuneflow.ingest.v1.IngestService/GetProject", True),
        ("service", "/finetuneflow.ingest.v1.IngestService/GetProject", True),
        ("launch", "/finetuneflow.ingest.v1.IngestService/GetProject", False),
        ("attempt", "/finetuneflow.ingest.v1.IngestService/GetProject", False),
        ("user", WORKER_SERVICE + "BeginAttempt", False),
        ("service", WORKER_SERVICE + "FinishAttempt", False),
        ("launch", WORKER_SERVICE + "BeginAttempt", True),
        ("launch", WORKER_SERVICE + "GrantUpload", False),
        ("attempt", WORKER_SERVICE + "BeginAttempt", False),
        ("attempt", WORKER_SERVICE + "GrantUpload", True),
        ("attempt", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", False),
    ],
)
def test_each_kind_of_caller_opens_its_own_methods_alone(kind: str, method: str, allowed: bool) -> None:
    """A trainer's token is no user's, and a user's is no trainer's."""
    principal = Principal("n", kind)  # type: ignore[arg-type]  # parametrized
    try:
        AUTH.authorize(principal, method)
        passed = True
    except PermissionDenied:
        passed = False

    assert passed is allowed
