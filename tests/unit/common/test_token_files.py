"""Tokens in mounted folders and files, and keys that replicas share."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

import pytest

from services.common.auth import Principal
from services.common.errors import InvalidArgument
from services.common.secretfiles import Secrets, read_key
from services.common.tokenfiles import LOOK_SECONDS, FileText, TokenFolder, read_token

ANN, BOB = "anns-token-of-24-letters", "bobs-token-of-24-letters"


class Mounted:
    """A Secret as the kubelet mounts it: names are links to ..data, which is a link to a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.time = 0.0
        folder.mkdir()

    def swap(self, version: int, **tokens: str) -> None:
        """Replace the content at once, as the kubelet does, and let time pass."""
        data = self.folder / f"..2026_{version}"
        data.mkdir()
        for name, token in tokens.items():
            (data / name).write_text(token)
        (self.folder / "..tmp").symlink_to(data.name)
        os.replace(self.folder / "..tmp", self.folder / "..data")
        for name in tokens:
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")
        for entry in self.folder.iterdir():
            if not entry.name.startswith(".") and entry.name not in tokens:
                entry.unlink()
        self.time += LOOK_SECONDS

    def now(self) -> float:
        return self.time


@pytest.fixture
def mounted(tmp_path: Path) -> Mounted:
    return Mounted(tmp_path / "tokens")


async def test_a_files_name_is_its_tokens(mounted: Mounted) -> None:
    """White space round a token is none of it."""
    mounted.swap(1, ann=ANN + "\n", bob=BOB)
    tokens = TokenFolder(mounted.folder, mounted.now)

    assert await tokens.principal(ANN) == Principal("ann", "user")
    assert await tokens.principal(BOB) == Principal("bob", "user")
    assert await tokens.principal("nobodys-token-of-many-letters") is None


async def test_a_token_that_was_taken_away_is_refused(mounted: Mounted) -> None:
    """And one that came is taken, and one that was changed counts in its new form alone."""
    mounted.swap(1, ann=ANN, bob=BOB)
    tokens = TokenFolder(mounted.folder, mounted.now)
    mounted.swap(2, ann=ANN[::-1], carol="carols-token-of-24-letters")

    assert await tokens.principal(BOB) is None
    assert await tokens.principal(ANN) is None
    assert await tokens.principal(ANN[::-1]) == Principal("ann", "user")
    assert await tokens.principal("carols-token-of-24-letters") == Principal("carol", "user")


async def test_a_folder_that_goes_takes_its_tokens_with_it(mounted: Mounted) -> None:
    """Nobody is let in by what cannot be read."""
    mounted.swap(1, ann=ANN)
    tokens = TokenFolder(mounted.folder, mounted.now)
    mounted.folder.rename(mounted.folder.with_name("elsewhere"))
    mounted.time += LOOK_SECONDS

    assert await tokens.principal(ANN) is None


@pytest.mark.parametrize(
    "text", ["", "   ", "tiny-word", "fifteen-letters", "with a space in the middle", "umläut-token-of-letters"]
)
async def test_what_can_be_no_token_is_refused_in_words_without_it(
    mounted: Mounted, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    """Its name is logged, so that somebody mends it; the others count."""
    caplog.set_level(logging.ERROR)
    mounted.swap(1, ann=text, bob=BOB)
    tokens = TokenFolder(mounted.folder, mounted.now)

    assert await tokens.principal(text) is None
    assert await tokens.principal(BOB) == Principal("bob", "user")
    assert "'ann'" in caplog.text
    assert not text.strip() or text not in caplog.text


async def test_one_token_has_one_name(mounted: Mounted) -> None:
    """Two names of one token would make its user a matter of chance."""
    mounted.swap(1, ann=ANN, bob=ANN)
    tokens = TokenFolder(mounted.folder, mounted.now)

    assert await tokens.principal(ANN) == Principal("ann", "user")


def test_a_folder_that_is_not_there_is_a_wrong_setting(tmp_path: Path) -> None:
    """The setting is named."""
    with pytest.raises(InvalidArgument, match="FTF_TOKENS_DIR"):
        TokenFolder(tmp_path / "nothing")


@pytest.mark.parametrize("text", ["", "short"])
def test_a_token_file_without_a_good_token_is_a_wrong_setting(tmp_path: Path, text: str) -> None:
    """A server that nobody could call, or anybody, does not start."""
    (tmp_path / "token").write_text(text)

    with pytest.raises(InvalidArgument):
        read_token(tmp_path / "token")


def test_a_file_is_read_again_when_it_was_replaced(tmp_path: Path) -> None:
    """As the kubelet renews a ServiceAccount's token."""
    path = tmp_path / "token"
    path.write_text("old\n")
    file = FileText(path)
    before = file.read()
    (tmp_path / "new").write_text("new")
    os.replace(tmp_path / "new", path)

    assert (before, file.read()) == ("old", "new")


def test_two_programs_that_make_a_key_at_once_have_the_same(tmp_path: Path) -> None:
    """Or tokens of one would not be good at the other."""
    start = threading.Barrier(8)
    keys: list[bytes] = []

    def make() -> None:
        secrets = Secrets(tmp_path)
        start.wait()
        keys.append(secrets.key("signing.key"))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(keys) == 8
    assert len(set(keys)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["signing.key"]


def test_a_short_key_is_refused(tmp_path: Path) -> None:
    """It could be guessed. One that is not there is too."""
    (tmp_path / "key").write_bytes(b"k" * 31)

    with pytest.raises(InvalidArgument, match=r"shorter than 32 bytes.*signingKey of the chart"):
        read_key(tmp_path / "key")
    with pytest.raises(InvalidArgument, match=r"FTF_SIGNING_KEY_FILE to a readable file .signingKey of the chart"):
        read_key(tmp_path / "none")
