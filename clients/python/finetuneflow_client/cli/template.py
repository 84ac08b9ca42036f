"""Prompt templates: what an LLM is asked, and how its reply becomes an example."""

from __future__ import annotations

import json

from finetuneflow.dataset.v1 import dataset_service_pb2, prompt_template_pb2
from finetuneflow_client import names
from finetuneflow_client.cli import wording
from finetuneflow_client.cli.session import Session
from finetuneflow_client.cli.tasks import read_text, template_name
from finetuneflow_client.errors import FtfError


async def create(session: Session) -> None:
    """Make a template, or its next version."""
    args = session.args
    template = prompt_template_pb2.PromptTemplate(
        display_name=args.id,
        text=read_text(args.text),
        reply_schema=read_text(args.schema),
        mapping=_mapping(args.map, args.prompt_text),
    )
    if args.grounding:
        template.grounding = prompt_template_pb2.Grounding.Value("GROUNDING_" + args.grounding.upper())
    if args.scope:
        template.scope = prompt_template_pb2.TemplateScope.Value("TEMPLATE_SCOPE_" + args.scope.upper())
    request = dataset_service_pb2.CreatePromptTemplateRequest(prompt_template=template, prompt_template_id=args.id)
    made = await session.flow.dataset.CreatePromptTemplate(request)
    if session.output.as_json:
        session.output.message(made)
    else:
        session.output.line(made.name)


async def list_templates(session: Session) -> None:
    """List the templates, those that come with the service first."""
    found = [template async for template in session.flow.prompt_templates()]
    rows = [
        (
            names.short(names.parent(t.name)),
            str(t.version),
            _last_word(prompt_template_pb2.TemplateScope.Name(t.scope)),
            _last_word(prompt_template_pb2.Grounding.Name(t.grounding)),
            "built in" if t.built_in else wording.age(t.meta.create_time),
        )
        for t in found
    ]
    session.output.listing("prompt_templates", found, ("TEMPLATE", "VERSION", "SCOPE", "GROUNDING", "AGE"), rows)


async def show(session: Session) -> None:
    """Show a template: its text, the reply's schema, the mapping."""
    request = dataset_service_pb2.GetPromptTemplateRequest(name=template_name(session.args.id))
    found = await session.flow.dataset.GetPromptTemplate(request)
    if session.output.as_json:
        session.output.message(found)
        return
    mapping = {field.name: value for field, value in found.mapping.ListFields()}
    session.output.facts(
        {
            "template": found.name,
            "scope": _last_word(prompt_template_pb2.TemplateScope.Name(found.scope)),
            "grounding": _last_word(prompt_template_pb2.Grounding.Name(found.grounding)),
            "mapping": "\n".join(f"{role}: {value}" for role, value in mapping.items()),
            "schema": json.dumps(json.loads(found.reply_schema), ensure_ascii=False),
        }
    )
    session.output.line()
    session.output.line(found.text.rstrip())


async def delete(session: Session) -> None:
    """Delete a version of a template, or all of it."""
    name = template_name(session.args.id)
    await session.flow.dataset.DeletePromptTemplate(dataset_service_pb2.DeletePromptTemplateRequest(name=name))
    session.deleted(name)


def _mapping(words: str, prompt_text: str) -> prompt_template_pb2.ReplyMapping:
    """Return the mapping of "prompt=question,response=answer"."""
    mapping = prompt_template_pb2.ReplyMapping(prompt_text=prompt_text)
    for pair in (part.strip() for part in words.split(",") if part.strip()):
        role, _, field = (part.strip() for part in pair.partition("="))
        if role not in ("prompt", "response", "evidence", "reasoning", "turns") or not field:
            raise FtfError(
                f'"{pair}" maps nothing',
                "write prompt=FIELD,response=FIELD; also evidence, reasoning, turns",
                code="INVALID_ARGUMENT",
            )
        setattr(mapping, role, field)
    return mapping


def _last_word(name: str) -> str:
    return name.rpartition("_")[2].lower()
