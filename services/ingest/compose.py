"""Puts the ingest service together."""

from __future__ import annotations

import os
import shutil

from finetuneflow.ingest.v1 import ingest_service_pb2_grpc
from services.common.controlgroup import usable_cores
from services.common.objects.unfinished import Unfinished
from services.common.outbox import Outbox
from services.common.ranks import RankFiles
from services.common.resources import INDEXES, Resources
from services.common.runtime import Runtime, Service
from services.common.workloop import WorkLoop
from services.ingest.api import IngestApi
from services.ingest.archives import Archives
from services.ingest.child import Sandbox
from services.ingest.config import ingest_config
from services.ingest.files import Files
from services.ingest.languages import LangidLanguages
from services.ingest.peers import GrpcModels
from services.ingest.previewing import Previews
from services.ingest.projects import Projects
from services.ingest.reading import Means, Reading
from services.ingest.store import CHUNK_INDEXES, FILE_INDEXES, ChunkStore
from services.ingest.sweeping import Sweeper
from services.ingest.uploads import Uploads
from services.ingest.workroom import Workroom

_KINDS = "csv docx epub html json jsonl markdown ods odt pdf pptx rtf tsv txt xlsx"
CAPABILITIES = tuple(f"documents:{kind}" for kind in _KINDS.split())


def compose(runtime: Runtime) -> Service:
    """Return the ingest service on what it is given."""
    config = ingest_config(runtime.config, os.environ, usable_cores())
    # What an earlier process left there belongs to nobody: its children died with it.
    shutil.rmtree(config.scratch, ignore_errors=True)
    config.scratch.mkdir(parents=True, mode=0o700)
    documents, objects = runtime.documents, runtime.objects
    project_docs = Resources(documents.collection("projects", INDEXES), "project", runtime.clock)
    file_docs = Resources(documents.collection("files", FILE_INDEXES), "file", runtime.clock)
    chunks = ChunkStore(documents.collection("chunks", CHUNK_INDEXES))
    ranks = RankFiles(config.given_ranks, config.ranks)
    unfinished = Unfinished(objects, "ingest", runtime.clock)
    projects = Projects(project_docs, file_docs, unfinished)
    files = Files(file_docs, projects, chunks, objects, GrpcModels(runtime.peers), ranks)
    uploads = Uploads(file_docs, projects, objects, unfinished, config.max_upload_bytes)
    room, sandbox = Workroom(objects, ranks, config.scratch), Sandbox(config.environment)
    means = Means(config.limits, config.ocr, config.processes)
    reading = Reading(objects, chunks, sandbox, room, means, LangidLanguages())
    previews = Previews(files, sandbox, room, config.limits)
    archives = Archives(uploads, sandbox, room, config.limits, config.max_upload_bytes)
    loop = WorkLoop(
        file_docs,
        reading.handle,
        instance=runtime.config.instance,
        parallel=config.parallel,
        lease_seconds=runtime.config.lease_seconds,
        sweep_seconds=runtime.config.sweep_seconds,
    )
    api = IngestApi(projects, uploads, archives, files, chunks, previews)
    return Service(
        name="ingest",
        register=lambda server: ingest_service_pb2_grpc.add_IngestServiceServicer_to_server(api, server),
        full_names=["finetuneflow.ingest.v1.IngestService"],
        tasks=[
            Outbox(project_docs, runtime.bus, projects.purge).run,
            Outbox(file_docs, runtime.bus, files.purge).run,
            loop.run,
            Sweeper(file_docs, chunks, objects, unfinished).run,
        ],
        capabilities=CAPABILITIES,
        close=sandbox.close,
    )
