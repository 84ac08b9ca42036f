"""Connections out of the set-up: which certificates are trusted, and why one failed, in words for people."""

from __future__ import annotations

import ssl

import httpx

PROXY_REFUSES = "the proxy of HTTPS_PROXY refuses: see what it lets through, and its password"


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
    """Return why a connection failed: certificates and httpx's proxies with what to do, of others the error's class.

    The drivers' own words may hold URLs with keys, so they are not passed on.
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
    return type(error).__name__


def _chain(error: BaseException | None) -> list[BaseException]:
    """Return an error and those that it was made of, the outermost first."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
