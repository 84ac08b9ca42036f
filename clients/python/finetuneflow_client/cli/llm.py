"""LLM endpoints. The key comes from a file, the environment or the terminal, never from the command line."""

from __future__ import annotations

import os
from pathlib import Path

from finetuneflow.common.v1 import server_service_pb2
from finetuneflow.dataset.v1 import dataset_service_pb2, llm_endpoint_pb2
from finetuneflow_client import making, names
from finetuneflow_client.cli import dependents, wording
from finetuneflow_client.cli.session import Session
from finetuneflow_client.cli.typed import typed
from finetuneflow_client.errors import FtfError


async def create(session: Session) -> None:
    """Record an LLM server, and say whether anybody answers there."""
    args = session.args
    endpoint = llm_endpoint_pb2.LlmEndpoint(
        display_name=args.id,
        base_url=args.url,
        model=args.llm_model,
        max_concurrency=args.max_concurrency,
        timeout_seconds=args.timeout_seconds,
        api_key_secret=args.api_key_secret,
        adaptive=args.adaptive,
        prompt_price=args.prompt_price,
        completion_price=args.reply_price,
    )
    request = dataset_service_pb2.CreateLlmEndpointRequest(llm_endpoint=endpoint, llm_endpoint_id=args.id)
    # A key of the server's own is named instead; one that happens to be in the environment is then not meant.
    if not args.api_key_secret or args.api_key_file or args.ask_key:
        request.api_key = api_key(args.api_key_file, ask=args.ask_key)
    await _tell(session, await session.flow.dataset.CreateLlmEndpoint(request))


async def update(session: Session) -> None:
    """Change an LLM endpoint or its key, and say whether anybody answers there."""
    args = session.args
    given = {
        "base_url": args.url,
        "max_concurrency": args.max_concurrency,
        "adaptive": args.adaptive,
        "timeout_seconds": args.timeout_seconds,
        "prompt_price": args.prompt_price,
        "completion_price": args.reply_price,
        "api_key_secret": "" if args.no_key else args.api_key_secret,
    }
    fields = {name: value for name, value in given.items() if value is not None}
    # A key that happens to be in the environment is not meant where nothing was said of one.
    key = api_key(args.api_key_file, ask=args.ask_key) if args.api_key_file or args.ask_key else ""
    if not fields and not key:
        raise FtfError("nothing to change was given", "see `ftf llm update --help`", code="INVALID_ARGUMENT")
    name = names.full("llmEndpoints", args.id)
    await _tell(session, await making.changed_endpoint(session.flow, name, fields, key))


async def _tell(session: Session, made: llm_endpoint_pb2.LlmEndpoint) -> None:
    """Print an endpoint, and say what its server answers; that it does not is a warning: it may be started later."""
    if session.output.as_json:
        session.output.message(made)
    else:
        session.output.line(made.name)
    try:
        found = await session.flow.server.CheckDependencies(server_service_pb2.CheckDependenciesRequest())
    except FtfError as error:
        session.screen.say(f"whether {made.base_url} answers was not asked: {error.message}; `ftf doctor` asks again")
        return
    for one in found.dependencies:
        if one.what != made.name:
            continue
        if one.state == server_service_pb2.Dependency.STATE_FAILS:
            session.screen.warn(
                f"warning: nothing can be asked at {made.base_url}: {one.message} It is kept. Ask again with "
                f"`ftf doctor`; if the address is wrong: `ftf llm update {names.short(made.name)} --url URL`"
            )
        else:
            session.screen.say(f"{made.base_url}: {one.message}")


async def list_endpoints(session: Session) -> None:
    """List the LLM endpoints."""
    found = [endpoint async for endpoint in session.flow.llm_endpoints()]
    rows = [
        (
            names.short(e.name),
            e.base_url,
            e.model,
            e.api_key_secret or ("yes" if e.has_api_key else "no"),
            llm_endpoint_pb2.JsonMode.Name(e.json_mode).removeprefix("JSON_MODE_").lower().replace("unspecified", ""),
            str(e.max_concurrency),
            wording.age(e.meta.create_time),
        )
        for e in found
    ]
    session.output.listing("llm_endpoints", found, ("LLM", "URL", "MODEL", "KEY", "JSON", "CALLS AT ONCE", "AGE"), rows)


async def delete(session: Session) -> None:
    """Remove an LLM endpoint and its key, once that is confirmed where datasets depend on it."""
    name = names.full("llmEndpoints", session.args.id)
    await dependents.confirm(session, dependents.of_llm, name, f"ftf llm delete {names.short(name)}")
    await session.flow.dataset.DeleteLlmEndpoint(dataset_service_pb2.DeleteLlmEndpointRequest(name=name))
    session.deleted(name)


def api_key(key_file: str, *, ask: bool = False) -> str:
    """Return the key: typed, from a file, or from $FTF_LLM_API_KEY; empty if there is none.

    Raises:
        FtfError: INVALID_ARGUMENT if the file cannot be read or is empty.
    """
    if ask:
        return typed("API key")
    if not key_file:
        return os.environ.get("FTF_LLM_API_KEY", "").strip()
    try:
        key = Path(key_file).expanduser().read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not text"
        raise FtfError(f"cannot read the key in {key_file}: {why}", "check the path", code="INVALID_ARGUMENT") from None
    if not key:
        raise FtfError(f"the key file {key_file} is empty", "write the key into it", code="INVALID_ARGUMENT")
    return key
