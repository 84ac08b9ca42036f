"""Connections out of the set-up: which certificates are trusted, and why one failed, in words for people."""

from __future__ import annotations

import errno
import os
import socket
import ssl

import httpx

PROXY_REFUSES = "the proxy of HTTPS_PROXY refuses: see what it lets through, and its password"


_CLOSED = "the server hung up"
_CLASSES: tuple[tuple[type[BaseException], str], ...] = (
    (ConnectionRefusedError, "nothing listens there"),
    (socket.gaierror, "its name cannot be looked up"),
    (ConnectionResetError, _CLOSED),
    (BrokenPipeError, _CLOSED),
    (EOFError, _CLOSED),
    (ssl.SSLError, "it does not speak TLS as expected: see whether its address begins with http:// or https://"),
    (TimeoutError, "not in time"),
    (httpx.TimeoutException, "not in time"),
)
"""What the system and httpx raise, in words."""
_NAMES = {
    "ServerDisconnectedError": _CLOSED,
    "ClientPayloadError": "the answer broke off",
    "ClientResponseError": "its answer is no HTTP",
    "BadStatusLine": "its answer is no HTTP",
    "RemoteProtocolError": "it hung up, or its answer is no HTTP",
    "ReadError": "the answer broke off",
    "WriteError": _CLOSED,
    "ClientConnectorError": "it cannot be connected to",
    "ConnectError": "it cannot be connected to",
}
"""What aiohttp, which not every process has, and httpx raise without more: by the name of the class."""


class NoCertificates(OSError):
    """What SSL_CERT_FILE or SSL_CERT_DIR names cannot be read as certificates; the text says so."""


def certificates() -> ssl.SSLContext:
    """Return what is trusted: what SSL_CERT_FILE or SSL_CERT_DIR names, else the certificates that httpx brings along.

    Raises:
        NoCertificates: these variables name none.
    """
    try:
        return httpx.create_ssl_context()
    except OSError as error:  # ssl.SSLError is one
        said = error.strerror or "not certificates in PEM"
        raise NoCertificates(0, f"SSL_CERT_FILE or SSL_CERT_DIR names no certificates: {said}") from error


def why(error: BaseException) -> str:
    """Return why a connection failed, in words; certificates and httpx's proxies with what to do.

    The drivers' own words may hold URLs with keys, so they are not passed on. An error that nothing is known of is told
    by its class.
    """
    for found in _chain(error):
        # aiohttp's own error is one of these too, and knows no more than that; what it was made of does.
        if isinstance(found, ssl.SSLCertVerificationError) and hasattr(found, "verify_message"):
            said = found.verify_message
            return f"its certificate is not trusted, {said}: name its authority's certificates in SSL_CERT_FILE"
        if isinstance(found, NoCertificates):
            return str(found.strerror)
        if isinstance(found, httpx.ProxyError):
            return PROXY_REFUSES
    return next((words for found in reversed(_chain(error)) if (words := _words(found))), type(error).__name__)


def _words(error: BaseException) -> str:
    """Return what one error of a chain says by itself; "" where that is nothing."""
    for kind, words in _CLASSES:
        if isinstance(error, kind):
            return words
    number = error.errno if isinstance(error, OSError) else None
    if number in errno.errorcode and number is not None:
        return os.strerror(number).lower()
    return _NAMES.get(type(error).__name__, "")


def _chain(error: BaseException | None) -> list[BaseException]:
    """Return an error and those that it was made of, the outermost first."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
