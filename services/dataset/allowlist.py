"""Which URLs an LLM endpoint may have. A server in a cluster reaches what its users cannot: without a list, anybody
with a token could have it call anything in the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote

import httpx

from services.common.errors import InvalidArgument, NotReady

_PORTS = {"http": 80, "https": 443}


class AllowList:
    """Beginnings of URLs.

    Args:
        prefixes: http and https URLs; None allows every URL.
    """

    def __init__(self, prefixes: Sequence[str] | None) -> None:
        self._prefixes = prefixes

    def check(self, url: str) -> None:
        """Refuse a URL for a new endpoint.

        Raises:
            InvalidArgument: it does not begin as one of the list (LLM_NOT_ALLOWED).
        """
        if not self.allows(url):
            raise InvalidArgument(self._words(url), reason="LLM_NOT_ALLOWED", field="llm_endpoint.base_url")

    def check_use(self, url: str) -> None:
        """Refuse to call an endpoint that was made under another list.

        Raises:
            NotReady: its URL does not begin as one of the list (LLM_NOT_ALLOWED).
        """
        if not self.allows(url):
            raise NotReady(self._words(url), reason="LLM_NOT_ALLOWED")

    def allows(self, url: str) -> bool:
        """Whether a URL has the scheme, host and port of one of the list, and a path at or below its path."""
        return self._prefixes is None or any(_below(url, prefix) for prefix in self._prefixes)

    def _words(self, url: str) -> str:
        allowed = ", ".join(self._prefixes or ()) or "none"
        return f"{url} is not a URL that this server may call. Use one that begins with: {allowed}."


def _below(url: str, prefix: str) -> bool:
    """Compare as the HTTP client reads URLs, so that both mean the same server."""
    try:
        found, wanted = httpx.URL(url), httpx.URL(prefix)
    except httpx.InvalidURL:
        return False
    if found.userinfo or _server(found) != _server(wanted):
        return False
    path, start = unquote(found.path), unquote(wanted.path).rstrip("/")
    # A path that climbs, or is written so that servers may read it as climbing, is below nothing.
    if "\\" in path or "%" in path or any(part in (".", "..") for part in path.split("/")):
        return False
    return path == start or path.startswith(start + "/")


def _server(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.raw_host.decode("ascii").lower().rstrip("."), url.port or _PORTS.get(url.scheme)
