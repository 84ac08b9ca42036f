"""What a service that runs on its own has around it: who may call, and where Jobs run."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from services.common.auth import TokenSource
from services.common.config import Config
from services.common.hubtoken import hub_token
from services.common.jobs.port import JobRunner
from services.common.jobs.process import ProcessJobs
from services.common.secretfiles import Secrets
from services.common.stores import open_objects
from services.common.tokenfiles import TokenFolder, read_token
from services.common.variables import configuration

KINDS = {"training": ("run", "chat"), "export": ("export",)}
"""Services with Jobs, and the kind of theirs."""
USER = "user"


@dataclass(frozen=True)
class Outside:
    """What `outside` yields.

    Args:
        tokens: user tokens: name → token.
        issuers: further places that tokens come from.
    """

    tokens: Mapping[str, str] = field(repr=False)
    issuers: Sequence[TokenSource]
    jobs: JobRunner


@contextlib.asynccontextmanager
async def outside(name: str, config: Config) -> AsyncIterator[Outside]:
    """Open what a service needs, and close it after the block.

    Raises:
        InvalidArgument: a file or folder that the configuration names is not as it must be (CONFIGURATION).
    """
    async with contextlib.AsyncExitStack() as stack:
        tokens = {USER: await asyncio.to_thread(read_token, config.token_file)} if config.token_file else {}
        issuers: list[TokenSource] = []
        if config.tokens_dir:
            issuers.append(TokenFolder(config.tokens_dir))
        if config.service_accounts:
            issuers.append(await _service_accounts(stack, config))
        yield Outside(tokens, issuers, await _jobs(stack, name, config))


async def _service_accounts(stack: contextlib.AsyncExitStack, config: Config) -> TokenSource:
    # Imported here, for the client of Kubernetes is no part of an installation on one machine.
    from services.common.kube.api import KubeApi
    from services.common.kube.client import connected
    from services.common.kube.tokenreview import ServiceAccounts

    api = KubeApi(await stack.enter_async_context(connected()), namespace="")  # TokenReviews are in none
    return ServiceAccounts(api, config.service_accounts)


async def _jobs(stack: contextlib.AsyncExitStack, name: str, config: Config) -> JobRunner:
    # A service without Jobs never asks its runner for anything.
    if config.jobs == "local" or name not in KINDS:
        secrets = Secrets(config.state / "secrets")
        token = hub_token(config.hub_token_file, secrets.get, os.environ)
        local = ProcessJobs(config.state / "jobs" / name, hub_token=token)
        stack.push_async_callback(local.close)
        return local
    from services.common.kube.client import connected
    from services.common.kube.jobs import KubernetesJobs
    from services.common.kube.template import read_template

    if config.job_template is None:
        raise configuration("FTF_JOBS is kubernetes without settings of Jobs. Set FTF_JOB_TEMPLATE to their file.")
    template = await asyncio.to_thread(read_template, config.job_template)
    api = await stack.enter_async_context(connected())
    runner = KubernetesJobs(
        api, template, open_objects(config.objects, config.object_keys), config.release, kinds=KINDS[name]
    )
    stack.push_async_callback(runner.close)
    await runner.start()
    return runner
