"""Signed weights: check a folder without a server, and show the key that this installation signs with."""

from __future__ import annotations

import dataclasses
import json
import sys
from argparse import Namespace
from pathlib import Path

from finetuneflow.export.v1 import export_service_pb2
from finetuneflow_client.attestation import Problem, Verdict, chain
from finetuneflow_client.attestation import verify as check
from finetuneflow_client.cli import exits
from finetuneflow_client.cli.session import Session

_WORDS = {
    "changed": "changed since it was signed",
    "missing": "is gone",
    "extra": "is there but was not signed",
    "unreadable": "cannot be read",
}


def verify(args: Namespace) -> int:
    """Say whether a folder is as it was signed; exit 1 if it is not."""
    verdict = check(Path(args.folder), Path(args.key) if args.key else None)
    if args.json:
        print(json.dumps({"ok": not verdict.problems, **dataclasses.asdict(verdict)}, indent=2))
    else:
        _show(args, verdict)
    return exits.FAILED if verdict.problems else exits.OK


def _show(args: Namespace, verdict: Verdict) -> None:
    for problem in verdict.problems:
        print(_line(problem), file=sys.stderr)
    if verdict.problems:
        return
    whose = "the key that you gave" if args.key else "the key in the folder; compare it with `ftf key`"
    print(f"{verdict.files} files are as they were signed by {verdict.key_id[:16]}, {whose}")
    for kind, name in chain(verdict.statement):
        print(f"{kind:8} {name}")


def _line(problem: Problem) -> str:
    words = _WORDS.get(problem.kind)
    return f"ftf: {problem.what} {words}" if words else f"ftf: {problem.what}"


async def key(session: Session) -> None:
    """Write the public key that this installation signs with."""
    found = await session.flow.export.GetSigningKey(export_service_pb2.GetSigningKeyRequest())
    if session.output.as_json:
        session.output.message(found)
    else:
        session.output.line(found.pem.strip())
        session.screen.say(f"its id is {found.key_id[:16]}; `ftf key > signer.pem; ftf verify FOLDER --key signer.pem`")
