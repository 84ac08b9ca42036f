"""What is said of a thing that others depend on before it is deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

from finetuneflow.common.v1 import work_pb2
from finetuneflow.training.v1 import run_pb2
from finetuneflow_client.cli import dependents


class Flow:
    """One project with one run that has ended."""

    async def projects(self) -> AsyncIterator[Any]:
        """Yield the project."""
        yield SimpleNamespace(name="projects/p")

    async def runs(self, parent: str) -> AsyncIterator[run_pb2.Run]:
        """Yield the run."""
        work = work_pb2.Work(state=work_pb2.WORK_STATE_SUCCEEDED)
        yield run_pb2.Run(name=f"{parent}/runs/r", model="models/m", work=work)


async def test_a_run_without_its_base_model_is_exported_in_no_form() -> None:
    """Neither as an adapter: the export service refuses all of them without the model."""
    session: Any = SimpleNamespace(flow=Flow())
    said = await dependents.of_model(session, "models/m")
    unused = await dependents.of_model(session, "models/other")

    assert said == "models/m is used: without it 1 run finished (projects/p/runs/r) cannot be exported any more"
    assert unused == ""
