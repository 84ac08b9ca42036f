"""What does not exist: the command that lists what does, and a name that is nearly the one that was typed."""

from __future__ import annotations

import difflib
import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from finetuneflow_client import names
from finetuneflow_client.errors import FtfError

if TYPE_CHECKING:
    from finetuneflow_client.client import Services

_MISSING = re.compile(r"(?:[A-Za-z ]+ )?(?P<name>[a-zA-Z]+/\S+) does not exist")
_LISTS = {
    "projects": "ftf project list",
    "files": "ftf files",
    "datasets": "ftf dataset list",
    "examples": "ftf dataset examples {}",
    "llmEndpoints": "ftf llm list",
    "promptTemplates": "ftf template list",
    "models": "ftf model list",
    "runs": "ftf runs",
    "exports": "ftf exports",
}
"""Collection → the command that lists it; {} is the id of what it is in."""
_MOST = 100


async def explained(flow: Services, error: FtfError) -> FtfError:
    """Return the error of a name that does not exist with a remedy for this command line; any other as it is.

    The first 100 names beside it are asked for, to find one that is near; if they cannot be had, none is named.
    """
    found = _MISSING.fullmatch(error.message)
    name = found["name"] if found else ""
    collection = names.kind(name)
    if error.code != "NOT_FOUND" or type(error) is not FtfError or collection not in _LISTS:
        return error
    command = _LISTS[collection].format(names.short(names.parent(name)))
    near = difflib.get_close_matches(names.short(name), await _beside(flow, collection, names.parent(name)), 1)
    remedy = f"see `{command}`" + (f'; did you mean "{near[0]}"?' if near else "")
    return FtfError(error.message, remedy, code=error.code, reason=error.reason, metadata=error.metadata)


async def _beside(flow: Services, collection: str, parent: str) -> list[str]:
    """Return the ids of what there is in a collection, the first of them; none of what has no names of its own."""
    found: list[str] = []
    try:
        async for item in _listed(flow, collection, parent):
            found.append(names.short(item.name))
            if len(found) == _MOST:
                break
    except FtfError:
        return []
    return found


async def _listed(flow: Services, collection: str, parent: str) -> AsyncIterator[Any]:
    inside = {"datasets": flow.datasets, "runs": flow.runs, "exports": flow.exports}
    outside = {"projects": flow.projects, "models": flow.models, "llmEndpoints": flow.llm_endpoints}
    if collection in inside:
        async for item in inside[collection](parent):
            yield item
    elif collection in outside:
        async for other in outside[collection]():
            yield other
