"""What a user types unseen: tokens and keys."""

from __future__ import annotations

import getpass

from finetuneflow_client.errors import FtfError


def typed(what: str) -> str:
    """Return a secret that is typed at the terminal. Raises FtfError INVALID_ARGUMENT if the input ends instead."""
    try:
        return getpass.getpass(f"{what}: ").strip()
    except EOFError:
        remedy = f"type the {what}, or give a file that holds it"
        raise FtfError("the input ended", remedy, code="INVALID_ARGUMENT") from None
