"""Processes that a nursery forks: how they end, and how it does."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from services.common.confined.cold import Cold, child_environment
from services.common.confined.endings import Crashed, Killed, Overrun
from services.common.confined.limits import Limits
from services.common.confined.running import Command, Starter, run
from services.common.confined.warm import Warm

PROGRAM = "tests.fakes.confinedprogram"


@pytest.fixture
def warm() -> Iterator[Warm]:
    """A starter with the program loaded."""
    starter = Warm(child_environment(os.environ), [f"{PROGRAM}.__main__"])
    yield starter
    starter.close()


def command(folder: Path, code: str, variables: dict[str, str] | None = None) -> Command:
    """Return what runs a line of Python and answers the value of its name `found`."""
    (folder / "note").write_text(json.dumps({"code": code}))
    return Command(PROGRAM, folder / "note", variables or {})


async def at_work() -> tuple[psutil.Process, list[psutil.Process]]:
    """Wait for a child of a nursery and return both."""
    for _ in range(600):
        for nursery in psutil.Process().children():
            if found := nursery.children():
                return nursery, found
        await asyncio.sleep(0.02)
    raise AssertionError("no process was forked")


async def gone(pid: int) -> bool:
    """Whether a process ends soon; who is killed may need a moment."""
    for _ in range(250):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        await asyncio.sleep(0.02)
    return False


@pytest.mark.parametrize("kind", ["warm", "cold"])
async def test_a_process_of_either_kind_has_folder_session_and_variables(warm: Warm, tmp_path: Path, kind: str) -> None:
    """What was meant for another one, or for its parent, does not reach it."""
    starter: Starter = warm if kind == "warm" else Cold(child_environment(os.environ))
    seen = "os.getcwd(), os.getsid(0) == os.getpid(), os.environ.get('A'), os.listdir('/proc/self/fd')"
    look = f"import os; found = [{seen}]"

    first = await run(starter, command(tmp_path, look, {"A": "1"}), Limits())
    second = await run(starter, command(tmp_path, look), Limits())

    assert first["found"][:3] == [str(tmp_path), True, "1"]
    assert second["found"][2] is None
    assert len(second["found"][3]) == 4  # input, output, errors, and the folder that is being listed


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", Crashed),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", Killed),
        ("found = [bytes(1 << 30) for _ in range(2)]", Overrun),
        ("print('x' * (2 << 20))", Crashed),
    ],
)
async def test_its_end_is_told(warm: Warm, tmp_path: Path, code: str, error: type[Exception]) -> None:
    """By signal, by limit, by nonsense; and the next one runs."""
    with pytest.raises(error):
        await run(warm, command(tmp_path, code), Limits(memory_bytes=1 << 30))

    assert (await run(warm, command(tmp_path, "found = 1"), Limits()))["found"] == 1


async def test_no_process_does_two_commands(warm: Warm, tmp_path: Path) -> None:
    """The next one waits already, and is not the one that has done the last; nor does it matter if it was killed."""
    look = "import os; found = os.getpid()"

    first = (await run(warm, command(tmp_path, look), Limits()))["found"]
    _, waiting = await at_work()
    second = (await run(warm, command(tmp_path, look), Limits()))["found"]

    assert first != second
    assert [process.pid for process in waiting] == [second]


async def test_a_waiting_process_that_is_killed_is_replaced(warm: Warm, tmp_path: Path) -> None:
    """The command that it would have taken is done all the same."""
    await run(warm, command(tmp_path, "found = 0"), Limits())
    _, waiting = await at_work()
    waiting[0].kill()
    await gone(waiting[0].pid)

    assert (await run(warm, command(tmp_path, "found = 3"), Limits()))["found"] == 3


async def test_what_a_process_started_ends_with_it(warm: Warm, tmp_path: Path) -> None:
    """A program that a document's reader started does not stay behind."""
    code = "import subprocess; found = subprocess.Popen(['sleep', '60']).pid"

    found = await run(warm, command(tmp_path, code), Limits())

    assert await gone(found["found"])


async def test_a_nursery_that_is_killed_takes_its_children_along_and_is_followed_by_another(
    warm: Warm, tmp_path: Path
) -> None:
    """The work that ran is told to be killed, as if it had been alone."""
    running = asyncio.create_task(run(warm, command(tmp_path, "import time; time.sleep(60)"), Limits()))
    nursery, found = await at_work()
    nursery.send_signal(signal.SIGKILL)

    with pytest.raises(Killed):
        await running
    assert psutil.wait_procs(found, timeout=5)[1] == []
    assert (await run(warm, command(tmp_path, "found = 2"), Limits()))["found"] == 2


async def test_a_nursery_that_does_not_answer_is_no_hindrance_to_an_end(warm: Warm, tmp_path: Path) -> None:
    """It is killed, and its children with it."""
    running = asyncio.create_task(run(warm, command(tmp_path, "import time; time.sleep(60)"), Limits()))
    nursery, found = await at_work()
    nursery.suspend()
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert psutil.wait_procs(found, timeout=5)[1] == []
