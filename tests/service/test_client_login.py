"""Servers that one has logged in to: kept once the server takes the token, found again, and never shown."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from finetuneflow_client import profiles
from finetuneflow_client.cli import exits
from finetuneflow_client.cli.login import warn_of_open
from finetuneflow_client.cli.main import main
from finetuneflow_client.cli.screen import Screen
from finetuneflow_client.discovery import Server, find_server
from finetuneflow_client.errors import FtfError
from finetuneflow_client.profiles import Profile, Profiles
from tests.fakes.client_server import TOKEN, served
from tests.service.test_client_cli import world
from tests.service.test_client_processes import subprocess_ftf

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process, as main does, with a configuration folder of its own."""
    for name in ("FTF_SERVER", "FTF_TOKEN", "FTF_TOKEN_FILE", "FTF_TLS_CA", "FTF_PROFILE", "FTF_STATE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "token").write_text(TOKEN + "\n")
    (tmp_path / "wrong").write_text("no-such-token")

    def call(*words: str) -> tuple[int, str, str]:
        code = main(words)
        return code, *capsys.readouterr()

    return call


async def test_a_server_is_kept_once_it_takes_the_token(run: Run, tmp_path: Path) -> None:
    """In a file that only its owner can read; commands find it, and a wrong token changes nothing."""
    async with served(world()) as server:
        login = ("login", "--server", server.address, "--token-file")
        wrong = await asyncio.to_thread(run, *login, str(tmp_path / "wrong"))
        none_kept = not profiles.config_file().exists()
        kept = await asyncio.to_thread(run, *login, str(tmp_path / "token"), "--profile", "work", "--json")
        again = await asyncio.to_thread(run, *login, str(tmp_path / "wrong"), "--profile", "work")
        listed = await subprocess_ftf("project", "list")

    path = tmp_path / "config" / "finetuneflow" / "config.toml"
    assert (wrong[0], none_kept, again[0]) == (exits.FAILED, True, exits.FAILED)
    assert json.loads(kept[1])["profile"] == "work"
    assert json.loads(kept[1])["file"] == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (listed.returncode, listed.stdout.splitlines()[1].split(), listed.stderr) == (exits.OK, ["p", "P"], "")
    assert TOKEN not in "".join(kept[1:] + again[1:])


async def test_certificates_that_the_environment_named_are_kept(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the server was asked with is what later commands ask it with."""
    monkeypatch.setenv("FTF_TLS_CA", str(tmp_path / "ca.pem"))
    async with served(world()) as server:
        login = ("login", "--server", server.address, "--token-file", str(tmp_path / "token"))
        code, _, messages = await asyncio.to_thread(run, *login)

    assert code == exits.OK, messages
    assert profiles.load().named("default").ca_file == str(tmp_path / "ca.pem")


async def test_the_end_of_input_is_no_token(run: Run) -> None:
    """It is said as what it is."""
    login = ("login", "--server", "127.0.0.1:1", "--ask-token")
    ended = await subprocess_ftf(*login, stdin=subprocess.DEVNULL, start_new_session=True)

    assert ended.returncode == exits.USAGE
    assert "the input ended" in ended.stderr


def test_a_server_that_does_not_answer_is_not_kept(run: Run, tmp_path: Path) -> None:
    """Nor one without a token."""
    away = run("login", "--server", "127.0.0.1:1", "--token-file", str(tmp_path / "token"))
    bare = run("login", "--server", "127.0.0.1:1")

    assert (away[0], bare[0]) == (exits.AWAY, exits.USAGE)
    assert "give --token-file or --ask-token" in bare[2]
    assert not profiles.config_file().exists()


def test_profiles_are_listed_chosen_and_removed_without_a_server(run: Run) -> None:
    """A list says that there is a token, not which."""
    kept = [Profile("a", "a:1", "secret-a"), Profile("b", "https://b", "secret-b", "/c")]
    profiles.save(Profiles("a", {profile.name: profile for profile in kept}))
    first = run("profiles", "list")
    used = run("profiles", "use", "b")
    listed = run("profiles", "list", "--json")
    missing = run("profiles", "use", "c")
    removed = run("profiles", "remove", "b", "--json", "--quiet")
    left = profiles.load()

    assert [line.split() for line in first[1].splitlines()] == [
        ["PROFILE", "USED", "SERVER", "TOKEN", "CERTIFICATES"],
        ["a", "yes", "a:1", "yes"],
        ["b", "https://b", "yes", "/c"],
    ]
    assert used[1] == "b: https://b\n"
    assert [(p["profile"], p["used"], p["token"]) for p in json.loads(listed[1])["profiles"]] == [
        ("a", False, True),
        ("b", True, True),
    ]
    assert missing[0] == exits.NOT_FOUND
    assert (json.loads(removed[1]), removed[2]) == ({"deleted": ["b"]}, "")
    assert (left.used, list(left.found)) == ("", ["a"])
    assert "secret" not in first[1] + listed[1] + used[1]


def test_a_flag_comes_before_the_environment_and_that_before_the_profile_in_use(tmp_path: Path) -> None:
    """And the profile in use before the server of `ftf up`; a profile's token goes to its own server only."""
    env = {"XDG_CONFIG_HOME": str(tmp_path)}
    kept = {name: Profile(name, f"{name}:1", f"token-{name}", f"/{name}.pem") for name in ("work", "home")}
    profiles.save(Profiles("work", kept), env)
    work, home = (Server(f"{name}:1", f"token-{name}", f"/{name}.pem") for name in ("work", "home"))
    full = {**env, "FTF_PROFILE": "home", "FTF_SERVER": "there:1", "FTF_TOKEN": "env"}

    assert find_server(env=env) == work
    assert find_server(env={**env, "FTF_PROFILE": "home"}) == home
    assert find_server(env={**env, "FTF_PROFILE": "home", "FTF_TOKEN": "env"}) == Server("home:1", "env", "/home.pem")
    assert find_server(env=full) == Server("there:1", "env")
    assert find_server(env=full, profile="work") == work
    assert find_server("a:1", env=env) == Server("a:1", "")
    with pytest.raises(FtfError, match="give one of them"):
        find_server("a:1", env=env, profile="work")
    with pytest.raises(FtfError, match="no server runs from"):
        find_server(env={**env, "FTF_STATE": str(tmp_path / "empty")})
    with pytest.raises(FtfError, match='there is no profile "x"'):
        find_server(env={**env, "FTF_PROFILE": "x"})


@pytest.mark.parametrize("text", ["profile =", "profiles = 1", "[profiles.a]\ntoken = 'secret'", "[profiles]\na = 'b'"])
def test_a_broken_file_is_said_in_a_line_without_what_is_in_it(tmp_path: Path, text: str) -> None:
    """As is one that others may read, since it has tokens."""
    env = {"XDG_CONFIG_HOME": str(tmp_path)}
    path = profiles.save(Profiles("", {}), env)
    path.write_text(text)
    with pytest.raises(FtfError) as broken:
        profiles.load(env)
    os.chmod(path, 0o640)
    with pytest.raises(FtfError, match="others may read") as open_to_others:
        profiles.load(env)

    assert broken.value.code == "INVALID_ARGUMENT"
    assert "secret" not in str(broken.value)
    assert open_to_others.value.remedy == f"chmod 600 {path}"


def test_what_is_kept_is_read_again_as_it_was(tmp_path: Path) -> None:
    """Quotes, backslashes and names in other scripts too; a name that would break the file is refused."""
    env = {"XDG_CONFIG_HOME": str(tmp_path)}
    wanted = Profiles("a-1", {"a-1": Profile("a-1", "https://h:1", 'a"b\\c=', "/zertifikate/größe.pem")})
    profiles.save(wanted, env)

    assert profiles.load(env) == wanted
    for name in ("", "a.b", "a b", "a]", "x" * 64):
        with pytest.raises(FtfError, match="cannot name a profile"):
            profiles.checked_name(name)


@pytest.mark.parametrize(
    ("server", "is_open"),
    [
        ("127.0.0.1:7400", False),
        ("http://localhost:7400", False),
        ("[::1]:7400", False),
        ("https://lab.example.com", False),
        ("lab.example.com:9000", True),
        ("http://10.0.0.4:7400", True),
        ("[fd00::4]:7400", True),
    ],
)
def test_a_token_that_would_go_unencrypted_is_warned_of(
    server: str, is_open: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr, also of a quiet login; not for this machine, nor where TLS is spoken."""
    warn_of_open(server, Screen(quiet=True))

    assert ("unencrypted" in capsys.readouterr().err) == is_open


def test_a_profile_that_cannot_be_kept_leaves_no_token_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is an error with a remedy, and the file that was begun is gone."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(FtfError, match="No space left"):
        profiles.save(Profiles("a", {"a": Profile("a", "127.0.0.1:1", "secret", "")}))

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
