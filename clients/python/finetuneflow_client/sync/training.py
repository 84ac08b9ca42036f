"""What a project does with runs: check, start, list; and with their exports; blocking.

Made of resources/training.py by clients/python/generate.py; do not edit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Unpack

from finetuneflow_client import resources
from finetuneflow_client.blocking import iterate, run
from finetuneflow_client.resources.settings import ResourceSettings, TrainingSettings
from finetuneflow_client.sync.dataset import Dataset
from finetuneflow_client.sync.export import Export
from finetuneflow_client.sync.generation import WithDatasets
from finetuneflow_client.sync.model import Model
from finetuneflow_client.sync.run import Run


class WithRuns(WithDatasets):
    """A project, as far as its files, datasets, runs and exports go."""

    of: resources.training.WithRuns

    def train(
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
        return Run(
            run(
                self.of.train(
                    dataset.of if isinstance(dataset, Dataset) else dataset,
                    model=model.of if isinstance(model, Model) else model,
                    version=version,
                    id=id,
                    only_approved=only_approved,
                    recommended=recommended,
                    validate_only=validate_only,
                    priority=priority,
                    resources=resources,
                    resume_from_checkpoint=resume_from_checkpoint,
                    **settings,
                )
            )
        )

    def sweep(
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
        return [
            Run(one)
            for one in run(
                self.of.sweep(
                    id,
                    dataset.of if isinstance(dataset, Dataset) else dataset,
                    model=model.of if isinstance(model, Model) else model,
                    vary=vary,
                    overrides=overrides,
                    version=version,
                    recommended=recommended,
                    resources=resources,
                    **settings,
                )
            )
        ]

    def runs(self, *, sweep: str = "") -> Iterator[Run]:
        """Yield its runs, oldest first; with `sweep` those of one sweep."""
        return map(Run, iterate(self.of.runs(sweep=sweep)))

    def run(self, id: str) -> Run:
        """Return a run. Raises FtfError NOT_FOUND."""
        return Run(run(self.of.run(id)))

    def exports(self) -> Iterator[Export]:
        """Yield its exports, oldest first."""
        return map(Export, iterate(self.of.exports()))

    def export(self, id: str) -> Export:
        """Return an export. Raises FtfError NOT_FOUND."""
        return Export(run(self.of.export(id)))
