"""Servers that a user has logged in to, by name, in config.toml: address, token, certificates.

The file is $XDG_CONFIG_HOME/finetuneflow/config.toml, by default in ~/.config. Only its owner may read it: it has
tokens. It is written anew, whole or not at all, at each change; comments in it do not survive that.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from finetuneflow_client.errors import FtfError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


@dataclass(frozen=True)
class Profile:
    """A server that a user has logged in to.

    Attributes:
        name: letters, digits, "-" and "_".
        server: host:port, or https://host[:port].
        token: the bearer token.
        ca_file: certificates to trust with TLS; empty for the system's.
    """

    name: str
    server: str
    token: str = field(repr=False)
    ca_file: str = ""


@dataclass(frozen=True)
class Profiles:
    """All of the file.

    Attributes:
        used: name of the one that counts where nothing else is said; empty for the server of `ftf up`.
        found: by name.
    """

    used: str
    found: Mapping[str, Profile]

    def named(self, name: str) -> Profile:
        """Return a profile. Raises FtfError NOT_FOUND."""
        if name not in self.found:
            remedy = f"see `ftf profiles list`, or make it with `ftf login --profile {name} --server ADDRESS`"
            raise FtfError(f'there is no profile "{name}"', remedy, code="NOT_FOUND")
        return self.found[name]

    def added(self, profile: Profile) -> Profiles:
        """Return them with one more, which is used from now on; one of the same name is replaced."""
        return Profiles(profile.name, {**self.found, profile.name: profile})

    def using(self, name: str) -> Profiles:
        """Return them with another one in use; "" for none. Raises FtfError NOT_FOUND."""
        return replace(self, used=self.named(name).name if name else "")

    def without(self, name: str) -> Profiles:
        """Return them without one. Raises FtfError NOT_FOUND."""
        gone = self.named(name).name
        return Profiles("" if self.used == gone else self.used, {n: p for n, p in self.found.items() if n != gone})


def config_file(env: Mapping[str, str] | None = None) -> Path:
    """Return where profiles are kept (XDG Base Directory Specification)."""
    env = os.environ if env is None else env
    base = env.get("XDG_CONFIG_HOME", "") or str(Path("~/.config").expanduser())
    return Path(base) / "finetuneflow" / "config.toml"


def checked_name(name: str) -> str:
    """Return a profile's name. Raises FtfError INVALID_ARGUMENT if it cannot be one."""
    if not _NAME.fullmatch(name):
        remedy = 'use letters, digits, "-" and "_", at most 63'
        raise FtfError(f'"{name}" cannot name a profile', remedy, code="INVALID_ARGUMENT")
    return name


def load(env: Mapping[str, str] | None = None) -> Profiles:
    """Return what is kept; nothing if there is no file.

    Raises:
        FtfError: INVALID_ARGUMENT if the file is not as it should be; FAILED_PRECONDITION if others may read it.
    """
    path = config_file(env)
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Profiles("", {})
    except (OSError, ValueError) as error:
        raise _broken(path, getattr(error, "strerror", None) or "not text") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise FtfError(f"others may read the tokens in {path}", f"chmod 600 {path}", code="FAILED_PRECONDITION")
    try:
        read = tomllib.loads(text)
        found = {name: _profile(name, fields) for name, fields in read.get("profiles", {}).items()}
    except (tomllib.TOMLDecodeError, AttributeError, KeyError, TypeError) as error:
        raise _broken(path, str(error)) from None
    return Profiles(str(read.get("profile", "")), found)


def save(profiles: Profiles, env: Mapping[str, str] | None = None) -> Path:
    """Write the file, readable by its owner alone, and return where it is. Raises FtfError FAILED_PRECONDITION."""
    path = config_file(env)
    lines = ["# Written by `ftf login` and `ftf profiles`."]
    lines += [f"profile = {json.dumps(profiles.used)}"] if profiles.used else []
    for name, profile in sorted(profiles.found.items()):
        kept = {"server": profile.server, "token": profile.token, "ca_file": profile.ca_file}
        lines += ["", f"[profiles.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in kept.items() if value)]
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()  # it may hold tokens
        problem = f"cannot write {path}: {error.strerror}"
        raise FtfError(problem, "set XDG_CONFIG_HOME to a folder of yours", code="FAILED_PRECONDITION") from None
    return path


def _profile(name: str, fields: Mapping[str, str]) -> Profile:
    return Profile(name, str(fields["server"]), str(fields.get("token", "")), str(fields.get("ca_file", "")))


def _broken(path: Path, why: str) -> FtfError:
    return FtfError(f"cannot read {path}: {why}", "mend or remove it, and `ftf login` again", code="INVALID_ARGUMENT")
