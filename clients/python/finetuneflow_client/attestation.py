"""Whether a folder of weights is what its attestation says: every file, and the signature. Needs no server.

`ftf download` puts two files beside the weights: attestation.json, a DSSE envelope round an in-toto statement, and
signer.pem, the public key. The key in the folder proves that nothing changed since it was signed; that it was signed by
the installation that you mean, only a key proves that you got in another way (`ftf key`).
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from finetuneflow_client.errors import FtfError

ATTESTATION, SIGNER = "attestation.json", "signer.pem"
_PAYLOAD = "application/vnd.in-toto+json"
_STATEMENT, _PREDICATE = "https://in-toto.io/Statement/v1", "urn:finetuneflow:weights:v1"

_VERIFIABLE = (
    "name a folder that `ftf download EXPORT -o FOLDER` wrote, or that of a format below the folder of `ftf run -o`"
)

Kind = Literal["changed", "missing", "extra", "unreadable", "signature", "key", "attestation"]


@dataclass(frozen=True)
class Problem:
    """Something that is not as it was signed.

    Attributes:
        kind: changed, missing, extra, unreadable: of a file; signature: it is bad; key: signed by another key;
            attestation: there is none, it cannot be read, or it is not about weights.
        what: the file, or what is wrong.
    """

    kind: Kind
    what: str


@dataclass(frozen=True)
class Verdict:
    """How a folder did.

    Attributes:
        problems: none means that all is well.
        key_id: of the key that was checked with; "" if there was none.
        statement: what was signed; empty unless the signature is good.
        files: number of files that are as they were signed.
    """

    problems: tuple[Problem, ...]
    key_id: str
    statement: dict[str, Any]
    files: int


def verify(folder: Path, key: Path | None = None) -> Verdict:
    """Check a folder against its attestation.

    Args:
        folder: as `ftf download` wrote it.
        key: PEM file of the public key to trust; None takes the one in the folder.

    Raises:
        FtfError: NOT_FOUND if there is no such folder or key, or nothing in it says what was signed; INVALID_ARGUMENT
            if the key is none.
    """
    if not folder.is_dir():
        raise FtfError(f"{folder} is no folder", _VERIFIABLE, code="NOT_FOUND")
    if not (folder / ATTESTATION).exists():
        why = f"{folder} was not written by `ftf download`: there is no {ATTESTATION} in it"
        raise FtfError(why, _elsewhere(folder) or _VERIFIABLE, code="NOT_FOUND")
    public, key_id = _public_key(key or folder / SIGNER)
    try:
        envelope = json.loads((folder / ATTESTATION).read_bytes())
        payload = base64.b64decode(envelope["payload"], validate=True)
        signatures = [(str(s["keyid"]), base64.b64decode(s["sig"], validate=True)) for s in envelope["signatures"]]
        statement = json.loads(payload)
        signed = {str(s["name"]): str(s["digest"]["sha256"]) for s in statement["subject"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Verdict(
            (Problem("attestation", f"{ATTESTATION} cannot be read: {type(error).__name__}"),), key_id, {}, 0
        )
    refused = _signature(public, key_id, payload, signatures) or _other(envelope, statement)
    if refused is not None:
        return Verdict((refused,), key_id, {}, 0)
    problems = tuple(_files(folder, signed))
    wrong = sum(problem.kind != "extra" for problem in problems)
    return Verdict(problems, key_id, statement, len(signed) - wrong)


def _elsewhere(folder: Path) -> str:
    """Return which folders below can be verified, in words; "" if there is none."""
    found = sorted({path.parent for path in [*folder.glob(f"*/{ATTESTATION}"), *folder.glob(f"*/*/{ATTESTATION}")]})
    return "these below it were: " + ", ".join(f"`ftf verify {path}`" for path in found[:5]) if found else ""


def chain(statement: dict[str, Any]) -> list[tuple[str, str]]:
    """Return where weights come from, by a statement that verify found good: what it is, and its name and hash."""
    found = statement["predicate"]
    model, dataset = found["model"], found["dataset"]
    more = (
        "there may have been more: the dataset was deleted, or made to forget some, before the export, "
        "or the run began from one that trained on another version"
    )
    return [
        ("export", found["export"]),
        ("run", found["run"]),
        ("model", f"{model['name']} at {model['revision']}"),
        ("dataset", f"{dataset['name']} version {dataset['version']}  {dataset['sha256']}"),
        *(("document", _document(d)) for d in found["documents"]),
        *([("document", more)] if found.get("documents_complete") is False else []),
    ]


def _document(found: dict[str, Any]) -> str:
    """Return a document in words: its file name where that was signed, its resource name, its hash."""
    title = found.get("file_name", "")
    named = f"{title} ({found['name']})" if title else found["name"]
    return f"{named}  {found['sha256'] or 'deleted; hash not known'}"


def _public_key(path: Path) -> tuple[Any, str]:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    remedy = "get it with `ftf key > signer.pem`"
    try:
        public = load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise FtfError(f"the key {path} cannot be read: {error.strerror}", remedy, code="NOT_FOUND") from error
    except (ValueError, UnsupportedAlgorithm):
        public = None
    if not isinstance(public, Ed25519PublicKey):
        raise FtfError(f"{path} is no ed25519 public key", remedy, code="INVALID_ARGUMENT")
    return public, hashlib.sha256(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()


def _signature(public: Any, key_id: str, payload: bytes, signatures: list[tuple[str, bytes]]) -> Problem | None:
    from cryptography.exceptions import InvalidSignature

    ours = [signature for name, signature in signatures if name == key_id]
    if not ours:
        others = ", ".join(name[:16] for name, _ in signatures) or "nobody"
        return Problem("key", f"signed by {others}, not by the key {key_id[:16]}")
    message = b"DSSEv1 %d %s %d %s" % (len(_PAYLOAD), _PAYLOAD.encode(), len(payload), payload)
    try:
        public.verify(ours[0], message)
    except InvalidSignature:
        return Problem("signature", f"the signature in {ATTESTATION} is not of what stands there")
    return None


def _other(envelope: dict[str, Any], statement: dict[str, Any]) -> Problem | None:
    """Return what makes a signed statement one of another kind than those about weights."""
    expected = (
        ("payloadType", envelope.get("payloadType"), _PAYLOAD),
        ("_type", statement.get("_type"), _STATEMENT),
        ("predicateType", statement.get("predicateType"), _PREDICATE),
    )
    for field, found, right in expected:
        if found != right:
            return Problem("attestation", f"{ATTESTATION} is signed, but its {field} is {found!r}, not {right}")
    try:
        chain(statement)
    except (KeyError, TypeError):
        return Problem("attestation", f"{ATTESTATION} is signed, but does not say where the weights come from")
    return None


def _files(folder: Path, signed: dict[str, str]) -> list[Problem]:
    there = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file() or p.is_symlink()}
    problems = []
    for name, sha256 in sorted(signed.items()):
        path = there.pop(name, None)
        if path is None or not path.is_file():
            problems.append(Problem("missing", name))
            continue
        try:
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                    problems.append(Problem("changed", name))
        except OSError:
            problems.append(Problem("unreadable", name))
    return problems + [Problem("extra", name) for name in sorted(there) if name not in (ATTESTATION, SIGNER)]
