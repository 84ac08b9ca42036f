"""Requests to a bucket through MinIO's SDK, and what their errors mean. They block.

Nothing is overwritten: writes carry `If-None-Match: *`. The SDK's own put has no place for that header, nor for parts
that grow, so such requests go through `_execute`, the function below it, which signs and sends one request.
"""

from __future__ import annotations

import base64
import email.utils
import hashlib
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error

from services.common.errors import Exhausted, FineTuneFlowError, InvalidArgument, NotFound, Unavailable
from services.common.objects.s3url import Bucket

CONNECTIONS = 16
_META = "x-amz-meta-sha256"
_TIMEOUT = urllib3.Timeout(connect=5.0, read=60.0)
_RETRIES = urllib3.Retry(total=2, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504], raise_on_status=False)
_ONLY_NEW = {"If-None-Match": "*"}
_TAKEN = ("PreconditionFailed", "ConditionalRequestConflict")
_NO_HEADER = ("NotImplemented", "MethodNotAllowed")
_FULL = ("XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "InsufficientStorage")
_REFUSED = (
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidToken",
    "ExpiredToken",
    "AllAccessDisabled",
)
_NESTED = ("XMinioParentIsObject", "XMinioObjectExistsAsDirectory", "ExistingObjectIsDirectory")


class Taken(Exception):
    """The key has an object already; it stays."""


class S3Requests:
    """One bucket.

    Args:
        bucket: where it is.
        keys: access key and secret key; two empty ones for a bucket that is open to all.
    """

    def __init__(self, bucket: Bucket, keys: tuple[str, str]) -> None:
        self._bucket = bucket
        self._http = urllib3.PoolManager(
            timeout=_TIMEOUT,
            maxsize=CONNECTIONS,
            retries=_RETRIES,
            cert_reqs="CERT_REQUIRED",
            ca_certs=bucket.ca or None,
        )
        self._client = self._minio(bucket.host, bucket.secure, keys)
        self._public = self._minio(*bucket.public, keys) if bucket.public else self._client
        self.conditional = True

    def _minio(self, host: str, secure: bool, keys: tuple[str, str]) -> Minio:
        access, secret = (key or None for key in keys)
        return Minio(host, access, secret, secure=secure, region=self._bucket.region, http_client=self._http)

    def write(self, key: str, data: bytes) -> None:
        """Write an object in one request.

        Raises:
            Taken: there is one; also where it came into being through a first try of this request.
        """
        headers = {"Content-Type": "application/octet-stream", _META: hashlib.sha256(data).hexdigest()}
        self._new("PUT", key, data, headers, {})

    def begin(self, key: str) -> str:
        """Begin an object in parts; return the upload's id."""
        answer = self._send("POST", key, headers={"Content-Type": "application/octet-stream"}, query={"uploads": ""})
        return str(_text(answer.data, "UploadId"))

    def write_part(self, key: str, upload: str, number: int, data: bytes) -> str:
        """Write a part; return its tag."""
        query = {"partNumber": str(number), "uploadId": upload}
        return str(self._send("PUT", key, data, query=query).headers.get("etag", "")).strip('"')

    def complete(self, key: str, upload: str, tags: Sequence[str]) -> None:
        """Make an object of the parts, in the order of their tags.

        Raises:
            Taken: there is an object already. The parts are still there.
            Unavailable: no object came of them. The parts are still there.
        """
        root = ET.Element("CompleteMultipartUpload", xmlns="http://s3.amazonaws.com/doc/2006-03-01/")
        for number, tag in enumerate(tags, 1):
            part = ET.SubElement(root, "Part")
            ET.SubElement(part, "PartNumber").text = str(number)
            ET.SubElement(part, "ETag").text = f'"{tag}"'
        body = ET.tostring(root)
        digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        headers = {"Content-Type": "application/xml", "Content-MD5": digest}
        answer = self._new("POST", key, body, headers, {"uploadId": upload})
        # A server that puts many parts together says 200 before it knows how that ends.
        if code := _text(answer.data.strip(), "Code"):
            if code in _TAKEN:
                raise Taken
            raise Unavailable(f"The parts of {key!r} were not put together ({code}). Check the server, then repeat.")

    def abort(self, key: str, upload: str) -> None:
        """Remove the parts. What was completed stays."""
        try:
            self._send("DELETE", key, query={"uploadId": upload})
        except NotFound:
            return

    def open(self, key: str, offset: int, length: int) -> urllib3.BaseHTTPResponse | None:
        """Return the body from an offset on, of `length` bytes at most, 0 for all; None if it ends before the offset.

        Raises:
            NotFound: there is no such object.
        """
        try:
            return self._client.get_object(self._bucket.name, key, offset, length)
        except S3Error as error:
            if error.code == "InvalidRange":
                return None
            raise self._explain(error, key) from None
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise self._explain(error, key) from None

    def stat(self, key: str) -> tuple[int, str] | None:
        """Return the size, and the SHA-256 that was kept with the object or ""; None if there is no such object."""
        try:
            found = self._client.stat_object(self._bucket.name, key)
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            explained = self._explain(error, key)
            if isinstance(explained, NotFound):
                return None
            raise explained from None
        return found.size or 0, str((found.metadata or {}).get(_META, ""))

    def remove(self, key: str) -> None:
        """Remove an object; if it is not there, do nothing."""
        try:
            self._client.remove_object(self._bucket.name, key)
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise self._explain(error, key) from None

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the names that begin with a prefix."""
        try:
            for found in self._client.list_objects(self._bucket.name, prefix, recursive=True):
                yield str(found.object_name)
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise self._explain(error, prefix) from None

    def presign(self, method: str, key: str, seconds: int, query: dict[str, str] | None = None) -> str:
        """Return a URL that is good for one method on one object; no request is made for it."""
        return self._public.get_presigned_url(
            method, self._bucket.name, key, timedelta(seconds=seconds), extra_query_params={**(query or {})}
        )

    def ahead(self) -> float:
        """Return by how many seconds the server's clock is ahead, to the second; 0 if it does not say."""
        url = f"{'https' if self._bucket.secure else 'http'}://{self._bucket.host}/"
        before = time.time()
        try:
            answer = self._http.request("HEAD", url, redirect=False)
        except urllib3.exceptions.HTTPError as error:
            raise self._explain(error, "") from None
        now = (before + time.time()) / 2
        said = email.utils.parsedate_to_datetime(answer.headers["Date"]) if "Date" in answer.headers else None
        return said.timestamp() + 0.5 - now if said else 0.0

    def _new(
        self, method: str, key: str, data: bytes, headers: dict[str, str], query: dict[str, str]
    ) -> urllib3.BaseHTTPResponse:
        """Send what makes an object, only if there is none."""
        if not self.conditional and self.stat(key):
            raise Taken
        try:
            return self._client._execute(
                method,
                self._bucket.name,
                key,
                data,
                {**headers, **_ONLY_NEW} if self.conditional else dict(headers),
                dict(query),
            )
        except S3Error as error:
            if error.code in _TAKEN:
                raise Taken from None
            if error.code not in _NO_HEADER or not self.conditional:
                raise self._explain(error, key) from None
            self.conditional = False
            return self._new(method, key, data, headers, query)
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise self._explain(error, key) from None

    def _send(
        self,
        method: str,
        key: str,
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
        query: dict[str, str] | None = None,
    ) -> urllib3.BaseHTTPResponse:
        try:
            return self._client._execute(method, self._bucket.name, key, data, headers, query)  # type: ignore[arg-type]  # invariant
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise self._explain(error, key) from None

    def _explain(self, error: MinioException | urllib3.exceptions.HTTPError, key: str) -> FineTuneFlowError:
        """Return the error of ours that one of the SDK's stands for; no key of ours is in it."""
        code = error.code or "" if isinstance(error, S3Error) else ""
        where = f"the bucket {self._bucket.name} at {self._bucket.host}"
        if code in ("NoSuchKey", "NoSuchUpload"):
            return NotFound(f"There is no object {key!r}. It may have been deleted: read again what names it.")
        if code in _FULL:
            return Exhausted(f"The disk or the quota of {where} is full. Free space there and repeat.")
        if code in _NESTED:
            return InvalidArgument(f"{key!r} lies below an object, or is the folder of one. Choose another key.")
        if code == "NoSuchBucket":
            wrong = (
                f"There is no bucket {self._bucket.name} at {self._bucket.host}. Make it, or correct FTF_OBJECTS "
                "(objects.url of the chart)."
            )
        elif code == "RequestTimeTooSkewed":
            wrong = f"The clocks of this machine and of {self._bucket.host} differ too much. Set both by NTP."
        elif code in _REFUSED:
            wrong = (
                f"S3 refuses these keys, or what they ask for in {where} ({code}). Correct AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY (objects.existingSecret of the chart), and let them read, write, list and "
                "delete there."
            )
        else:
            # What the last try failed of: no such name, no TLS, no connection.
            cause = error.reason if isinstance(error, urllib3.exceptions.MaxRetryError) else None
            if isinstance(cause, urllib3.exceptions.SSLError):
                return Unavailable(
                    f"TLS with {self._bucket.host} fails ({cause}). Set secure=false in FTF_OBJECTS (objects.url of "
                    "the chart) if it speaks none, or ca=FILE if its certificate is of an authority of your own."
                )
            said = code or type(cause or error).__name__
            return Unavailable(f"S3 does not do what is asked of {where} ({said}). Check the server, then repeat.")
        return Unavailable(wrong, reason="CONFIGURATION")


def _text(document: bytes, name: str) -> str:
    """Return the text of the first element of a name, whatever its namespace."""
    found: Any = next((e for e in ET.fromstring(document).iter() if e.tag.rpartition("}")[2] == name), None)  # noqa: S314  # from our own S3 server
    return "" if found is None else str(found.text)
