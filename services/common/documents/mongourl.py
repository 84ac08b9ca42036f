"""MongoDB's URLs: what may be shown of one, and what must not."""

from __future__ import annotations

import re
import urllib.parse

from services.common.errors import InvalidArgument

_URL = re.compile(r"mongodb(?:\+srv)?://(?:[^@/?]*@)?(?P<place>[^@/?]+)(?:/[^@?]*)?(?:\?.*)?")
_LONG = re.compile(r", Timeout: | \(configured timeouts|, full error: ")
_SAID = 200


def malformed() -> InvalidArgument:
    """Return the error of a URL that is none; it shows nothing of it, for no one knows where its password begins."""
    return InvalidArgument(
        "The URL of the documents is not one of MongoDB's. Write mongodb://user:password@host:port/?options, with the "
        "characters : / ? # [ ] @ % of the password percent-encoded.",
        reason="CONFIGURATION",
    )


def place(url: str) -> str:
    """Return the hosts of a URL.

    Raises:
        InvalidArgument: it is malformed (CONFIGURATION).
    """
    match = _URL.fullmatch(url)
    if not match:
        raise malformed()
    return match["place"]


def options(url: str) -> set[str]:
    """Return the names of the options that a URL sets, in lower case."""
    return {name.lower() for name in urllib.parse.parse_qs(url.partition("?")[2])}


def shown(text: str, url: str) -> str:
    """Return the beginning of a driver's message, without the URL's password."""
    password = urllib.parse.urlsplit(url).password or ""
    text = _LONG.split(text)[0]
    for secret in {password, urllib.parse.unquote(password)} - {""}:
        text = text.replace(secret, "***")
    return text[:_SAID]
