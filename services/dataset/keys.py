"""Keys of LLM endpoints: sent with the call and kept in a file of the service's own, or named and mounted by whoever
runs the server. No API returns them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from services.common.documents.port import Document
from services.common.errors import InvalidArgument, NotReady
from services.common.secretfiles import Secrets
from services.common.tokenfiles import FileText

MAX_KEY = 4096

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,252}")

Key = Callable[[], str]
"""Gives the key as it is now; "" for an endpoint without one."""


class Keys:
    """Keys by endpoint.

    Args:
        secrets: where keys that came with a call are kept.
        folder: mounted keys: a file's name is the key's; None: there are none.
        kept: whether keys that come with calls are kept: only where one program has the state folder for good.
    """

    def __init__(self, secrets: Secrets, folder: Path | None, kept: bool = True) -> None:
        self._secrets = secrets
        self._folder = folder
        self._kept = kept and folder is None

    def check(self, api_key: str, named: str) -> str:
        """Return the key that a new endpoint brings, in a form that can be sent; "" if it names one or needs none.

        Raises:
            InvalidArgument: the key cannot be sent, there is none of that name, or keys do not come this way.
        """
        if named and api_key:
            raise InvalidArgument("api_key and api_key_secret are both set. Leave one out.", field="api_key")
        if named:
            try:
                self._mounted(named).read()
            except OSError:
                raise InvalidArgument(
                    f'There is no key named "{named[:253]}". Have it added to the keys of this server.',
                    field="llm_endpoint.api_key_secret",
                ) from None
        elif api_key and not self._kept:
            raise InvalidArgument(
                "This server takes no keys from calls. Have the key added to the server's own (FTF_LLM_KEYS_DIR; "
                "llm.existingSecret of the chart), then "
                "give its name as api_key_secret.",
                field="api_key",
            )
        return check_key(api_key)

    def keep(self, doc: Document, api_key: str) -> None:
        """Store the key that came with an endpoint, where its record says."""
        self._secrets.put(_secret(doc), api_key)

    def forget(self, doc: Document) -> None:
        """Remove the key that came with an endpoint, from where its record says; a mounted one stays."""
        self._secrets.delete(_secret(doc))

    def of(self, doc: Document) -> Key:
        """Return what gives an endpoint's key for every call: a mounted one may be replaced at any time.

        It raises NotReady when the key is not there any more.
        """
        named = doc.get("api_key_secret", "")
        if named:
            return _reader(named, self._mounted(named))
        kept = self._secrets.get(_secret(doc)) if doc["has_api_key"] else ""
        if kept is None:
            raise NotReady(
                f"The key of {doc['_id']} is not on this machine. Give it again: `ftf llm update`.",
                reason="LLM_UNAVAILABLE",
            )
        key = kept
        return lambda: key

    def _mounted(self, name: str) -> FileText:
        if self._folder is None:
            raise InvalidArgument(
                "This server has no keys of its own. Give the key itself, as api_key.",
                field="llm_endpoint.api_key_secret",
            )
        if not _NAME.fullmatch(name):
            raise InvalidArgument(
                "api_key_secret is not the name of a key. Use letters, digits, dots, dashes and underscores.",
                field="llm_endpoint.api_key_secret",
            )
        return FileText(self._folder / name)


def _reader(name: str, file: FileText) -> Key:
    def read() -> str:
        try:
            return check_key(file.read())
        except OSError:
            raise NotReady(
                f'The key "{name}" is not among this server\'s keys any more. Have it added again, then resume.',
                reason="LLM_UNAVAILABLE",
            ) from None

    return read


def check_key(text: str) -> str:
    """Return a key without white space round it, if it can be sent in a header.

    Raises:
        InvalidArgument: it has a space, a line end or a character beyond ASCII, or is longer than 4,096; not shown.
    """
    key = text.strip()
    if len(key) > MAX_KEY or not all("!" <= letter <= "~" for letter in key):
        raise InvalidArgument(
            f"api_key is longer than {MAX_KEY} characters or has others than printable ASCII. Copy it again.",
            field="api_key",
        )
    return key


def _secret(doc: Document) -> str:
    """Return the name of an endpoint's key: each key has its own, so that a record never goes with another one's."""
    return "-".join(filter(None, ("llm", doc["uid"], doc.get("key", ""))))
