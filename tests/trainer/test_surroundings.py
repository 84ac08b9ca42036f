"""The program in a pod: no home, no name, a read-only root, a last word."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.trainer.config import read_launch
from services.trainer.surroundings import last_word, prepare_libraries, settle_in


def test_without_a_home_the_work_folder_is_one(tmp_path: Path) -> None:
    """So that no library writes where it stands; one that can be written stays."""
    without: dict[str, str] = {}
    settle_in(without, tmp_path / "work")
    of_another = {"HOME": "/proc/1"}
    settle_in(of_another, tmp_path / "work")
    own = {"HOME": str(tmp_path)}
    settle_in(own, tmp_path / "work")

    assert without["HOME"] == of_another["HOME"] == str(tmp_path / "work" / "home")
    assert Path(without["HOME"]).is_dir()
    assert own == {"HOME": str(tmp_path)}


def test_the_last_word_goes_where_kubernetes_made_a_file(tmp_path: Path) -> None:
    """The first word counts, cut to 2,000 characters; without the file nothing is written."""
    made = tmp_path / "termination-log"
    made.touch()
    last_word("x" * 3000, made)
    last_word("A process ended.", made)
    last_word("Nothing there.", tmp_path / "none")
    last_word("No such folder.", tmp_path / "a" / "b")

    assert made.read_text() == "x" * 2000
    assert not (tmp_path / "none").exists()


def test_the_launch_token_is_read_from_a_mounted_secret(tmp_path: Path) -> None:
    """Kubernetes mounts symbolic links into a folder that it exchanges."""
    data = tmp_path / "secrets" / "..2026"
    data.mkdir(parents=True)
    (data / "launch_token").write_text("s3cr3t\n")
    (data / "launch_token").chmod(0o440)
    (tmp_path / "secrets" / "..data").symlink_to("..2026")
    (tmp_path / "secrets" / "launch_token").symlink_to("..data/launch_token")
    launch = read_launch(
        {
            "FTF_ADDRESS": "dns:///finetuneflow-training.ns.svc:9000",
            "FTF_WORK": "projects/p/runs/r",
            "FTF_SECRETS_DIR": str(tmp_path / "secrets"),
            "FTF_WORK_DIR": str(tmp_path / "work"),
            "FTF_POD_UID": "0b1c",
        }
    )

    assert (launch.token, launch.pod_uid) == ("s3cr3t", "0b1c")
    assert "s3cr3t" not in repr(launch)


@pytest.mark.parametrize(
    ("seen", "launched", "left"),
    [
        (None, False, "0"),
        ("0,1", False, "0"),
        ("GPU-5d1,GPU-9a2", False, "GPU-5d1"),
        ("3", False, "3"),
        ("", False, ""),
        ("0,1", True, "0,1"),
        (None, True, None),
    ],
)
def test_without_a_launcher_a_process_sees_one_gpu(seen: str | None, launched: bool, left: str | None) -> None:
    """The first of those that it may see, and none where it may see none; launched ones share all of them."""
    environment = {"WORLD_SIZE": "2"} if launched else {}
    if seen is not None:
        environment["CUDA_VISIBLE_DEVICES"] = seen
    prepare_libraries(environment, offline=True)

    assert environment.get("CUDA_VISIBLE_DEVICES") == left


@pytest.mark.skipif(os.getuid() != 0, reason="Only root may become a user without a name.")
def test_a_user_without_a_name_gets_one(tmp_path: Path) -> None:
    """Libraries ask for it and would fail."""
    pid = os.fork()
    if pid == 0:
        os.setuid(4_000_000_000)
        environment = {"HOME": "/tmp"}
        settle_in(environment, tmp_path)
        os._exit(0 if environment.get("USER") == "trainer" else 1)

    assert os.waitpid(pid, 0)[1] == 0
