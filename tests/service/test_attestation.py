"""What an installation signs about an export, and what `ftf verify` makes of it without a server."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from finetuneflow.export.v1 import export_service_pb2 as pb
from finetuneflow_client.attestation import Verdict, verify
from finetuneflow_client.cli.main import main
from finetuneflow_client.errors import FtfError
from services.export.attestation import Attester
from tests.fakes.running import refusal
from tests.service.test_export import EXPORT, download, ended, exporting, request


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """A finished export's folder, as `ftf download` writes it."""
    out = tmp_path / "weights"
    out.mkdir()
    async with exporting(tmp_path, steps=1) as stub:
        await stub.CreateExport(request())
        export = await ended(stub)
        assert export.artifacts, export.work
        for artifact in export.artifacts:
            (out / artifact.filename).write_bytes(await download(stub, artifact.filename))
        signed = await stub.GetAttestation(pb.GetAttestationRequest(name=EXPORT))
    (out / "attestation.json").write_text(signed.envelope)
    (out / "signer.pem").write_text(signed.key.pem)
    return out


def kinds(verdict: Verdict) -> list[tuple[str, str]]:
    """What is wrong, in short."""
    return [(problem.kind, problem.what) for problem in verdict.problems]


def test_a_folder_as_it_was_signed_is_good(folder: Path) -> None:
    """And says where it comes from."""
    verdict = verify(folder)

    assert kinds(verdict) == []
    assert verdict.files == 1
    assert verdict.statement["predicate"]["run"] == "projects/p/runs/done"
    assert verdict.statement["predicate"]["dataset"]["version"] == 1


def test_one_byte_is_named_wherever_it_changes(folder: Path) -> None:
    """Of a file; and what is gone or was added too."""
    weights = folder / "manifest.json"
    data = weights.read_bytes()
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    (folder / "more.bin").write_bytes(b"x")
    changed = kinds(verify(folder))
    weights.unlink()
    gone = kinds(verify(folder))

    assert changed == [("changed", "manifest.json"), ("extra", "more.bin")]
    assert gone == [("missing", "manifest.json"), ("extra", "more.bin")]


def edit(folder: Path, change: Any) -> None:
    """Change an attestation's envelope."""
    path = folder / "attestation.json"
    envelope = json.loads(path.read_text())
    change(envelope)
    path.write_text(json.dumps(envelope))


def test_a_statement_that_was_changed_has_a_bad_signature(folder: Path) -> None:
    """Even where the hashes would fit the files again."""
    edit(folder, lambda e: e.update(payload=base64.b64encode(base64.b64decode(e["payload"]) + b" ").decode()))

    assert [kind for kind, _ in kinds(verify(folder))] == ["signature"]


def test_a_folder_that_somebody_else_signed_is_not_ours(folder: Path, tmp_path: Path) -> None:
    """Its own key in the folder fits; the key that we trust does not."""
    ours = tmp_path / "ours.pem"
    ours.write_text(Attester(b"another installation's 32 bytes..").public_pem)

    assert [kind for kind, _ in kinds(verify(folder, ours))] == ["key"]


def test_without_an_attestation_or_a_key_there_is_nothing_to_say(folder: Path) -> None:
    """The attestation is a problem of the folder, the key one of the caller."""
    (folder / "attestation.json").write_text("{}")
    lost = kinds(verify(folder))
    (folder / "signer.pem").write_text("no key")
    with pytest.raises(FtfError) as caught:
        verify(folder)

    assert [kind for kind, _ in lost] == ["attestation"]
    assert caught.value.code == "INVALID_ARGUMENT"


def test_a_folder_that_is_no_download_is_told_apart_from_a_bad_one(folder: Path) -> None:
    """With the folders below it that can be verified, as `ftf run -o` leaves them; else with what writes one."""
    with pytest.raises(FtfError) as outer:
        verify(folder.parent)
    (folder / "attestation.json").unlink()
    with pytest.raises(FtfError) as other:
        verify(folder.parent)

    assert outer.value.code == "NOT_FOUND"
    assert "was not written by `ftf download`" in str(outer.value)
    assert f"`ftf verify {folder}`" in str(outer.value)
    assert "`ftf download EXPORT -o FOLDER`" in str(other.value)


@pytest.mark.parametrize(
    "change",
    [
        {"_type": "https://in-toto.io/Statement/v2"},
        {"predicateType": "https://slsa.dev/provenance/v1"},
        {"predicate": {}},
        {"predicate": {"export": "x", "run": "r", "model": "m", "dataset": {}, "documents": []}},
    ],
)
def test_a_signed_statement_of_another_kind_is_a_problem_of_its_own(folder: Path, change: dict[str, Any]) -> None:
    """A good signature alone does not make it one about weights."""
    text = json.loads((folder / "attestation.json").read_text())
    statement = json.loads(base64.b64decode(text["payload"])) | change
    payload = json.dumps(statement).encode()
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    kind = b"application/vnd.in-toto+json"
    signed = base64.b64encode(key.sign(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload))).decode()
    signatures = [{"keyid": hashlib.sha256(raw).hexdigest(), "sig": signed}]
    edit(folder, lambda e: e.update(payload=base64.b64encode(payload).decode(), signatures=signatures))
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "signer.pem").write_bytes(pem)

    assert [kind for kind, _ in kinds(verify(folder))] == ["attestation"]
    assert main(["verify", str(folder)]) == 1


def test_an_envelope_of_another_kind_is_refused(folder: Path) -> None:
    """Its signature covers the kind that it should be of."""
    edit(folder, lambda e: e.update(payloadType="text/plain"))

    assert [kind for kind, _ in kinds(verify(folder))] == ["attestation"]


def test_a_file_that_cannot_be_read_is_named(folder: Path) -> None:
    """Nobody can say whether it is what was signed."""
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").symlink_to("/proc/self/mem")

    assert kinds(verify(folder)) == [("unreadable", "manifest.json")]


def test_the_command_needs_no_server_and_its_exit_code_says_it(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """0 and what was signed, or 1 and a line for each file."""
    monkeypatch.setenv("FTF_SERVER", "127.0.0.1:1")
    good = main(["verify", str(folder)])
    out = capsys.readouterr().out
    (folder / "manifest.json").write_text("{}")
    bad = main(["verify", str(folder), "--json"])
    facts = json.loads(capsys.readouterr().out)

    assert (good, bad) == (0, 1)
    assert "run      projects/p/runs/done" in out
    assert facts["problems"] == [{"kind": "changed", "what": "manifest.json"}]


async def test_the_key_stays_the_same_and_nothing_unfinished_is_signed(tmp_path: Path) -> None:
    """Over a restart: an attestation of today is checked with the key of tomorrow."""
    keys = []
    for place in range(2):
        async with exporting(tmp_path, always_crash=True) as stub:
            keys.append(await stub.GetSigningKey(pb.GetSigningKeyRequest()))
            if place == 0:
                await stub.CreateExport(request())
                await ended(stub)
                refused = await refusal(stub.GetAttestation(pb.GetAttestationRequest(name=EXPORT)))

    assert keys[0] == keys[1]
    assert refused[1] == "EXPORT_NOT_READY"
    assert [p for p in tmp_path.rglob("*signing*") if p.is_file() and p.stat().st_mode & 0o077] == []
