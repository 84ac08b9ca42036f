"""What an installation signs about an export: an in-toto statement in a DSSE envelope, by ed25519.

The statement's subjects are the export's files with their SHA-256, its predicate the chain from documents over the
dataset's version and the run to the export. Signing the same record again gives the same bytes. The key follows from
the installation's own, which is made on first use and lies in a file that only its owner can read, or in a Secret.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.common.documents.port import Document
from services.export import core

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:finetuneflow:weights:v1"
PAYLOAD = "application/vnd.in-toto+json"
_PURPOSE = b"finetuneflow attestation ed25519"


class Attester:
    """Signs for an installation.

    Args:
        secret: the installation's key, 32 bytes or more.
    """

    def __init__(self, secret: bytes) -> None:
        seed = HKDF(SHA256(), 32, salt=None, info=_PURPOSE).derive(secret)
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    @property
    def public_pem(self) -> str:
        """The public key, as PEM."""
        return self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    @property
    def key_id(self) -> str:
        """SHA-256 of the public key's 32 bytes, in hexadecimal."""
        return hashlib.sha256(self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()

    def attest(self, export: Document) -> str:
        """Return the signed statement about a finished export, as JSON."""
        payload = json.dumps(statement(export), sort_keys=True, ensure_ascii=False).encode()
        signature = self._key.sign(b"DSSEv1 %d %s %d %s" % (len(PAYLOAD), PAYLOAD.encode(), len(payload), payload))
        envelope = {
            "payloadType": PAYLOAD,
            "payload": base64.b64encode(payload).decode(),
            "signatures": [{"keyid": self.key_id, "sig": base64.b64encode(signature).decode()}],
        }
        return json.dumps(envelope, indent=2) + "\n"


def statement(export: Document) -> dict[str, Any]:
    """Return what is said about an export."""
    manifest = core.manifest(export)
    chain = {name: manifest[name] for name in ("export", "format", "run", "dataset", "model", "config", "versions")}
    return {
        "_type": STATEMENT,
        "subject": [{"name": a["filename"], "digest": {"sha256": a["sha256"]}} for a in export["artifacts"]],
        "predicateType": PREDICATE,
        "predicate": {
            **chain,
            # Of an export from before this was asked, nobody knows.
            "documents_complete": export.get("documents_complete", False),
            "documents": [_document(export, name) for name in export["documents"]],
            "trained_weights": [
                {"name": file["filename"], "sha256": file["sha256"]} for file in export["adapter_files"]
            ],
            "proof": export["result"] or {},
        },
    }


def _document(export: Document, name: str) -> dict[str, str]:
    """Return what is said of a document; of exports from before file names were kept, what was signed then."""
    titles = export.get("document_titles")
    found = {"name": name, "sha256": export.get("document_hashes", {}).get(name, "")}
    return found if titles is None else {**found, "file_name": titles.get(name, "")}
