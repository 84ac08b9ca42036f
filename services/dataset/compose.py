"""Puts the dataset service together."""

from __future__ import annotations

import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

from finetuneflow.common.v1 import event_pb2
from finetuneflow.dataset.v1 import dataset_service_pb2_grpc
from services.common.bus import Bus
from services.common.confined.limits import Limits
from services.common.objects.unfinished import Unfinished
from services.common.outbox import Outbox
from services.common.ranks import RankFiles
from services.common.resources import INDEXES, Resources
from services.common.runtime import Runtime, Service
from services.common.workloop import WorkLoop
from services.dataset.accounts import Accounts
from services.dataset.allowlist import AllowList
from services.dataset.api import DatasetApi
from services.dataset.documenttext import DocumentTexts
from services.dataset.endpoints import Endpoints
from services.dataset.estimating import Estimator
from services.dataset.exporting import Exporter
from services.dataset.forgetting import Forgetting
from services.dataset.freezing import Freezer
from services.dataset.generation import Generator
from services.dataset.importing import Imports
from services.dataset.importingwork import Handler, Importer, by_origin
from services.dataset.keys import Keys
from services.dataset.llm import PATIENCE_SECONDS
from services.dataset.measures import Measures
from services.dataset.peers import GrpcDocuments
from services.dataset.preview import Preview
from services.dataset.prompttemplates import TEMPLATE_INDEXES, PromptTemplates
from services.dataset.reporting import Reporting
from services.dataset.rescoring import Rescoring
from services.dataset.reviewing import Reviewing
from services.dataset.service import Datasets
from services.dataset.sharing import Shares
from services.dataset.store import CALL_INDEXES, EXAMPLE_INDEXES, Calls, Examples
from services.dataset.templates import CURRENT
from services.dataset.tokenizing import Tokenizing
from services.dataset.versions import Versions

PARALLEL = 4
"""Datasets generated side by side; the calls of one endpoint share its limit all the same."""


def compose(runtime: Runtime) -> Service:
    """Return the dataset service on what it is given."""
    documents, objects, bus, clock = runtime.documents, runtime.objects, runtime.bus, runtime.clock
    datasets = Resources(documents.collection("datasets", INDEXES), "dataset", clock)
    llms = Resources(documents.collection("endpoints", INDEXES), "LLM endpoint", clock)
    calls = Calls(documents.collection("calls", CALL_INDEXES))
    examples = Examples(Resources(documents.collection("examples", EXAMPLE_INDEXES), "example", clock))
    measures = Measures(documents.collection("preview_usages"))
    endpoints = _endpoints(runtime, llms, measures)
    ingest = GrpcDocuments(runtime.peers)
    accounts = Accounts(ingest, examples, objects)
    scratch = _scratch(runtime)
    freezer = Freezer(datasets, examples, objects, accounts, scratch)
    templates = PromptTemplates(
        Resources(documents.collection("prompt_templates", (*INDEXES, *TEMPLATE_INDEXES)), "prompt template", clock)
    )
    service = Datasets(datasets, calls, examples, endpoints, ingest, objects, freezer, templates)
    estimator = Estimator(ingest, endpoints, datasets, measures)
    patience = float(runtime.config.settings.get("llm_patience_seconds", PATIENCE_SECONDS))
    generator = Generator(ingest, endpoints, calls, examples, freezer, estimator, patience)
    importer = Importer(datasets, examples, objects, freezer, scratch, Limits())
    unfinished = Unfinished(objects, "dataset", clock)
    imports = Imports(datasets, examples, ingest, objects, unfinished, runtime.config.max_upload_bytes)
    exporter = Exporter(objects, scratch)
    texts = DocumentTexts(datasets, ingest, examples, freezer)
    loop = _loop(runtime, datasets, by_origin(generator, importer, texts))
    reviewing, preview = Reviewing(datasets, examples, Rescoring(ingest)), Preview(ingest, endpoints, measures)
    afterwards = _afterwards(runtime, service, accounts, freezer)
    api = DatasetApi(
        service, endpoints, reviewing, preview, objects, accounts, *afterwards, imports, exporter, templates, estimator
    )
    tasks = [loop.run, imports.keep_sweeping, Outbox(datasets, bus, service.purge).run, Outbox(llms, bus).run]
    return Service(
        name="dataset",
        register=lambda server: dataset_service_pb2_grpc.add_DatasetServiceServicer_to_server(api, server),
        full_names=["finetuneflow.dataset.v1.DatasetService"],
        tasks=[*tasks, _follower(bus, service, unfinished)],
        capabilities=[task.replace("TASK_TYPE_", "task:") for task in CURRENT] + ["task:TEMPLATE", "task:TEXT"],
        close=endpoints.close,
        dependencies=endpoints.dependencies,
    )


def _follower(bus: Bus, service: Datasets, unfinished: Unfinished) -> Callable[[], Awaitable[None]]:
    """Return the task that deletes the datasets of deleted projects, and what came of their unfinished imports."""

    async def project_deleted(data: bytes) -> None:
        project = event_pb2.Event.FromString(data).resource
        await service.delete_project(project)
        await unfinished.forget(project.rpartition("/")[2])

    return lambda: bus.consume("dataset-project-deleted", ["ftf.events.project.deleted"], project_deleted)


def _afterwards(
    runtime: Runtime, service: Datasets, accounts: Accounts, freezer: Freezer
) -> tuple[Versions, Forgetting, Reporting]:
    """Return what works on datasets that are there."""
    objects = runtime.objects
    ranks = RankFiles(os.environ.get("TIKTOKEN_CACHE_DIR", ""), runtime.config.state / "dataset" / "tiktoken")
    versions = Versions(service, objects)
    forgetting = Forgetting(service, service.examples.resources, versions, freezer, objects)
    return versions, forgetting, Reporting(service, accounts, Tokenizing(runtime.peers, objects, ranks))


def _endpoints(runtime: Runtime, llms: Resources, measures: Measures) -> Endpoints:
    config = runtime.config
    # Where documents are not this machine's alone, there may be other replicas, whose state folders go with their pods.
    keys = Keys(runtime.secrets, config.llm_keys_dir, kept=config.documents.startswith("sqlite:"))
    shares = Shares(runtime.documents.collection("llm_shares"), config.instance, runtime.clock, config.lease_seconds)
    return Endpoints(llms, keys, AllowList(config.llm_allow), shares, measures)


def _scratch(runtime: Runtime) -> Path:
    """Return an empty folder for what is put aside; what an earlier process left there died with it."""
    folder = runtime.config.state / "dataset" / "scratch"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    return folder


def _loop(runtime: Runtime, datasets: Resources, handler: Handler) -> WorkLoop:
    config = runtime.config
    return WorkLoop(
        datasets,
        handler,
        instance=config.instance,
        done_event="dataset.ready",
        parallel=PARALLEL,
        lease_seconds=config.lease_seconds,
        sweep_seconds=config.sweep_seconds,
    )
