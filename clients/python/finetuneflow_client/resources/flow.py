"""FineTuneFlow: where everything begins."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from finetuneflow_client.client import Services
from finetuneflow_client.resources.llm import Llms
from finetuneflow_client.resources.model import Models
from finetuneflow_client.resources.project import Projects
from finetuneflow_client.resources.template import Templates


class FineTuneFlow:
    """A server: its projects, base models, LLM endpoints and prompt templates. Made by connect().

    Attributes:
        projects: projects, with files, datasets, runs and exports in each.
        models: base models.
        llms: LLM endpoints.
        templates: prompt templates.
        services: the generated stubs, for every call and field of the contract.
    """

    def __init__(self, services: Services) -> None:
        self.services = services
        self.projects = Projects(services)
        self.models = Models(services)
        self.llms = Llms(services)
        self.templates = Templates(services)

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        server: str = "",
        token: str = "",
        *,
        token_file: str = "",
        state: str = "",
        tls_ca: str = "",
        profile: str = "",
        deadline: float = 30,
        wait: float = 3,
        patience: float = 5,
    ) -> AsyncIterator[FineTuneFlow]:
        """Connect to a server, and close the connection at the end of the block.

        Args and errors: as Services.connect(). Without any, it is the server of the environment, of the
        profile in use, or of `ftf up` on this machine.
        """
        services = Services.connect(
            server,
            token,
            token_file=token_file,
            state=state,
            tls_ca=tls_ca,
            profile=profile,
            deadline=deadline,
            wait=wait,
            patience=patience,
        )
        async with services as connected:
            yield cls(connected)
