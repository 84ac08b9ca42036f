"""Whether a user's prompt template can work: its placeholders, its reply's schema, its mapping."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema

from services.dataset.core.prompts import ALWAYS, EVIDENCE, PER_CALL, PER_DATASET, PLACEHOLDER, Fields, sections
from services.dataset.core.schemas import refused

MAX_TEXT = 64 * 1024
MAX_SCHEMA = 32 * 1024
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_KNOWN = (*ALWAYS, *PER_CALL, *PER_DATASET)
_MAPPED = ("prompt", "response", "evidence", "reasoning", "turns")


class BadTemplate(Exception):
    """What is wrong with a template, and how to correct it; field: the field of PromptTemplate at fault."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def check(text: str, reply_schema: str, fields: Fields, grounding: str) -> dict[str, Any]:
    """Return the schema of the reply, read, if the template can work.

    Raises:
        BadTemplate: it cannot; the message names the section, the placeholder or the field at fault.
    """
    _text(text)
    schema = _schema(reply_schema)
    _mapping(schema["properties"], schema.get("required", []), fields, grounding)
    return schema


def _text(text: str) -> None:
    if len(text) > MAX_TEXT:
        raise BadTemplate("text", f"The text is longer than {MAX_TEXT} characters. Shorten it.")
    try:
        system, shots, user = sections("text", text)
    except ValueError as error:
        raise BadTemplate(
            "text", f'The text: {error}. Begin each section with a line "## system" and so on.'
        ) from error
    unknown = sorted(set(PLACEHOLDER.findall(user)) - set(_KNOWN))
    if unknown:
        known = ", ".join(_KNOWN)
        raise BadTemplate("text", f"The last user section names {{{unknown[0]}}}, which is none of {known}. Rename it.")
    if not {"passage", "chunk"} & set(PLACEHOLDER.findall(user)):
        raise BadTemplate("text", "The last user section names neither {passage} nor {chunk}. Add one of them.")
    for section in (system, *(said for shot in shots for said in shot)):
        misplaced = sorted(set(PLACEHOLDER.findall(section)) & {*ALWAYS, *PER_CALL})
        if misplaced:
            raise BadTemplate(
                "text", f"{{{misplaced[0]}}} differs from call to call. Move it to the last user section."
            )


def _schema(text: str) -> dict[str, Any]:
    if len(text) > MAX_SCHEMA:
        raise BadTemplate("reply_schema", f"The schema is longer than {MAX_SCHEMA} characters. Shorten it.")
    try:
        schema = json.loads(text)
        jsonschema.Draft202012Validator.check_schema(schema)
    except (ValueError, RecursionError) as error:
        raise BadTemplate("reply_schema", f"The schema is no JSON ({str(error)[:150]}). Correct it.") from error
    except jsonschema.SchemaError as error:
        raise BadTemplate(
            "reply_schema", f"The schema is none of JSON Schema draft 2020-12: {error.message[:200]}. Correct it."
        ) from error
    if not isinstance(schema, dict) or schema.get("type") != "object" or not isinstance(schema.get("properties"), dict):
        raise BadTemplate("reply_schema", 'The schema must be that of an object: "type": "object" with "properties".')
    if keyword := refused(schema):
        raise BadTemplate("reply_schema", f'The schema has "{keyword}". Write references out, and leave patterns out.')
    for name, rules in schema["properties"].items():
        if not _NAME.fullmatch(name) or not isinstance(rules, dict):
            raise BadTemplate(
                "reply_schema", f'Property "{name[:64]}": use a name of a-z, 0-9 and "_", and an object of rules.'
            )
    return schema


def _mapping(properties: dict[str, Any], required: list[str], fields: Fields, grounding: str) -> None:
    for role in _MAPPED:
        name = getattr(fields, role)
        if name and name not in properties:
            raise BadTemplate(
                f"mapping.{role}",
                f'mapping.{role} is "{name[:64]}", which the schema lacks. Name one of its properties.',
            )
        if name and name not in required:
            raise BadTemplate(f"mapping.{role}", f'"{name}" is mapped but not "required" by the schema. Add it there.')
    if fields.turns:
        _turns(properties[fields.turns], fields)
    elif not fields.response:
        raise BadTemplate("mapping.response", "mapping.response is empty. Name the property that is the response.")
    elif bool(fields.prompt) == bool(fields.prompt_text):
        raise BadTemplate("mapping.prompt", "Give one of mapping.prompt and mapping.prompt_text.")
    unknown = sorted(set(PLACEHOLDER.findall(fields.prompt_text)) - set(_KNOWN))
    if unknown:
        raise BadTemplate(
            "mapping.prompt_text",
            f"prompt_text names {{{unknown[0]}}}, which is none of {', '.join(_KNOWN)}. Rename it.",
        )
    if grounding == EVIDENCE and not fields.evidence:
        raise BadTemplate("mapping.evidence", "grounding is EVIDENCE, and mapping.evidence is empty. Name the quote.")
    if fields.evidence and properties[fields.evidence].get("type") != "string":
        raise BadTemplate("mapping.evidence", f'"{fields.evidence}" is the quote, so it must be of type string.')


def _turns(rules: dict[str, Any], fields: Fields) -> None:
    if fields.prompt or fields.prompt_text or fields.response:
        raise BadTemplate("mapping.turns", "mapping.turns stands in place of prompt and response. Leave those out.")
    items = rules.get("items", {})
    inner = items.get("properties", {}) if isinstance(items, dict) else {}
    if rules.get("type") != "array" or not {"user", "assistant"} <= set(inner):
        raise BadTemplate(
            "mapping.turns", f'"{fields.turns}" must be an array of objects with the properties user and assistant.'
        )
