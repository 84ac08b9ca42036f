"""How the processes of a training talk to each other, with a real store and a thread for each process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch.distributed import TCPStore

from finetuneflow.common.v1 import worker_service_pb2
from services.common.errors import FineTuneFlowError, InvalidArgument, NotReady
from services.trainer.config import Group, read_group
from services.trainer.launcher import command
from services.trainer.places import Place, notes
from services.trainer.ranks import Ranks, connect
from services.trainer.reporter import Orders, Stopped, Terminated
from services.trainer.team import Elsewhere, Team
from services.trainer.trialscores import go_on_together
from services.trainer.watch import Watch
from tests.trainer.runs import QUICK, until

SIZE = 3


@pytest.fixture
def places(tmp_path: Path) -> Iterator[list[Place]]:
    """Three processes on two nodes: two on the first, one on the second."""
    server = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    yield [
        Place(rank=r, size=SIZE, local=(0, 1, 0)[r], master="127.0.0.1", port=server.port, folder=tmp_path)
        for r in range(SIZE)
    ]
    del server


@pytest.fixture
def ranks(places: list[Place]) -> list[Ranks]:
    """The three, connected."""
    return [Ranks(place, connect(place, QUICK), QUICK) for place in places]


def together(ranks: list[Ranks], action: Callable[[Ranks], Any]) -> list[Any]:
    """Let every process do something at once; return what each returned or raised."""

    def safely(team: Ranks) -> Any:
        try:
            return action(team)
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(ranks)) as pool:
        return list(pool.map(safely, ranks))


def test_what_the_leader_shares_and_decides_reaches_all(ranks: list[Ranks]) -> None:
    """Step after step, whatever the others would have decided."""
    shared = together(ranks, lambda team: team.share(b"spec" if team.leads else b"other"))
    decided = together(ranks, lambda team: [team.decide(step if team.leads else 99) for step in range(15)])

    assert shared == [b"spec"] * SIZE
    assert decided == [list(range(15))] * SIZE


def test_each_and_collect_bring_everything_together_by_rank(ranks: list[Ranks]) -> None:
    """Bytes come to the leader alone; what is done once on a node is known to all of that node."""
    each = together(ranks, lambda team: team.each(lambda: team.rank * 1.5))
    collected = together(ranks, lambda team: team.collect(bytes([team.rank]) * 10_000))
    on_node = together(ranks, lambda team: team.on_node(lambda: f"file of {team.rank}"))

    assert each == [[0.0, 1.5, 3.0]] * SIZE
    assert collected == [[bytes([r]) * 10_000 for r in range(SIZE)], [], []]
    assert on_node == ["file of 0", "file of 0", "file of 2"]


def test_an_evaluation_that_is_gathered_ends_for_all_after_the_same_batch(ranks: list[Ranks]) -> None:
    """Only the leader hears that the run was cancelled; SIGTERM to several waits for the training's next step."""
    orders = [Orders() for _ in range(SIZE)]
    orders[0].terminate()
    together(ranks, lambda team: go_on_together(orders[team.rank], team))
    orders[0].obey(worker_service_pb2.COMMAND_STOP)
    found = together(ranks, lambda team: go_on_together(orders[team.rank], team))

    assert [type(error) for error in found] == [Stopped] * SIZE


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (NotReady("The dataset is damaged.", reason="HASH_MISMATCH"), NotReady),
        (Stopped(), Stopped),
        (Terminated(), Terminated),
        (ValueError("what is not understood"), FineTuneFlowError),
    ],
)
def test_what_one_process_raises_ends_all_and_the_leader_knows_it(
    ranks: list[Ranks], raised: Exception, expected: type[Exception]
) -> None:
    """The others only learn that it is over."""

    def action(team: Ranks) -> Any:
        def part() -> None:
            if team.rank == 1:
                raise raised

        return team.each(part)

    found = together(ranks, action)

    assert type(found[0]) is expected
    assert [type(error) for error in found[1:]] == [Elsewhere, Elsewhere]
    if isinstance(raised, NotReady):
        assert (found[0].reason, found[0].message) == (raised.reason, raised.message)


def test_a_process_tells_why_it_ends_and_the_leader_how_the_work_ended(ranks: list[Ranks]) -> None:
    """The first word counts: the others only feel the consequences."""
    nothing = ranks[0].failure(0.05)
    ranks[2].fail(NotReady("Too little memory.", reason="INSUFFICIENT_MEMORY"))
    ranks[1].fail(FineTuneFlowError("The connection was closed."))
    told = ranks[0].failure(1)
    before = ranks[1].ended(0.05)
    ranks[0].end(3)

    assert nothing is None
    assert told is not None
    assert told.reason == "INSUFFICIENT_MEMORY"
    assert before is None
    assert [team.ended(1) for team in ranks] == [3, 3, 3]


def watched(place: Place, orders: Orders, lost: Callable[[int | None, FineTuneFlowError], None]) -> Watch:
    """A process's watch that loses patience after two seconds."""
    patience = replace(QUICK, silent=2.0)
    return Watch(place, connect(place, patience), patience, orders, lost)


def test_sigterm_anywhere_reaches_the_leader(places: list[Place]) -> None:
    """It may be another node that is drained."""
    orders = [Orders() for _ in range(SIZE)]
    for place, own in zip(places, orders, strict=True):
        watched(place, own, lambda code, error: None).start()
    orders[2].terminate()

    until(lambda: orders[0].terminating, 5)
    assert not orders[1].terminating


def test_a_process_that_shows_no_sign_of_life_is_lost(places: list[Place]) -> None:
    """A frozen node holds the others up for no longer than their patience; those that were let go do not mind."""
    lost: list[str] = []
    ended = threading.Event()

    def note(code: int | None, error: FineTuneFlowError) -> None:
        lost.append(error.message)
        ended.set()
        time.sleep(60)

    leader = watched(places[0], Orders(), note)
    for place in places[1:2]:
        watched(place, Orders(), lambda code, error: None).start()
    leader.start()

    assert ended.wait(10)
    assert lost == ["Process 2 of the training does not answer any more. The run goes on from its last checkpoint."]


def test_alone_everything_is_ones_own() -> None:
    """A training in one process pays nothing for the others that there are not."""
    team = Team()

    assert team.leads
    assert team.share(b"x") == b"x"
    assert team.each(lambda: 1) == [1]
    assert team.on_node(lambda: 2) == 2
    assert team.decide(3) == 3
    assert team.collect(b"y") == [b"y"]
    with pytest.raises(Stopped):
        team.each(stop)


def stop() -> None:
    """Do as a cancelled run does."""
    raise Stopped


def test_the_group_is_read_from_the_environment() -> None:
    """Nothing said is one process; several nodes must know where they meet."""
    several = {"FTF_PROCESSES": "8", "FTF_NODES": "2", "JOB_COMPLETION_INDEX": "1", "FTF_MASTER": "job-0.job:29500"}

    assert read_group({}) == Group()
    assert read_group({"FTF_PROCESSES": "", "FTF_NODES": "1", "JOB_COMPLETION_INDEX": "0"}) == Group()
    assert read_group(several) == Group(8, 2, 1, "job-0.job:29500")
    assert read_group(several).size == 16
    for wrong in ({"FTF_PROCESSES": "0"}, {"FTF_MASTER": "job-0"}, {"JOB_COMPLETION_INDEX": "2"}, {"FTF_NODES": "x"}):
        with pytest.raises(InvalidArgument):
            read_group({**several, **wrong})


def test_one_node_is_launched_by_accelerate_and_several_by_torchrun() -> None:
    """Each starts this same program, once for a GPU."""
    one = " ".join(command(Group(processes=8), "train"))
    many = " ".join(command(Group(8, 2, 1, "job-0.job:29500"), "train"))

    assert "accelerate.commands.launch --multi_gpu --num_processes 8" in one
    assert "torch.distributed.run --nnodes 2 --nproc-per-node 8 --node-rank 1" in many
    assert "--master-addr job-0.job --master-port 29500 --max-restarts 0" in many
    assert one.endswith("--module services.trainer train")
    assert many.endswith("--module services.trainer train")


def test_notes_are_read_by_process(places: list[Place]) -> None:
    """The launcher of a node knows its processes by their local numbers."""
    places[0].note("code", "0")
    places[1].note("code", "143")

    assert notes(places[0].folder, "code") == {0: "0", 1: "143"}
    assert notes(places[0].folder, "pid") == {}
