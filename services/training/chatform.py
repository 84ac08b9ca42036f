"""What is asked of a run's models: checked, and as the process that has them takes it."""

from __future__ import annotations

from finetuneflow.training.v1 import chat_pb2, chat_worker_service_pb2
from finetuneflow.training.v1 import training_service_pb2 as pb
from services.common.documents.port import Document
from services.common.errors import InvalidArgument, NotReady
from services.common.jobwork.basemodels import base_of
from services.common.objects.port import Objects
from services.common.protoform import artifact_to_proto
from services.common.weightfiles import loaded_files
from services.training.forms import config_to_proto

MAX_NEW_TOKENS = 4_096
DEFAULT_NEW_TOKENS = 256
MAX_CHARACTERS = 1_000_000
MAX_KEEP_SECONDS = 3_600
MAX_TEMPERATURE = 2.0
_ROLES = ("system", "user", "assistant")


def check(request: pb.GenerateRequest) -> None:
    """Refuse a question that is none.

    Raises:
        InvalidArgument: a conversation or a number is out of its range.
    """
    sides = [conversation.side for conversation in request.conversations]
    if not sides or chat_pb2.SIDE_UNSPECIFIED in sides or len(set(sides)) < len(sides):
        raise InvalidArgument("Name SIDE_BASE, SIDE_TUNED or both, each once.", field="conversations")
    for conversation in request.conversations:
        _check_conversation(conversation)
    sampling = request.sampling
    if not 0 <= sampling.max_new_tokens <= MAX_NEW_TOKENS:
        raise InvalidArgument(
            f"max_new_tokens is {sampling.max_new_tokens}; use 1 to {MAX_NEW_TOKENS}, or 0 for {DEFAULT_NEW_TOKENS}.",
            field="sampling.max_new_tokens",
        )
    if not 0 <= sampling.temperature <= MAX_TEMPERATURE:
        raise InvalidArgument(
            f"temperature is {sampling.temperature}; use 0 to {MAX_TEMPERATURE:g}.", field="sampling.temperature"
        )
    if not 0 <= request.keep_seconds <= MAX_KEEP_SECONDS:
        raise InvalidArgument(
            f"keep_seconds is {request.keep_seconds}; use 0 to {MAX_KEEP_SECONDS}.", field="keep_seconds"
        )


def _check_conversation(conversation: chat_pb2.Conversation) -> None:
    messages = conversation.messages
    if not messages or messages[-1].role != "user":
        raise InvalidArgument("A conversation ends with what the user says. Add it.", field="conversations.messages")
    odd = [m.role for n, m in enumerate(messages) if m.role not in _ROLES or (m.role == "system" and n)]
    if odd:
        raise InvalidArgument(
            f'A message has the role "{odd[0][:50]}". Use user and assistant, and system for the first alone.',
            field="conversations.messages.role",
        )
    if sum(len(message.content) for message in messages) > MAX_CHARACTERS:
        raise InvalidArgument(
            f"A conversation has over {MAX_CHARACTERS:,} characters. Begin a new one.", field="conversations.messages"
        )


def require_models(run: Document) -> None:
    """Refuse a run that has nothing to ask.

    Raises:
        NotReady: RUN_NOT_SUCCEEDED.
    """
    if run["work"]["state"] != "SUCCEEDED" or not run["artifacts"]:
        raise NotReady(
            f"{run['_id']} has not succeeded, so there is no tuned model to ask. Wait for it, or train again.",
            reason="RUN_NOT_SUCCEEDED",
            field="name",
        )


def ask(number: int, request: pb.GenerateRequest) -> chat_worker_service_pb2.Ask:
    """Return a question with its number, defaults filled in."""
    made = chat_worker_service_pb2.Ask(number=number, conversations=request.conversations, sampling=request.sampling)
    made.sampling.max_new_tokens = made.sampling.max_new_tokens or DEFAULT_NEW_TOKENS
    return made


async def chat_spec(run: Document, objects: Objects) -> chat_worker_service_pb2.ChatSpec:
    """Return what the models of a run are made of, with URLs good for an hour."""
    files = loaded_files(run["artifacts"])
    return chat_worker_service_pb2.ChatSpec(
        run=run["_id"],
        model_location=run["model_location"],
        **await base_of(run, objects),
        model_revision=run["model_revision"],
        model=run["model"],
        config=config_to_proto(run["config"]),
        files=[artifact_to_proto(file) for file in files],
        urls=[await objects.grant(file["key"], "read") for file in files],
    )
