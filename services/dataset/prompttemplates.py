"""Prompt templates of users as resources: one document for each version, which never changes."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from finetuneflow.dataset.v1 import dataset_pb2, prompt_template_pb2
from services.common import ids
from services.common.documents.port import Document
from services.common.errors import AlreadyExists, Conflict, InvalidArgument, NotFound, NotReady
from services.common.pages import checked_size
from services.common.protoform import user_fields
from services.common.resources import Resources
from services.dataset.core.prompts import ANSWER, EVIDENCE, PASSAGE, Fields
from services.dataset.core.templatecheck import BadTemplate, check
from services.dataset.tasksettings import own_template
from services.dataset.templates import BUILT_IN, document

TEMPLATE = "promptTemplates/*"
VERSION = "promptTemplates/*/versions/*"
_TRIES = 20
_BUILT_IN_FROM = "built-in-"
"""Begins the token of a page that begins with a template of the service's own; no other token has a hyphen there."""
TEMPLATE_INDEXES = ("template,order",)


class PromptTemplates:
    """The one place where prompt templates are made and deleted. Tombstones stay, so that no number is used twice."""

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    async def create(
        self, wanted: prompt_template_pb2.PromptTemplate, template_id: str, request_id: str, creator: str
    ) -> Document:
        """Make the next version of a template; the newest is returned if it is the same.

        Raises:
            InvalidArgument: it cannot work (TEMPLATE_INVALID), or the id is none.
            NotReady: a template of that name comes with the service (TEMPLATE_BUILT_IN).
        """
        chosen = ids.check_id(template_id, "prompt_template_id")
        _not_built_in(chosen)
        body = wanted.SerializeToString(deterministic=True)
        fields = {
            **user_fields(wanted.display_name, wanted.meta, "prompt_template"),
            **_content(wanted),
            "template": chosen,
        }
        fields["content_sha256"] = hashlib.sha256(json.dumps(_content(wanted), sort_keys=True).encode()).hexdigest()
        if request_id:
            repeated = await self.resources.collection.find({"template": chosen, "request.id": request_id}, limit=1)
            if repeated:
                return await self.resources.create(repeated[0]["_id"], {}, request_id=request_id, body=body)
        for _ in range(_TRIES):
            number = await self.resources.collection.count({"template": chosen}) + 1
            newest = await self.resources.collection.get(_name(chosen, number - 1))
            if newest and newest["delete_time"] is None and newest["content_sha256"] == fields["content_sha256"]:
                return newest
            made = {**fields, "version": f"{chosen}/{number}"}
            try:
                return await self.resources.create(
                    _name(chosen, number), made, request_id=request_id, body=body, creator=creator
                )
            except AlreadyExists:
                continue
        raise Conflict(f"promptTemplates/{chosen} changes too often. Repeat the call.")

    async def get(self, name: str) -> Document:
        """Return a version, or the newest one of a template, of the service's own ones too.

        Raises:
            NotFound: there is none.
            InvalidArgument: the name has another form.
        """
        if "/versions/" in name:
            template, number = ids.parse_name(name, VERSION)
            if f"{template}/{number}" in BUILT_IN:
                return built_in(f"{template}/{number}")
            return await self.resources.get(name)
        (template,) = ids.parse_name(name, TEMPLATE)
        own = [version for version in BUILT_IN if version.partition("/")[0] == template]
        if own:
            return built_in(own[-1])
        docs = await self._alive(template)
        if not docs:
            raise NotFound(f"prompt template {name} does not exist. List the prompt templates to see what does.")
        return docs[-1]

    async def page(self, size: int, token: str) -> tuple[list[Document], str]:
        """Return a page of versions, those that come with the service first, and the next page's token.

        Raises:
            InvalidArgument: a bad size or token.
        """
        most, start = checked_size(size), _start(token)
        if start is None:
            return await self.resources.page({}, size, token)
        own = [built_in(version) for version in BUILT_IN[start : start + most]]
        end = start + len(own)
        docs, following = await self.resources.page({}, max(1, most - len(own)), "")
        if len(own) == most:
            return own, f"{_BUILT_IN_FROM}{end}" if end < len(BUILT_IN) or docs else ""
        return own + docs, following

    async def delete(self, name: str) -> None:
        """Delete a version, or all versions of a template.

        Raises:
            NotFound: there is none.
            NotReady: it comes with the service (TEMPLATE_BUILT_IN).
        """
        if "/versions/" in name:
            template, _ = ids.parse_name(name, VERSION)
            _not_built_in(template)
            await self.resources.delete(name)
            return
        (template,) = ids.parse_name(name, TEMPLATE)
        _not_built_in(template)
        docs = await self._alive(template)
        if not docs:
            raise NotFound(f"prompt template {name} does not exist. List the prompt templates to see what does.")
        for doc in docs:
            await self.resources.delete(doc["_id"])

    async def resolve(self, wanted: dataset_pb2.DatasetSpec) -> Document:
        """Return what a dataset keeps of its template: a copy of a user's, so that it outlives it.

        Raises:
            NotFound: there is none of that name.
            InvalidArgument: the name has another form, or the task type needs a template.
        """
        if not wanted.template:
            return {"version": own_template(wanted)}
        try:
            doc = await self.get(wanted.template)
        except InvalidArgument as error:
            raise InvalidArgument(error.message, field="spec.template") from error
        if doc["version"] in BUILT_IN:
            return {"version": doc["version"]}
        kept = ("version", "text", "reply_schema", "fields", "grounding", "scope", "task")
        return {field: doc[field] for field in kept}

    async def _alive(self, template: str) -> list[Document]:
        where = {"template": template, "delete_time": None}
        docs, token = await self.resources.page(where, 1000, "")
        while token:
            more, token = await self.resources.page(where, 1000, token)
            docs += more
        return docs


def _start(token: str) -> int | None:
    """Return at which template that comes with the service a page begins; None for a page of users' templates."""
    place = token.removeprefix(_BUILT_IN_FROM)
    if not token:
        return 0
    return int(place) if place != token and place.isdecimal() and len(place) < 4 else None


def built_in(version: str) -> Document:
    """Return a template that comes with the service as a document."""
    template, _, number = version.partition("/")
    return {**document(version), "_id": _name(template, int(number)), "display_name": ""}


def resource_name(version: str) -> str:
    """Return the resource name of "my-task/2"."""
    template, _, number = version.partition("/")
    return _name(template, int(number))


def _name(template: str, number: int) -> str:
    return f"promptTemplates/{template}/versions/{number}"


def _not_built_in(template: str) -> None:
    if template in {version.partition("/")[0] for version in BUILT_IN}:
        raise NotReady(
            f"promptTemplates/{template} comes with the service and stays as it is. Give yours another name.",
            reason="TEMPLATE_BUILT_IN",
        )


def _content(wanted: prompt_template_pb2.PromptTemplate) -> dict[str, Any]:
    """Return what a template says, checked.

    Raises:
        InvalidArgument: it cannot work (TEMPLATE_INVALID).
    """
    mapping = wanted.mapping
    fields = {field.name: getattr(mapping, field.name) for field in mapping.DESCRIPTOR.fields}
    grounding = _named(prompt_template_pb2.Grounding, wanted.grounding, "grounding")
    scope = _named(prompt_template_pb2.TemplateScope, wanted.scope, "scope")
    if grounding == "UNSPECIFIED":
        grounding = EVIDENCE if mapping.evidence else ANSWER
    try:
        check(wanted.text, wanted.reply_schema, Fields(**fields), grounding)
    except BadTemplate as error:
        raise InvalidArgument(str(error), reason="TEMPLATE_INVALID", field=f"prompt_template.{error.field}") from error
    return {
        "text": wanted.text,
        "reply_schema": wanted.reply_schema,
        "fields": fields,
        "grounding": grounding,
        "scope": PASSAGE if scope == "UNSPECIFIED" else scope,
        "task": "TEMPLATE",
    }


def _named(kinds: Any, value: int, field: str) -> str:
    """Return the name of an enum's value, without its prefix."""
    known = dict(zip(kinds.values(), kinds.keys(), strict=True))
    if value not in known:
        raise InvalidArgument(
            f"{field} is {value}; use one of {', '.join(known.values())}.", field=f"prompt_template.{field}"
        )
    prefix = known[0].removesuffix("UNSPECIFIED")
    return str(known[value]).removeprefix(prefix)
