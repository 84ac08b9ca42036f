"""The URL of a bucket: s3://host:port/bucket?secure=true&region=us-east-1&public=https://…&ca=/path"""

from __future__ import annotations

import re
import urllib.parse
from dataclasses import dataclass

from services.common.errors import InvalidArgument

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_REGION = re.compile(r"[A-Za-z0-9_-]{1,64}")
_HOST = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::(?P<port>\d{1,5}))?")
_PUBLIC = re.compile(rf"(?P<scheme>https?)://(?P<host>{_HOST.pattern})/?")
_OPTIONS = {"secure", "region", "public", "ca"}
_FORM = "Write s3://host:port/bucket?secure=true&region=us-east-1, with a port of 1 to 65535."


@dataclass(frozen=True)
class Bucket:
    """Where a bucket is.

    Args:
        host: host, or host:port, of the S3 server.
        name: the bucket's.
        secure: whether the server speaks TLS.
        region: the bucket's region.
        public: the same server as granted URLs name it, where Jobs reach it by another address: (host, secure).
        ca: file of the certificates that the server's is checked with; "" for those of the system.
    """

    host: str
    name: str
    secure: bool = True
    region: str = "us-east-1"
    public: tuple[str, bool] | None = None
    ca: str = ""


def parse(url: str) -> Bucket:
    """Return the bucket that a URL names.

    Raises:
        InvalidArgument: the URL is malformed (CONFIGURATION).
    """
    parts = urllib.parse.urlsplit(url)
    if "@" in parts.netloc:
        raise _wrong(
            "holds keys. Give them as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead "
            "(objects.existingSecret of the chart)."
        )
    if parts.scheme != "s3" or not _is_host(parts.netloc):
        raise _wrong(f"names no server. {_FORM}")
    name = parts.path.strip("/")
    if not _BUCKET.fullmatch(name):
        raise _wrong(f"does not end with a bucket's name ({name[:80]!r}). {_FORM}")
    options = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(set(options) - _OPTIONS):
        raise _wrong(f"has an unknown option, {unknown[0]!r}. Use secure, region, public and ca.")
    region = options.get("region", "us-east-1")
    if not _REGION.fullmatch(region):
        raise _wrong(f"has a region that is none ({region[:80]!r}). {_FORM}")
    secure = _flag(options.get("secure", "true"))
    return Bucket(parts.netloc, name, secure, region, _public(options.get("public", "")), options.get("ca", ""))


def _is_host(text: str) -> bool:
    """Whether it is a host, with or without a port of 1 to 65535."""
    found = _HOST.fullmatch(text)
    return found is not None and 0 < int(found["port"] or 1) < 65536


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise _wrong(f"has secure={text[:80]!r}. Write secure=true or secure=false.")
    return text == "true"


def _public(text: str) -> tuple[str, bool] | None:
    if not text:
        return None
    match = _PUBLIC.fullmatch(text)
    if not match or not _is_host(match["host"]):
        raise _wrong("has a public address that is none. Write public=https://host:port, with a port of 1 to 65535.")
    return match["host"], match["scheme"] == "https"


def _wrong(what: str) -> InvalidArgument:
    return InvalidArgument(f"The URL of the objects {what}", reason="CONFIGURATION")
