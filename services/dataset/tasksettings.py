"""The settings of a dataset that its task type and its prompt template ask for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import jsonschema

from finetuneflow.dataset.v1 import dataset_pb2, example_pb2
from services.common.errors import InvalidArgument
from services.dataset.core.aim import LANGUAGES
from services.dataset.core.prompts import Template
from services.dataset.core.schemas import refused
from services.dataset.templates import CURRENT, QUESTION_TYPES

MAX_PERSONAS = 20
MAX_PERSONA = 300
LABELS = (2, 50)
MAX_LABEL = 80
MAX_REFUSAL = 500
MAX_SCHEMA = 8192
_UNSET = dataset_pb2.TASK_TYPE_UNSPECIFIED


def own_template(wanted: dataset_pb2.DatasetSpec) -> str:
    """Return the version of the template that comes with the service for a dataset that names none.

    Raises:
        InvalidArgument: the task type is that of user's templates.
    """
    task = wanted.task_type or dataset_pb2.TASK_TYPE_QUESTION_ANSWER
    if task == dataset_pb2.TASK_TYPE_QUESTION_ANSWER and wanted.question_types:
        return QUESTION_TYPES
    names = dict(zip(dataset_pb2.TaskType.values(), dataset_pb2.TaskType.keys(), strict=True))
    version = CURRENT.get(names.get(task, ""))
    if not version:
        raise _bad("task_type", "is TEMPLATE or unknown. Name the prompt template as template")
    return version


def task_settings(wanted: dataset_pb2.DatasetSpec, chosen: Template) -> dict[str, Any]:
    """Return the settings of a dataset's task, checked against its template.

    Raises:
        InvalidArgument: one is out of range, is missing, or has no meaning for the template.
    """
    task = dataset_pb2.TaskType.Value("TASK_TYPE_" + chosen.task)
    if wanted.task_type not in (_UNSET, task):
        raise _bad("task_type", f"is not that of the template {chosen.version}, {chosen.task}. Leave one of them out")
    return {
        "task_type": dataset_pb2.TaskType.Name(task),
        "question_types": _question_types(wanted.question_types, chosen),
        "personas": _texts("personas", wanted.personas, (0, MAX_PERSONAS), MAX_PERSONA),
        "language": _language(wanted.language),
        "labels": _labels(wanted.labels, chosen),
        "extraction_schema": _schema(wanted.extraction_schema, chosen),
        "include_reasoning": wanted.include_reasoning,
        "refusal_response": _short("refusal_response", wanted.refusal_response.strip(), MAX_REFUSAL),
    }


def _names(chosen: Template, placeholder: str) -> bool:
    return f"{{{placeholder}}}" in chosen.system + chosen.user + chosen.fields.prompt_text


def _question_types(values: Sequence[int], chosen: Template) -> list[str]:
    if values and not (_names(chosen, "question_type") or _names(chosen, "asks_for")):
        raise _bad("question_types", f"have no meaning for the template {chosen.version}. Leave them out")
    if len(set(values)) < len(values) or 0 in values or not set(values) <= set(example_pb2.QuestionType.values()):
        raise _bad("question_types", "has one twice, or an unknown one. Use FACT, WHY, HOW, COMPARE, UNANSWERABLE")
    if not values and chosen.version == QUESTION_TYPES:
        raise _bad("question_types", f"is empty, and the template {chosen.version} needs some. Name them")
    names: dict[int, str] = {value: name for name, value in example_pb2.QuestionType.items()}
    return [names[value] for value in values]


def _language(code: str) -> str:
    if code and code not in LANGUAGES:
        raise _bad("language", f'is "{code[:40]}". Use one of {", ".join(LANGUAGES)}')
    return code


_FLAGS = {"labels": "--labels", "personas": "--persona"}


def _labels(values: Sequence[str], chosen: Template) -> list[str]:
    if _names(chosen, "labels"):
        found = _texts("labels", values, LABELS, MAX_LABEL)
        if len({label.casefold() for label in found}) < len(found):
            raise _bad("labels", "has two that differ in case alone. Leave one out")
        return found
    if values:
        raise _bad("labels", f"has no meaning for the template {chosen.version}. Leave it out")
    return []


def _texts(field: str, values: Sequence[str], count: tuple[int, int], longest: int) -> list[str]:
    found = [" ".join(value.split()) for value in values]
    if not count[0] <= len(found) <= count[1] or len(set(found)) < len(found):
        some = f"up to {count[1]}" if not count[0] else f"{count[0]} to {count[1]}"
        raise _bad(field, f"has {len(found)}. Give {some} different ones: {_FLAGS[field]} of `ftf`")
    for text in found:
        if not text:
            raise _bad(field, "has an empty one. Leave it out")
        _short(field, text, longest)
    return found


def _short(field: str, text: str, longest: int) -> str:
    if len(text) > longest:
        raise _bad(field, f"is longer than {longest} characters. Shorten it")
    return text


def _schema(text: str, chosen: Template) -> str:
    if not _names(chosen, "fields"):
        if text:
            raise _bad("extraction_schema", f"has no meaning for the template {chosen.version}. Leave it out")
        return ""
    if not text:
        raise _bad("extraction_schema", f"is empty, and the template {chosen.version} needs one. Say what to extract")
    _short("extraction_schema", text, MAX_SCHEMA)
    try:
        schema = json.loads(text)
        jsonschema.Draft202012Validator.check_schema(schema)
        good = schema.get("type") == "object" and bool(schema.get("properties"))
    except (ValueError, RecursionError, AttributeError, jsonschema.SchemaError) as error:
        raise _bad(
            "extraction_schema", f"is no JSON schema ({str(error).splitlines()[0][:150]}). Correct it"
        ) from error
    if not good:
        raise _bad("extraction_schema", 'must have "type": "object" and "properties". Correct it')
    if keyword := refused(schema):
        raise _bad("extraction_schema", f'has "{keyword}", which is not looked at. Leave it out')
    return json.dumps(schema, ensure_ascii=False)


def _bad(field: str, what: str) -> InvalidArgument:
    return InvalidArgument(f"{field} {what}.", field=f"spec.{field}")
