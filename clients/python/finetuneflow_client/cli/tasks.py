"""What flags say of a task: its prompt template, its kinds of question, the schema of what it extracts."""

from __future__ import annotations

from pathlib import Path

from finetuneflow.dataset.v1 import example_pb2
from finetuneflow_client import names
from finetuneflow_client.errors import FtfError


def template_name(value: str) -> str:
    """Return the resource name of "my-task", "my-task/2" or a resource name.

    Raises:
        FtfError: INVALID_ARGUMENT if it can be none.
    """
    if value.startswith("promptTemplates/"):
        return value
    name, _, version = value.partition("/")
    full = names.full("promptTemplates", name)
    return f"{full}/versions/{version}" if version else full


def question_types(words: str) -> list[example_pb2.QuestionType.ValueType]:
    """Return the kinds of question of "why,how".

    Raises:
        FtfError: INVALID_ARGUMENT if one is unknown.
    """
    known = {name.removeprefix("QUESTION_TYPE_").lower(): value for name, value in example_pb2.QuestionType.items()}
    del known["unspecified"]
    found = [word.strip().lower() for word in words.split(",") if word.strip()]
    for word in found:
        if word not in known:
            raise FtfError(f'"{word}" is no kind of question', f"use {', '.join(known)}", code="INVALID_ARGUMENT")
    return [known[word] for word in found]


def read_text(path: str) -> str:
    """Return the text of a file.

    Raises:
        FtfError: INVALID_ARGUMENT if it cannot be read.
    """
    try:
        return Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8 text"
        raise FtfError(f"cannot read {path}: {why}", "check the path", code="INVALID_ARGUMENT") from None
