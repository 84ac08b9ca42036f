"""What a project does with runs: check, start, list; and with their exports."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Unpack

from finetuneflow.export.v1 import export_service_pb2
from finetuneflow.training.v1 import config_pb2, resources_pb2, run_pb2, training_service_pb2
from finetuneflow_client import models, names, planning, sweeps
from finetuneflow_client.filling import filled
from finetuneflow_client.resources.dataset import Dataset
from finetuneflow_client.resources.export import Export
from finetuneflow_client.resources.generation import WithDatasets
from finetuneflow_client.resources.model import Model
from finetuneflow_client.resources.resource import named
from finetuneflow_client.resources.run import Run
from finetuneflow_client.resources.settings import ResourceSettings, TrainingSettings


class WithRuns(WithDatasets):
    """A project, as far as its files, datasets, runs and exports go."""

    async def train(
        self,
        dataset: Dataset | str,
        *,
        model: Model | str,
        version: int = 0,
        id: str = "",
        only_approved: bool = False,
        recommended: bool = True,
        validate_only: bool = False,
        priority: int = 0,
        resources: ResourceSettings | None = None,
        resume_from_checkpoint: str = "",
        **settings: Unpack[TrainingSettings],
    ) -> Run:
        """Start a run, and return it as it is queued; Run.watch() and Run.wait() follow it.

        Args:
            dataset: what it learns from: one with a frozen version.
            model: the base model: its id, a folder of the server's machine, or a hub id.
            version: of the dataset; 0 for the newest.
            id: last part of the run's name; made up if empty.
            only_approved: learn only from what a person approved; without a version one is frozen.
            recommended: whether what the settings leave open is taken from what suits model and machine.
            validate_only: start nothing; `message.check` then has everything that speaks against it.
            priority: what goes first, -1,000 to 1,000; in a cluster as its administrator listed it.
            resources: what it asks of the place where it runs, by the contract's names.
            resume_from_checkpoint: full name of a run or checkpoint to begin from.
            settings: by the contract's names, which are those of TRL and PEFT.

        Raises:
            FtfError: INVALID_ARGUMENT; FAILED_PRECONDITION with what forbids it; NOT_FOUND.
        """
        name = named("datasets", dataset, self.name)
        if only_approved and not version:
            version = (await (await self.dataset(name)).freeze(approved_only=True)).version
        config = filled(config_pb2.TrainingConfig(), settings)
        run = await self._planned(name, model, version, config, resources, recommended)
        run.only_approved, run.priority, run.resume_from_checkpoint = only_approved, priority, resume_from_checkpoint
        request = training_service_pb2.CreateRunRequest(
            parent=self.name, run=run, run_id=id, validate_only=validate_only
        )
        return Run(self._services, await self._services.training.CreateRun(request))

    async def sweep(
        self,
        id: str,
        dataset: Dataset | str,
        *,
        model: Model | str,
        vary: Mapping[str, Sequence[Any]] | None = None,
        overrides: Sequence[Mapping[str, Any]] | None = None,
        version: int = 0,
        recommended: bool = True,
        resources: ResourceSettings | None = None,
        **settings: Unpack[TrainingSettings],
    ) -> list[Run]:
        """Start a run for each of some settings, "ID-1", "ID-2", …; all are checked before the first starts.

        Args:
            id: the sweep's name, which its runs bear as the label "sweep".
            vary: setting → its values: {"learning_rate": [1e-4, 2e-4], "lora.r": [8, 16]}; a run for each combination.
            overrides: instead of it, what each run sets: [{"learning_rate": 2e-4, "lora.r": 8}, …]; at most 64 runs.

        The other args, and errors, are those of train(); what forbids one run starts none.
        """
        changes = sweeps.each(vary, overrides)
        name = named("datasets", dataset, self.name)
        requests = []
        for number, change in enumerate(changes, start=1):
            config = filled(filled(config_pb2.TrainingConfig(), settings), change)
            run = await self._planned(name, model, version, config, resources, recommended)
            requests.append(sweeps.request(self.name, id, number, run))
        return [Run(self._services, message) for message in await sweeps.start(self._services, requests)]

    async def runs(self, *, sweep: str = "") -> AsyncIterator[Run]:
        """Yield its runs, oldest first; with `sweep` those of one sweep."""
        async for message in self._services.runs(self.name):
            if not sweep or message.meta.labels.get(sweeps.LABEL) == sweep:
                yield Run(self._services, message)

    async def run(self, id: str) -> Run:
        """Return a run. Raises FtfError NOT_FOUND."""
        request = training_service_pb2.GetRunRequest(name=names.full("runs", id, self.name))
        return Run(self._services, await self._services.training.GetRun(request))

    async def exports(self) -> AsyncIterator[Export]:
        """Yield its exports, oldest first."""
        async for message in self._services.exports(self.name):
            yield Export(self._services, message)

    async def export(self, id: str) -> Export:
        """Return an export. Raises FtfError NOT_FOUND."""
        request = export_service_pb2.GetExportRequest(name=names.full("exports", id, self.name))
        return Export(self._services, await self._services.export.GetExport(request))

    async def _planned(
        self,
        dataset: str,
        model: Model | str,
        version: int,
        config: config_pb2.TrainingConfig,
        resources: ResourceSettings | None,
        recommended: bool,
    ) -> run_pb2.Run:
        base = model if isinstance(model, str) else model.name
        plan = await planning.plan(
            self._services,
            await models.base_model(self._services, base),
            dataset,
            version,
            config,
            filled(resources_pb2.Resources(), resources or {}),
            recommended=recommended,
        )
        return plan.run
