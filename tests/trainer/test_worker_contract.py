"""The trainer's side of the worker contract, against a real gRPC server."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from finetuneflow.common.v1 import worker_service_pb2 as pb
from finetuneflow.training.v1 import run_pb2
from services.common.errors import InvalidArgument, NotReady, Unavailable
from services.common.trackers import secrets_of
from services.trainer.attempt import Attempt
from services.trainer.failures import explain
from services.trainer.logs import Log
from services.trainer.program import run
from services.trainer.reporter import Orders, Reporter, Silence
from services.trainer.worker import Superseded, Worker
from tests.fakes.worker_host import WorkerHost, attempt_token
from tests.trainer.runs import QUICK, launch, rows, train_spec, until, write_dataset

SPEC = run_pb2.TrainSpec(run="projects/p/runs/r")


@contextlib.contextmanager
def attempt(
    host: WorkerHost, folder: Path, orders: Orders | None = None, superseded: Callable[[], None] = lambda: None
) -> Iterator[Reporter]:
    """A reporter with its attempt begun."""
    folder.mkdir(parents=True, exist_ok=True)
    worker = Worker(launch(host, folder), QUICK, superseded)
    begun = worker.begin()
    reporter = Reporter(worker, folder, begun.last_seq, QUICK, orders or Orders())
    reporter.start()
    try:
        yield reporter
    finally:
        reporter.close()
        worker.close()


def test_reports_arrive_numbered_and_in_order(tmp_path: Path, objects: Path) -> None:
    """Metrics, lines and phases share one numbering that begins after what the service has."""
    with WorkerHost(objects, SPEC) as host, attempt(host, tmp_path) as reporter:
        reporter.phase("train", 0, 3, "steps")
        for step in (1, 2, 3):
            reporter.metrics(step, 3, {"loss": 1.0 / step})
        reporter.line("INFO", "x" * 5000)
        drained = reporter.drain()

    assert drained
    assert [r.seq for r in host.reports] == [1, 2, 3, 4, 5]
    assert [step for _, step, _ in host.curve()] == [1, 2, 3]
    assert len(host.lines()[0]) == 4096
    assert all(r.time.ToNanoseconds() > 0 for r in host.reports)


def test_a_service_that_is_away_costs_no_report_and_holds_nothing_up(tmp_path: Path, objects: Path) -> None:
    """Reports made meanwhile wait in the spool; after the service is back every one is stored once."""
    with WorkerHost(objects, SPEC) as host, attempt(host, tmp_path) as reporter:
        reporter.metrics(0, 0, {"loss": 0.0})
        until(lambda: host.last_seq == 1)
        host.go_away()
        began = time.monotonic()
        for step in range(1, 2501):
            reporter.metrics(step, 0, {"loss": float(step)})
        took = time.monotonic() - began
        host.come_back()
        drained = reporter.drain()

    assert drained
    assert took < 1.0
    assert [step for _, step, _ in host.curve()] == list(range(2501))
    assert max(host.batches) <= 1000


def test_reports_whose_acknowledgement_was_lost_are_sent_again_and_stored_once(tmp_path: Path, objects: Path) -> None:
    """The host stores a batch and breaks the connection before it says so, three times over."""
    with WorkerHost(objects, SPEC) as host, attempt(host, tmp_path) as reporter:
        host.drop_before_ack = 3
        for step in range(50):
            reporter.metrics(step, 50, {"loss": 1.0})
            time.sleep(0.005)
        drained = reporter.drain()

    assert drained
    assert host.repeated > 0
    assert [step for _, step, _ in host.curve()] == list(range(50))


def test_a_service_that_does_not_answer_is_connected_to_again(tmp_path: Path, objects: Path) -> None:
    """A stream that is open but silent for longer than `Patience.ack` is given up for a new one."""
    with WorkerHost(objects, SPEC) as host, attempt(host, tmp_path) as reporter:
        host.silent = True
        reporter.metrics(1, 1, {"loss": 1.0})
        until(lambda: host.calls.count("Report") >= 2)
        host.silent = False
        drained = reporter.drain()

    assert drained
    assert host.last_seq == 1


def test_batches_stay_within_the_contract(tmp_path: Path, objects: Path) -> None:
    """At most 256 KiB: long lines make many batches."""
    with WorkerHost(objects, SPEC) as host, attempt(host, tmp_path) as reporter:
        host.silent = True
        for _ in range(200):
            reporter.line("INFO", "x" * 4096)
        time.sleep(0.2)
        host.silent = False
        drained = reporter.drain()

    assert drained
    assert host.last_seq == 200
    assert max(host.batches) * 4096 < 256 * 1024


def test_commands_reach_the_work(tmp_path: Path, objects: Path) -> None:
    """They come down even when there is nothing to report; SAVE is taken once, STOP stays."""
    orders = Orders()
    with WorkerHost(objects, SPEC) as host, attempt(host, tmp_path, orders):
        host.command(pb.COMMAND_SAVE)
        host.command(pb.COMMAND_STOP)
        until(lambda: orders.stopping)

    assert [orders.take_save(), orders.take_save()] == [True, False]
    assert orders.stopping


def test_a_superseded_attempt_is_told_at_once(tmp_path: Path, objects: Path) -> None:
    """Both the stream and every other call say so."""
    told = threading.Event()
    with WorkerHost(objects, SPEC) as host, attempt(host, tmp_path, superseded=told.set):
        host.supersede()

        assert told.wait(5)
        worker = Worker(launch(host, tmp_path, pod="pod-9"), QUICK)
        worker.begin()
        host.supersede()
        with pytest.raises(Superseded):
            worker.grant("x")
        worker.close()


def test_numbering_goes_on_where_the_service_has_it(tmp_path: Path, objects: Path) -> None:
    """A second attempt continues the sequence; what the first did not deliver is not sent again."""
    with WorkerHost(objects, SPEC) as host:
        with attempt(host, tmp_path) as reporter:
            reporter.metrics(1, 2, {"loss": 1.0})
            reporter.drain()
        worker = Worker(launch(host, tmp_path, pod="pod-2"), QUICK)
        begun = worker.begin()
        worker.close()

    assert (begun.attempt, begun.last_seq, begun.token) == (2, 1, attempt_token(2))


def test_beginning_waits_for_a_service_that_is_away(tmp_path: Path, objects: Path) -> None:
    """Up to its patience; then it says so."""
    with WorkerHost(objects, SPEC) as host:
        host.go_away()
        back = threading.Timer(0.5, host.come_back)
        back.start()
        worker = Worker(launch(host, tmp_path), QUICK)
        begun = worker.begin()
        back.join()
        host.go_away()
        impatient = Worker(launch(host, tmp_path), replace(QUICK, begin=0.3))
        with pytest.raises(Unavailable):
            impatient.begin()
        worker.close()
        impatient.close()

    assert begun.attempt == 1


def test_work_that_has_ended_is_not_begun(tmp_path: Path, objects: Path) -> None:
    """The reason tells it apart from other refusals."""
    with WorkerHost(objects, SPEC) as host:
        host.ended = True
        worker = Worker(launch(host, tmp_path), QUICK)
        with pytest.raises(NotReady) as caught:
            worker.begin()
        worker.close()

    assert caught.value.reason == "WORK_ENDED"


def test_log_lines_go_up_without_secrets_and_without_tracebacks(
    tmp_path: Path, objects: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tokens and the signatures of URLs are taken out, on stdout as in the reports."""
    log = Log(["launch-token"])
    log.start()
    try:
        with WorkerHost(objects, SPEC) as host, attempt(host, tmp_path) as reporter:
            log.scrub.add(attempt_token(1))
            log.send_to(reporter)
            logger = logging.getLogger("services.trainer.test")
            logger.info("launch-token and %s", attempt_token(1))
            logger.info("Bearer abc.def at https://s3/bucket/key?X-Amz-Signature=123")
            try:
                raise ValueError("boom")
            except ValueError:
                logger.exception("it broke")
            reporter.drain()
            log.send_to(None)
    finally:
        log.stop()

    text = " ".join(host.lines())
    assert host.lines()[0] == "*** and ***"
    assert "abc.def" not in text
    assert "123" not in text
    assert "it broke (ValueError)" in host.lines()
    assert "Traceback" not in capsys.readouterr().out


def test_a_secret_that_ends_with_a_newline_is_taken_out() -> None:
    """As a variable that was read from a file; libraries use it without the newline. Blanks alone are no secret."""
    scrub = Log(["launch-token", "hf_of-a-file\n", " \n"]).scrub

    assert scrub("hf_of-a-file is no token, launch-token neither") == "*** is no token, *** neither"


def test_what_stands_before_a_trackers_host_is_a_secret() -> None:
    """In the log, and in what a library's exception or another process says: also its password alone, as it is sent."""
    environment = {
        "MLFLOW_TRACKING_URI": "https://user:p%40ss-word@host/x",
        "WANDB_API_KEY": "key-of-wandb",
        "WANDB_BASE_URL": "https://host",
        "PATH": "https://a:other@host",
    }
    scrub = Log(secrets_of(environment)).scrub
    raised = ConnectionError("https://user:p%40ss-word@host/x took neither p@ss-word nor key-of-wandb" + " x" * 300)
    ours = NotReady("It is key-of-wandb.", metadata={"url": "p@ss-word"})
    texts = [explain(raised, scrub).message, explain(ours, scrub).message, str(ours), ours.metadata["url"]]

    assert scrub("see s3://me:hidden@host/key") == "see s3://***@host/key"
    assert texts[0].startswith("The trainer failed: ConnectionError: https://***@host/x took neither *** nor *** x x")
    assert texts[1:] == ["It is ***.", "It is ***.", "***"]


def test_an_error_is_told_without_secrets(tmp_path: Path, objects: Path) -> None:
    """To the service, from where it would go into the run's document."""
    spec = train_spec(write_dataset(tmp_path / "data.jsonl", rows()), tmp_path / "missing")
    with WorkerHost(objects, spec) as host:
        code = run("train", launch(host, tmp_path / "work"), QUICK, Orders(), Log(["tiny"]))
        error = host.finished[-1].error

    assert code == 3
    assert error.message == "The folder of model *** is gone. Put it back."


def test_a_call_that_fails_in_passing_is_repeated(tmp_path: Path, objects: Path) -> None:
    """A service that is away, lost a race or broke is asked again; one that refuses is not."""
    with WorkerHost(objects, SPEC) as host:
        worker = Worker(launch(host, tmp_path), QUICK)
        worker.begin()
        code = grpc.StatusCode
        host.failures = [code.UNAVAILABLE, code.ABORTED, code.INTERNAL, code.UNKNOWN]
        granted = worker.grant("x")
        host.failures = [code.INVALID_ARGUMENT]
        with pytest.raises(InvalidArgument):
            worker.grant("x")
        worker.close()

    assert granted.key
    assert host.calls.count("GrantUpload") == 6


def test_fresh_urls_come_with_the_same_attempt_and_never_take_the_work_back(tmp_path: Path, objects: Path) -> None:
    """Asking again opens no attempt, also when a later one has taken over meanwhile."""
    with WorkerHost(objects, SPEC) as host:
        worker = Worker(launch(host, tmp_path), QUICK)
        begun = worker.begin()
        ours = Attempt(begun.attempt, tmp_path, worker, Silence(), Orders(), QUICK, None)
        fresh = ours.renewed(SPEC)
        host.supersede()
        with pytest.raises(Superseded):
            ours.renewed(SPEC)
        worker.close()

    assert fresh == SPEC
    assert host.pods == ["pod-1", "another-pod"]
