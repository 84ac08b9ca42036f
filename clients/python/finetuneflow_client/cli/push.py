"""`ftf push`: signed weights to a registry or a hub."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

from finetuneflow_client.attestation import verify
from finetuneflow_client.cli import exits
from finetuneflow_client.cli.screen import Screen
from finetuneflow_client.errors import FtfError
from finetuneflow_client.pushing import Login, push_hub, push_oci


def push(args: Namespace) -> int:
    """Push a folder that is as it was signed."""
    folder, screen = Path(args.folder), Screen(quiet=args.quiet)
    verdict = verify(folder)
    if verdict.problems:
        what = verdict.problems[0].what
        raise FtfError(f"{folder} is not as it was signed: {what}", "download it again", code="FAILED_PRECONDITION")
    scheme, _, where = args.destination.partition("://")
    login = Login(args.username, _secret(args.password_file))
    if scheme == "oci" and bool(args.username) != bool(args.password_file):
        raise FtfError(
            "a login is a name and a password", "give --username and --password-file", code="INVALID_ARGUMENT"
        )
    if scheme == "oci" and where:
        made = push_oci(folder, where, login, plain_http=args.plain_http, say=screen.say)
    elif scheme == "hf" and where:
        made = push_hub(folder, where, login, private=not args.public)
    else:
        remedy = "use oci://registry/team/model:tag or hf://owner/name"
        raise FtfError(f"{args.destination} is no destination", remedy, code="INVALID_ARGUMENT")
    print(json.dumps({"pushed": made, "files": verdict.files}) if args.json else made)
    return exits.OK


def _secret(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip() if path else ""
    except OSError as error:
        raise FtfError(f"cannot read {path}: {error.strerror}", "check the path", code="INVALID_ARGUMENT") from None
