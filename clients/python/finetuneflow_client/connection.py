"""The connection: plain on a machine of one's own, TLS through a gateway; and words for one that does not stand."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path
from typing import Any

import grpc

from finetuneflow_client.errors import FtfError

_TLS_PORT = "443"
_PROBE_SECONDS = 5.0


def open_channel(address: str, tls_ca: str = "") -> grpc.aio.Channel:
    """Open a channel; nothing is sent yet.

    Args:
        address: host:port or http://host:port, plain; https://host or https://host:port, with TLS.
        tls_ca: file with the certificates to trust, in PEM, instead of the system's.

    Raises:
        FtfError: INVALID_ARGUMENT if the address is not one, or the file cannot be read.
    """
    scheme, target = parsed(address)
    options: list[tuple[str, Any]] = [
        # Pages of long chunks pass gRPC's 4 MiB.
        ("grpc.max_receive_message_length", 64 << 20),
        # A server that is back within a second is used within a second.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.min_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 2000),
        # A watch is silent for minutes; what lies between may forget the connection, or lose it without a word.
        ("grpc.keepalive_time_ms", 45_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.max_pings_without_data", 0),
        # A proxy for the world is not one for this machine.
        ("grpc.enable_http_proxy", 0 if target.startswith(("127.", "localhost:", "[::1]")) else 1),
    ]
    if scheme == "https":
        return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(_roots(tls_ca)), options)
    return grpc.aio.insecure_channel(target, options)


def parsed(address: str) -> tuple[str, str]:
    """Return an address as its scheme ("http" or "https") and host:port. Raises FtfError INVALID_ARGUMENT."""
    scheme, _, target = address.rpartition("://")
    target = target.rstrip("/")
    if scheme not in ("", "http", "https") or not target or "/" in target or "@" in target:
        raise FtfError(
            f'"{address}" is not an address', "use host:port, or https://host:port for TLS", code="INVALID_ARGUMENT"
        )
    _, colon, port = target.rpartition("]")[2].rpartition(":")
    if colon and port.isdecimal() and not 0 < int(port[:6]) < 65536:
        raise FtfError(f'"{address}" has a port that is none', "use 1 to 65535", code="INVALID_ARGUMENT")
    if scheme == "https" and not port.isdigit():
        target += f":{_TLS_PORT}"
    return scheme or "http", target


async def ready(channel: grpc.aio.Channel, address: str, wait: float, tls_ca: str = "") -> None:
    """Wait until a connection stands.

    Raises:
        FtfError: UNAVAILABLE after `wait` seconds; it says what is in the way, as far as that can be found out.
    """
    try:
        await asyncio.wait_for(channel.channel_ready(), wait)
    except TimeoutError:
        raise await _why(address, tls_ca) from None


async def _why(address: str, tls_ca: str) -> FtfError:
    """Return why no connection stands: with TLS where none is spoken, the reverse, or a certificate."""
    scheme, target = parsed(address)
    host, _, port = target.rpartition(":")
    host = host.strip("[]")
    message, remedy = f"no server answers at {address}", "start it with `ftf up`, or check --server"
    if not port.isdigit():
        return FtfError(message, remedy, code="UNAVAILABLE")
    try:
        if scheme == "https":
            await _shake_hands(host, int(port), _verifying(tls_ca))
        elif await _speaks_tls(host, int(port)):
            message, remedy = f"the server at {target} speaks TLS", f"use https://{target}"
    except ssl.SSLCertVerificationError as error:
        message = f"the certificate of {target} is not trusted ({error.verify_message})"
        remedy = "give the certificates to trust with --tls-ca or FTF_TLS_CA, and the name that is in the certificate"
    except ssl.SSLError:
        message, remedy = f"the server at {target} does not speak TLS", f"use {target}, without https://"
    except (OSError, TimeoutError):
        pass  # nobody listens there
    return FtfError(message, remedy, code="UNAVAILABLE")


async def _speaks_tls(host: str, port: int) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent; the question is only whether it answers
    context.set_alpn_protocols(["h2"])
    try:
        await _shake_hands(host, port, context)
    except ssl.SSLError:
        return False
    return True


async def _shake_hands(host: str, port: int, context: ssl.SSLContext) -> None:
    async with asyncio.timeout(_PROBE_SECONDS):
        _, writer = await asyncio.open_connection(host, port, ssl=context)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def _verifying(tls_ca: str) -> ssl.SSLContext:
    roots = _roots(tls_ca)
    context = ssl.create_default_context(cadata=roots.decode() if roots else None)
    context.set_alpn_protocols(["h2"])
    return context


def _roots(tls_ca: str) -> bytes | None:
    """Return the certificates to trust: of the file, else the system's; None for those that gRPC brings."""
    if not tls_ca:
        system = ssl.get_default_verify_paths().cafile
        return Path(system).read_bytes() if system else None
    path = Path(tls_ca).expanduser()
    try:
        found = path.read_bytes()
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=found.decode())
    except (OSError, ValueError) as error:  # SSLError is an OSError
        why = "not certificates in PEM" if isinstance(error, ssl.SSLError | ValueError) else error.strerror
        raise FtfError(
            f"cannot use the certificates in {path}: {why}", "check --tls-ca", code="INVALID_ARGUMENT"
        ) from None
    return found
