"""NATS's URLs: the servers, and the credentials, which may be percent-encoded."""

from __future__ import annotations

import urllib.parse

from services.common.errors import InvalidArgument

Options = dict[str, str | None]


def malformed() -> InvalidArgument:
    """Return the error of a URL that is none; it shows nothing of it, for no one knows where its password begins."""
    return InvalidArgument(
        "The URL of NATS is malformed. Write nats://user:password@host:port in FTF_NATS_URL (nats of the chart), with "
        "the characters : / ? # [ ] @ % of the password percent-encoded.",
        reason="CONFIGURATION",
    )


def parted(url: str) -> tuple[list[str], Options]:
    """Return the servers of a URL without credentials, and the driver's options that carry these.

    The driver sends the credentials of a URL as they stand there; here `%40` becomes `@`. Those of the first server
    that has any serve for all. A user without a password is a token, as for the driver.

    Args:
        url: nats://user:password@host:port, several joined by commas.

    Raises:
        InvalidArgument: it is malformed (CONFIGURATION).
    """
    servers, options = [], Options()
    for one in url.split(","):
        try:
            found = urllib.parse.urlsplit(one.strip())
            bad = not found.hostname or found.port == 0
        except ValueError:
            bad = True
        if bad or found.path.strip("/") or found.query or found.fragment:
            raise malformed()
        if not options and found.username:
            user = urllib.parse.unquote(found.username)
            password = None if found.password is None else urllib.parse.unquote(found.password)
            options = {"token": user} if password is None else {"user": user, "password": password}
        servers.append(found._replace(netloc=found.netloc.rpartition("@")[2]).geturl())
    return servers, options
