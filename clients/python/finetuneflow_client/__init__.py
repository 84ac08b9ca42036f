"""The Python client of FineTuneFlow.

    from finetuneflow_client import FineTuneFlow

    async with FineTuneFlow.connect() as ftf:
        async for project in ftf.projects.list():
            print(project.name)

resources   FineTuneFlow, and what it leads to: projects, files, datasets, examples, runs, exports
sync        the same, blocking: made of resources, for programs without async
client      Services: the connection, a typed stub for each service, lists of messages
discovery   which server, which token: flags, environment, state folder
errors      FtfError: what went wrong, why, and the remedy
names       short ids and full resource names
uploads     documents up, hashed, with progress
downloads   artifacts down, hash checked, continued where they broke off
watch       runs, datasets, files and exports followed across broken connections
cli         the command `ftf`

Importing this package imports neither grpc nor the generated code; using FineTuneFlow does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from finetuneflow_client.errors import DocumentsRefused, FtfError, WorkCancelled, WorkFailed, WorkPaused

if TYPE_CHECKING:
    from finetuneflow_client.resources import FineTuneFlow

__all__ = ["DocumentsRefused", "FineTuneFlow", "FtfError", "WorkCancelled", "WorkFailed", "WorkPaused", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Import FineTuneFlow on first use, so that `ftf --help` does not wait for grpc."""
    if name == "FineTuneFlow":
        from finetuneflow_client.resources import FineTuneFlow

        return FineTuneFlow
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
