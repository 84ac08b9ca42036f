"""Everything that is looked at before a run is made, so that nothing of it comes as a surprise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from google.protobuf.json_format import MessageToDict

from finetuneflow.common.v1 import reasons_pb2
from finetuneflow.dataset.v1 import dataset_pb2
from finetuneflow.hardware.v1 import model_pb2
from finetuneflow.training.v1 import check_pb2, run_pb2
from services.common import ids
from services.common.documents.port import Document
from services.common.errors import InvalidArgument, NotReady
from services.common.jobs.port import Resources as Wanted
from services.common.jobs.port import check_gpus
from services.common.jobwork.basemodels import base_fields
from services.common.protoform import user_fields
from services.training.core import complete
from services.training.core_objectives import SFT, objective_for
from services.training.core_problems import Problems, judge_labels, judge_priority, parted, without_faults
from services.training.core_resources import check_priority, checked
from services.training.estimating import Estimating, Expected
from services.training.forms import config_to_proto, resources_to_proto
from services.training.labels import unchecked
from services.training.ports import Datasets, Gpus, Hardware, Labels, Queue
from services.training.versions import find_version, kind_of, require_held_out

DATASET = "projects/*/datasets/*"
MOST_SHOWN = 20


@dataclass
class Found:
    """What was found about a run.

    Args:
        fields: the run's fields, as far as they could be told.
        whole: whether dataset and model were found.
        labels: what it would learn from; None if that could not be looked at.
    """

    fields: Document
    problems: Problems
    whole: bool
    labels: check_pb2.LabelPreview | None = None
    jobs_before: int = 0
    disk_free: int = 0

    def to_proto(self) -> check_pb2.RunCheck:
        """Return it as a message."""
        problems = []
        for refuses, error in self.problems.found:
            what, remedy = parted(error.message)
            kind = check_pb2.Problem.SEVERITY_REFUSE if refuses else check_pb2.Problem.SEVERITY_WARN
            reason = reasons_pb2.Reason.Value(f"REASON_{error.reason}")
            problems.append(
                check_pb2.Problem(severity=kind, reason=reason, field=error.field, message=what, remedy=remedy)
            )
        return check_pb2.RunCheck(
            problems=problems,
            labels=self.labels,
            jobs_before=self.jobs_before,
            disk_free_bytes=self.disk_free,
        )


@dataclass(frozen=True)
class Here:
    """The place where runs run.

    Args:
        check: refuses resources that no Job here can have; see JobRunner.check.
        heeds: whether a priority changes anything; see JobRunner.heeds.
        check_trackers: refuses trackers that no trainer here can report to; see trackers.require.
        installed: whether a package that the trainer does not bring may be there all the same.
        queue: tells how many Jobs are at work or wait.
        allow_hub: whether model hubs may be reached.
        has_hub_token: tells whether trainers are given a token for the hub; it may have no access.
    """

    check: Callable[[Wanted], None]
    heeds: Callable[[int, Wanted], bool]
    check_trackers: Callable[[Sequence[str]], None]
    installed: Callable[[str], bool]
    queue: Queue
    allow_hub: bool
    has_hub_token: Callable[[], bool]


class Checks:
    """Looks at runs before they are made."""

    def __init__(
        self,
        datasets: Datasets,
        hardware: Hardware,
        estimating: Estimating,
        labels: Labels,
        here: Here,
    ) -> None:
        self._datasets = datasets
        self._hardware = hardware
        self._estimating = estimating
        self._labels = labels
        self._here = here

    async def look(self, parent: str, wanted: run_pb2.Run, shown: int) -> Found:
        """Return what a run would be, and everything that speaks against it.

        Args:
            shown: examples whose labels are shown.

        Raises:
            InvalidArgument: shown is out of range.
            Unavailable: what has to be asked does not answer.
        """
        if not 0 <= shown <= MOST_SHOWN:
            raise InvalidArgument(f"preview_examples is {shown}. Use 0 to {MOST_SHOWN}.", field="preview_examples")
        problems = Problems()
        asked = self._asked(wanted, problems)
        given = MessageToDict(wanted.config, preserving_proto_field_name=True)
        dataset, version = await self._dataset(parent, wanted, given, problems)
        model = await self._model(wanted, problems)
        gpus = await self._gpus(asked, problems)
        _look_at_access(model, self._here, problems)
        settings = without_faults(given, lambda some: self._complete(some, model, asked, gpus), problems)
        with problems.collect("config.report_to"):
            self._here.check_trackers(settings.get("report_to", []))
        if version.version:
            with problems.collect():
                require_held_out(dataset.name, version, settings)
        fields = _fields(parent, wanted, dataset, version, model, asked, settings, problems)
        judge_priority(fields["priority"], asked, self._here.heeds, problems)
        found = Found(fields, problems, whole=bool(model.name and version.version))
        found.disk_free = gpus.disk_free
        if found.whole:
            of_labels = Problems()  # what is wrong with them comes after what they are counted for
            found.labels = await self._look_at_labels(of_labels, version, model, settings, shown)
            expected = await self._expected(wanted, settings, asked, version, found.labels, problems)
            problems.found += of_labels.found
            if expected:
                found.fields["estimate"] = expected.estimate
                expected.judge(settings["max_steps"], gpus.disk_free, problems)
        found.jobs_before = await self._here.queue() if gpus.most is not None else 0
        return found

    def _complete(self, given: dict[str, Any], model: model_pb2.Model, asked: Wanted, gpus: Gpus) -> dict[str, Any]:
        return complete(
            given,
            context_length=model.context_length,
            bf16_available=asked.gpus != 0 and gpus.bf16,
            gpu=asked.gpus != 0 and gpus.most != 0,
            installed=self._here.installed,
        )

    def _asked(self, wanted: run_pb2.Run, problems: Problems) -> Wanted:
        with problems.collect():
            asked = checked(MessageToDict(wanted.resources, preserving_proto_field_name=True))
            self._here.check(asked)
            return asked
        return Wanted()

    async def _dataset(
        self, parent: str, wanted: run_pb2.Run, given: dict[str, Any], problems: Problems
    ) -> tuple[dataset_pb2.Dataset, dataset_pb2.DatasetVersion]:
        with problems.collect("run.dataset"):
            ids.parse_name(wanted.dataset, DATASET, "run.dataset")
            if not wanted.dataset.startswith(parent + "/"):
                raise InvalidArgument(
                    f"{wanted.dataset} is not of {parent}. Use one of its datasets.", field="run.dataset"
                )
            dataset = await self._datasets.get(wanted.dataset)
            asked, given["objective"] = dict(given), SFT
            given["objective"] = objective_for(asked, kind_of(dataset), dataset.name)
            return dataset, find_version(dataset, wanted.dataset_version, wanted.only_approved)
        return dataset_pb2.Dataset(), dataset_pb2.DatasetVersion()

    async def _model(self, wanted: run_pb2.Run, problems: Problems) -> model_pb2.Model:
        with problems.collect("run.model"):
            ids.parse_name(wanted.model, "models/*", "run.model")
            model = await self._hardware.model(wanted.model)
            with problems.collect("run.model"):
                if not model.has_chat_template:
                    raise NotReady(
                        f"{wanted.model} has no chat template. Use an instruct model.", reason="NO_CHAT_TEMPLATE"
                    )
            return model
        return model_pb2.Model()

    async def _gpus(self, asked: Wanted, problems: Problems) -> Gpus:
        gpus = await self._hardware.gpus(asked.gpu_product)
        with problems.collect():
            check_gpus(asked.gpus, gpus.most)
        return gpus

    async def _expected(
        self,
        wanted: run_pb2.Run,
        settings: dict[str, Any],
        asked: Wanted,
        version: dataset_pb2.DatasetVersion,
        labels: check_pb2.LabelPreview | None,
        problems: Problems,
    ) -> Expected | None:
        config, resources, price = config_to_proto(settings), resources_to_proto(asdict(asked)), wanted.price_per_hour
        with problems.collect("config"):
            return await self._estimating.expect(wanted.model, config, resources, version, price, labels)
        return None

    async def _look_at_labels(
        self,
        problems: Problems,
        version: dataset_pb2.DatasetVersion,
        model: model_pb2.Model,
        settings: dict[str, Any],
        shown: int,
    ) -> check_pb2.LabelPreview | None:
        labels = None
        if not model.has_chat_template:
            return labels
        with problems.collect("run.dataset"):
            if not model.chat.key:
                raise unchecked(f"{model.name} was recorded before its chat template was kept; record it again")
            labels = await self._labels.look(version.artifact, model.tokenizer, model.chat, settings, shown)
            judge_labels({name: getattr(labels, name) for name in _COUNTS}, settings, problems)
        return labels


_COUNTS = (
    "checked_examples",
    "empty_examples",
    "truncated_examples",
    "tokens",
    "supervised_tokens",
    "eval_examples",
    "recall_examples",
)


def _look_at_access(model: model_pb2.Model, here: Here, problems: Problems) -> None:
    """Add what may keep a trainer from a model of a hub; it may have the files already, so nothing is forbidden."""
    if model.hub_id and not here.allow_hub:
        problems.warn(
            NotReady(
                f"{model.hub_id} is on a hub, and reaching hubs is switched off. The trainer needs its files in the "
                "hub's cache: start with --allow-hub (hub.allow of the chart), or use a local folder.",
                reason="HUB_DISABLED",
                field="run.model",
            )
        )
    elif model.gated and not here.has_hub_token():
        problems.warn(
            NotReady(
                f"{model.hub_id} is gated, and trainers have no token. Give one: FTF_HUB_TOKEN_FILE or HF_TOKEN of "
                "`ftf up`, hub.existingSecret of the chart.",
                reason="MODEL_GATED",
                field="run.model",
            )
        )


def _fields(
    parent: str,
    wanted: run_pb2.Run,
    dataset: dataset_pb2.Dataset,
    version: dataset_pb2.DatasetVersion,
    model: model_pb2.Model,
    asked: Wanted,
    settings: dict[str, Any],
    problems: Problems,
) -> Document:
    priority = 0
    with problems.collect():
        priority = check_priority(wanted.priority)
    named: Document = {"display_name": "", "labels": {}, "annotations": {}}
    with problems.collect():
        named = user_fields(wanted.display_name, wanted.meta, "run")
    return {
        **named,
        "parent": parent,
        "dataset": wanted.dataset,
        "dataset_version": version.version or wanted.dataset_version,
        "only_approved": wanted.only_approved,
        "dataset_sha256": version.artifact.sha256,
        "dataset_key": version.artifact.key,
        "dataset_counts": [MessageToDict(count, preserving_proto_field_name=True) for count in dataset.counts],
        "model": wanted.model,
        "model_revision": model.revision,
        **base_fields(model),
        "config": settings,
        "resources": asdict(asked),
        "priority": priority,
        "price_per_hour": wanted.price_per_hour,
        "estimate": None,
    }
