"""Tokens of ServiceAccounts against a real API server: whose, for whom, and for how long they are good."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from kubernetes import aio

from services.common.auth import Principal
from services.common.errors import Unavailable
from services.common.kube.api import KubeApi
from services.common.kube.tokenreview import ServiceAccounts
from tests.cluster.bed.cluster import Bed
from tests.cluster.bed.waits import until

pytestmark = pytest.mark.cluster

REVIEWER = "tokenreviewer"
REVIEWS: dict[str, Any] = {
    "metadata": {"name": "test-tokenreview"},
    "rules": [{"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}],
}


async def account(bed: Bed, namespace: str, name: str) -> None:
    """Make a ServiceAccount."""
    await bed.raw.create("serviceaccounts", namespace, {"metadata": {"name": name}})


async def token(bed: Bed, namespace: str, name: str, audience: str = "finetuneflow", **bound: Any) -> str:
    """Ask for an account's token, as the kubelet does for a projected volume."""
    api = KubeApi(bed.api, namespace)
    spec: dict[str, Any] = {"audiences": [audience] if audience else [], "expirationSeconds": 600, **bound}
    path = api.path("serviceaccounts", name, "token")
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    return str((await api.create(path, body))["status"]["token"])


async def connected(bed: Bed, bearer: str) -> aio.client.ApiClient:
    """Return a client of the API as the owner of a token."""
    settings = aio.client.Configuration()
    settings.host = bed.api.configuration.host
    settings.ssl_ca_cert = bed.api.configuration.ssl_ca_cert
    settings.api_key["BearerToken"] = f"Bearer {bearer}"
    return aio.client.ApiClient(settings)


@pytest.fixture
async def space(bed: Bed) -> str:
    """A namespace with two accounts: a service's, and that of whoever reviews tokens, with the chart's rights."""
    namespace = await bed.namespace()
    await account(bed, namespace, "training")
    await account(bed, namespace, REVIEWER)
    role = {**REVIEWS, "metadata": {"name": f"{namespace}-tokenreview"}}
    await bed.raw.create("rbac.authorization.k8s.io/v1/clusterroles", "", role)
    binding = {
        "metadata": role["metadata"],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", **role["metadata"]},
        "subjects": [{"kind": "ServiceAccount", "name": REVIEWER, "namespace": namespace}],
    }
    await bed.raw.create("rbac.authorization.k8s.io/v1/clusterrolebindings", "", binding)
    return namespace


@pytest.fixture
async def api(bed: Bed, space: str) -> AsyncIterator[KubeApi]:
    """The API as the reviewer may use it."""
    async with await connected(bed, await token(bed, space, REVIEWER, "")) as client:
        yield KubeApi(client, "")


def source(api: KubeApi, namespace: str, **fields: Any) -> ServiceAccounts:
    """A source that has asked nothing yet."""
    return ServiceAccounts(api, {f"system:serviceaccount:{namespace}:training": "training"}, **fields)


async def test_a_services_token_is_good_for_its_audience_alone(bed: Bed, space: str, api: KubeApi) -> None:
    """One for the API server itself, which every pod may have, is none for us."""
    tokens = source(api, space)
    good = await tokens.principal(await token(bed, space, "training"))
    elsewhere = await tokens.principal(await token(bed, space, "training", "vault"))
    default = await tokens.principal(await token(bed, space, "training", ""))

    assert good == Principal("training", "service")
    assert elsewhere is None
    assert default is None


async def test_accounts_of_other_namespaces_and_names_are_nobody(bed: Bed, space: str, api: KubeApi) -> None:
    """Whoever may make accounts in a namespace of their own gains nothing by a name."""
    other = await bed.namespace()
    await account(bed, other, "training")
    tokens = source(api, space)

    assert await tokens.principal(await token(bed, other, "training")) is None
    assert await tokens.principal(await token(bed, space, "default")) is None


async def test_a_forged_token_is_refused(bed: Bed, space: str, api: KubeApi) -> None:
    """The signature counts, not what the token says of itself."""
    head, claims, signature = (await token(bed, space, "training")).split(".")

    assert await source(api, space).principal(".".join((head, claims, signature[::-1]))) is None


async def test_a_token_that_ran_out_is_refused(bed: Bed, space: str, api: KubeApi) -> None:
    """By its own time; ten minutes are the least that the API server gives."""
    given = await token(bed, space, "training")
    late = source(api, space, now=lambda: time.time() + 601)

    assert await late.principal(given) is None
    assert await source(api, space).principal(given) is not None


async def test_the_tokens_of_what_was_deleted_are_refused(bed: Bed, space: str, api: KubeApi) -> None:
    """Of an account, and of a pod or Secret that a token was bound to. The API server remembers for ten seconds."""
    await bed.raw.create("secrets", space, {"metadata": {"name": "bound"}})
    uid = (await bed.raw.get("secrets", space, "bound"))["metadata"]["uid"]
    bound = {"apiVersion": "v1", "kind": "Secret", "name": "bound", "uid": uid}
    of_secret = await token(bed, space, "training", boundObjectRef=bound)
    before = await source(api, space).principal(of_secret)
    await bed.raw.delete("secrets", space, "bound")

    async def refused(given: str) -> bool:
        return await source(api, space).principal(given) is None

    await until(lambda: refused(of_secret), "the bound token is refused", 30)
    of_account = await token(bed, space, "training")
    await bed.raw.delete("serviceaccounts", space, "training")
    await until(lambda: refused(of_account), "the account's token is refused", 30)

    assert before == Principal("training", "service")


async def test_without_the_right_to_review_the_caller_is_told_to_come_again(bed: Bed, space: str) -> None:
    """It is not the caller's token that is wrong."""
    async with await connected(bed, await token(bed, space, "training", "")) as client:
        tokens = source(KubeApi(client, ""), space)
        with pytest.raises(Unavailable):
            await tokens.principal(await token(bed, space, "training"))
