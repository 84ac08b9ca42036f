"""The connection to the Kubernetes API: that of the pod, or of $KUBECONFIG."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from kubernetes.aio import client, config

from services.common.variables import configuration

MAX_CONNECTIONS = 2_000
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[client.ApiClient]:
    """Open a connection to the Kubernetes API for the block. Nothing is sent yet.

    Raises:
        InvalidArgument: this is not a pod with a ServiceAccount, and KUBECONFIG names no good file (CONFIGURATION).
    """
    # Each log that is followed holds a connection.
    settings = client.Configuration(connection_pool_maxsize=MAX_CONNECTIONS)
    try:
        if os.environ.get("KUBERNETES_SERVICE_HOST"):
            config.load_incluster_config(settings)  # type: ignore[no-untyped-call]  # ships no types
        else:
            path = os.environ.get("KUBECONFIG", "")
            await config.load_kube_config(path, client_configuration=settings)  # type: ignore[no-untyped-call]  # the same
    except (config.ConfigException, OSError) as error:
        raise configuration(
            f"The Kubernetes API cannot be used ({error}). "
            "Run in a pod with a ServiceAccount and its token mounted, or set KUBECONFIG."
        ) from None
    async with client.ApiClient(settings) as api:
        yield api


async def own_namespace(default: str = "default") -> str:
    """Return the namespace that this pod runs in; `default` outside a pod."""
    try:
        return (await asyncio.to_thread((ACCOUNT / "namespace").read_text)).strip() or default
    except OSError:
        return default
