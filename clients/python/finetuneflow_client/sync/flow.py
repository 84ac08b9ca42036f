"""FineTuneFlow: where everything begins; blocking.

Made of resources/flow.py by clients/python/generate.py; do not edit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from finetuneflow_client import resources
from finetuneflow_client.blocking import Front, entered
from finetuneflow_client.sync.llm import Llms
from finetuneflow_client.sync.model import Models
from finetuneflow_client.sync.project import Projects
from finetuneflow_client.sync.template import Templates


class FineTuneFlow(Front):
    """A server: its projects, base models, LLM endpoints and prompt templates. Made by connect().

    Attributes:
        projects: projects, with files, datasets, runs and exports in each.
        models: base models.
        llms: LLM endpoints.
        templates: prompt templates.
    """

    of: resources.flow.FineTuneFlow

    @property
    def projects(self) -> Projects:
        """The server's projects."""
        return Projects(self.of.projects)

    @property
    def models(self) -> Models:
        """The server's models."""
        return Models(self.of.models)

    @property
    def llms(self) -> Llms:
        """The server's llms."""
        return Llms(self.of.llms)

    @property
    def templates(self) -> Templates:
        """The server's templates."""
        return Templates(self.of.templates)

    @classmethod
    @contextmanager
    def connect(
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
    ) -> Iterator[FineTuneFlow]:
        """Connect to a server, and close the connection at the end of the block.

        Args and errors: as Services.connect(). Without any, it is the server of the environment, of the
        profile in use, or of `ftf up` on this machine.
        """
        with entered(
            resources.FineTuneFlow.connect(
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
        ) as of:
            yield cls(of)
