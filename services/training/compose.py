"""Puts the training service together."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import grpc

from finetuneflow.common.v1 import event_pb2
from finetuneflow.training.v1 import chat_worker_service_pb2_grpc, run_pb2, training_service_pb2_grpc
from services.common.bus import Bus
from services.common.documents.port import Document
from services.common.hubtoken import VARIABLE, hub_token, is_given
from services.common.jobs.port import JobRunner
from services.common.jobs.port import Resources as Wanted
from services.common.jobwork import reports as report_store
from services.common.jobwork.follow import Follower
from services.common.jobwork.host import Host, Kind
from services.common.jobwork.orphans import find_orphans
from services.common.jobwork.packing import INDEXES as PACKING
from services.common.jobwork.packing import PACK_SECONDS, Packing
from services.common.jobwork.reconciler import Reconciler
from services.common.jobwork.reports import ReportStore
from services.common.kube.template import read_template
from services.common.outbox import Outbox
from services.common.resources import INDEXES, Resources
from services.common.runtime import Runtime, Service
from services.common.trackers import require
from services.training.api import ChatWorkerApi, TrainingApi
from services.training.chatclaims import INDEXES as CHAT_INDEXES
from services.training.chatclaims import Claims
from services.training.chatlimits import IN_A_CLUSTER, ON_ONE_MACHINE
from services.training.chatreplicas import SharedChats
from services.training.chats import Chats
from services.training.checking import Checks, Here
from services.training.estimating import Estimating
from services.training.forms import resources_of
from services.training.judging import Judging
from services.training.labels import Labels
from services.training.peers import GrpcDatasets, GrpcHardware, GrpcReplicas
from services.training.service import RUN, Training

_CAPABILITIES = (
    *(f"method:{name}" for name in ("LORA", "QLORA", "FULL")),
    *(f"objective:{name}" for name in ("SFT", "PRETRAIN", "DPO", "KTO")),
)


def _installed(jobs: str) -> Callable[[str], bool]:
    """Return what says whether a package is there beside the trainer's own.

    Jobs of this machine run with what this process has. What an image has its trainer finds out, so nothing is refused.
    """
    return lambda package: jobs != "local" or importlib.util.find_spec(package) is not None


def compose(runtime: Runtime) -> Service:
    """Return the training service on what it is given."""
    clock, objects, jobs, bus = runtime.clock, runtime.objects, runtime.jobs, runtime.bus
    runs = Resources(runtime.documents.collection("runs", (*INDEXES, *PACKING)), "run", clock)
    reports = ReportStore(runtime.documents.collection("reports", report_store.INDEXES), objects)
    datasets, hardware = GrpcDatasets(runtime.peers), GrpcHardware(runtime.peers)
    estimating = Estimating(objects, hardware)
    training = Training(runs, objects, _checks(runtime, datasets, hardware, estimating))
    kind = _kind(training)
    reconciler = Reconciler(
        kind, runs, reports, objects, jobs, runtime.signer, runtime.address, runtime.config.sweep_seconds
    )
    packing = Packing(kind, runs, reports, objects, PACK_SECONDS)
    follower = Follower(kind, runs, reports, objects, jobs, bus)
    chats, judging = _chats(runtime, runs), Judging(runs, objects, datasets)
    shared = _shared(runtime, runs, chats)
    api = TrainingApi(training, follower, reports, objects, lambda: find_orphans(kind, runs, jobs), shared, judging)

    async def shut_down() -> None:
        try:
            await shared.close()
        finally:
            await reconciler.drain()

    return Service(
        name="training",
        register=lambda server: _register(server, api, chats),
        full_names=["finetuneflow.training.v1.TrainingService", "finetuneflow.training.v1.ChatWorkerService"],
        tasks=[
            reconciler.run,
            packing.run,
            Outbox(runs, bus, reconciler.purge).run,
            *_listening(bus, training, runs, estimating),
            shared.run,
        ],
        capabilities=[*_CAPABILITIES, "chat"],
        worker_host=Host(kind, runs, reports, objects, bus, runtime.signer),
        shutdown=shut_down,
    )


def _listening(
    bus: Bus, training: Training, runs: Resources, estimating: Estimating
) -> list[Callable[[], Awaitable[None]]]:
    async def project_deleted(data: bytes) -> None:
        await training.delete_project(event_pb2.Event.FromString(data).resource)

    async def run_finished(data: bytes) -> None:
        run = await runs.collection.get(event_pb2.Event.FromString(data).resource)
        if run is not None:
            await estimating.tell(run)

    return [
        lambda: bus.consume("training-project-deleted", ["ftf.events.project.deleted"], project_deleted),
        lambda: bus.consume("training-run-finished", ["ftf.events.run.finished"], run_finished),
    ]


def _kind(training: Training) -> Kind:
    return Kind(
        name="run",
        pattern=RUN,
        args=("train",),
        ended_event="run.finished",
        ready_event="",
        result=run_pb2.RunResult,
        spec=training.spec,
        keep=lambda doc: int(doc["config"]["save_total_limit"]),
        resources=resources_of,
    )


def _trackers(runtime: Runtime) -> Callable[[Sequence[str]], None]:
    """Return what refuses trackers: on one machine trainers have this program's packages and environment."""

    def check(names: Sequence[str]) -> None:
        if runtime.config.jobs == "local":
            require(names, lambda package: importlib.util.find_spec(package) is not None, os.environ)

    return check


def _has_hub_token(runtime: Runtime) -> Callable[[], bool]:
    """Return what tells whether trainers are given a token for the hub: on one machine, or by the settings of Jobs."""
    config = runtime.config
    if config.jobs == "local":
        token = hub_token(config.hub_token_file, runtime.secrets.get, os.environ)
        return lambda: is_given(token)
    given = config.job_template is not None and VARIABLE in read_template(config.job_template).env_secrets
    return lambda: given


def _chats(runtime: Runtime, runs: Resources) -> Chats:
    local = runtime.config.jobs == "local"
    limits = ON_ONE_MACHINE if local else IN_A_CLUSTER
    wanted = _gpus if local else _one_pod
    return Chats(runs.get, wanted, runtime.objects, runtime.jobs, runtime.signer, runtime.own_address, limits=limits)


def _shared(runtime: Runtime, runs: Resources, chats: Chats) -> SharedChats:
    collection = runtime.documents.collection("chats", CHAT_INDEXES)
    claims = Claims(collection, runtime.own_address, runtime.clock, runtime.config.lease_seconds)
    return SharedChats(chats, claims, runs.get, runtime.jobs, GrpcReplicas(runtime.peers))


def _register(server: grpc.aio.Server, api: TrainingApi, chats: Chats) -> None:
    training_service_pb2_grpc.add_TrainingServiceServicer_to_server(api, server)
    chat_worker_service_pb2_grpc.add_ChatWorkerServiceServicer_to_server(ChatWorkerApi(chats), server)


def _gpus(run: Document) -> Wanted:
    """Return what a run's models get on one machine: no GPU where it asked for none, else all."""
    return Wanted(gpus=0 if resources_of(run).gpus == 0 else None)


def _one_pod(run: Document) -> Wanted:
    """Return what a run's models get in a cluster: what each of its pods got, with one GPU at most."""
    asked = resources_of(run)
    return replace(asked, nodes=1, gpus=asked.gpus and 1)


def _checks(runtime: Runtime, datasets: GrpcDatasets, hardware: GrpcHardware, estimating: Estimating) -> Checks:
    jobs, folder = runtime.jobs, runtime.config.state / "training" / "scratch"
    # What an earlier process left there died with it.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    labels = Labels(runtime.objects, folder)
    config = runtime.config
    here = Here(
        check=jobs.check,
        heeds=jobs.heeds,
        check_trackers=_trackers(runtime),
        installed=_installed(config.jobs),
        queue=lambda: _before(jobs),
        allow_hub=config.allow_hub,
        has_hub_token=_has_hub_token(runtime),
    )
    return Checks(datasets, hardware, estimating, labels, here)


async def _before(jobs: JobRunner) -> int:
    """Return how many Jobs have not ended."""
    return sum(job.state in ("PENDING", "RUNNING") for job in await jobs.list())
