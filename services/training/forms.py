"""A run's settings and resources, as documents and as messages."""

from __future__ import annotations

from typing import Any

from google.protobuf.json_format import ParseDict

from finetuneflow.training.v1 import config_pb2, resources_pb2
from services.common.documents.port import Document
from services.common.jobs.port import Resources as Wanted


def config_to_proto(settings: dict[str, Any]) -> config_pb2.TrainingConfig:
    """Return settings as a message."""
    return ParseDict(settings, config_pb2.TrainingConfig())


def resources_of(doc: Document) -> Wanted:
    """Return what a run asks for; a run from before there was anything to ask has the defaults."""
    return Wanted(**doc.get("resources", {}))


def resources_to_proto(asked: dict[str, Any]) -> resources_pb2.Resources:
    """Return what a run asks for as a message."""
    return resources_pb2.Resources(**asked)
