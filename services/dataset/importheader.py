"""What the sender of a file of examples says before the bytes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from finetuneflow.dataset.v1 import dataset_pb2
from services.common import ids
from services.common.errors import InvalidArgument
from services.common.objects.unfinished import Announced
from services.dataset.core.formats.incoming import TARGETS

MAX_NAME_BYTES = 255
MAX_COLUMN = 200
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Header:
    """What an import is going to be; see ImportHeader of the contract."""

    parent: str
    filename: str
    dataset: dataset_pb2.Dataset
    dataset_id: str = ""
    request_id: str = ""
    sha256: str = ""
    size_bytes: int = 0
    format: str = ""
    encoding: str = ""
    mapping: Mapping[str, str] = field(default_factory=dict)
    split_column: str = ""
    strict: bool = False
    body: bytes = b""
    offset: int = 0

    @property
    def upload(self) -> Announced:
        """It as an upload that may break off."""
        return Announced(self.sha256, self.size_bytes, self.offset, self._project())

    def check(self) -> None:
        """Raises InvalidArgument for what cannot be meant."""
        bad = any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") or c in "/\\" for c in self.filename)
        if not self.filename.strip() or bad or len(self.filename.encode()) > MAX_NAME_BYTES:
            raise InvalidArgument(
                f"The file name {self.filename[:100]!r} is empty, a path, too long, or has invisible characters. "
                "Rename the file.",
                reason="BAD_FILE_NAME",
                field="header.filename",
            )
        if self.sha256 and not _SHA256.fullmatch(self.sha256):
            raise InvalidArgument("sha256 is not 64 lower-case hexadecimal digits.", field="header.sha256")
        for target, source in self.mapping.items():
            if target not in TARGETS:
                raise InvalidArgument(
                    f'"{target[:80]}" is no column of a format. Map one of {", ".join(TARGETS)}.',
                    field="header.mapping",
                )
            if not 0 < len(source) <= MAX_COLUMN:
                raise InvalidArgument(f"{target} is mapped to no column. Name one.", field="header.mapping")
        if len(self.split_column) > MAX_COLUMN:
            raise InvalidArgument("split_column is too long. Name one of the file's.", field="header.split_column")

    def place(self) -> tuple[str, str]:
        """Return the ids of the project and of the dataset. Raises InvalidArgument for a wrong one."""
        project = self._project()
        if self.dataset_id:
            return project, ids.check_id(self.dataset_id, "header.dataset_id")
        if self.request_id:
            return project, ids.derived_id("dataset", project, self.request_id)
        return project, ids.new_id("dataset")

    def request(self, sha256: str) -> bytes:
        """Return what is asked for, with the hash of the bytes, so that a repeat can be told from another request."""
        return self.body + sha256.encode()

    def _project(self) -> str:
        (project,) = ids.parse_name(self.parent, "projects/*", "header.parent")
        return project
