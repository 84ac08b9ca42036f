"""A stand-in for the trainer program: speaks the worker contract through the trainer's own transport, trains nothing.

It starts in a fifth of a second and takes 45 MB. FAKE_TRAINER_PLAN says what it does: JSON itself, the path of a JSON
file, or of a folder with <run id>.json or default.json. A plan in a file is read again at every step, so that a test
can let it go on.

    steps           optimizer steps in all; default: the run's max_steps, or 10
    step_seconds    of each step, 0.02
    save_steps      steps between checkpoints; default: the run's save_steps if its max_steps is set, or 5
    file_bytes      size of each checkpoint's file, 7
    crash_at        SIGKILL on itself after that step
    exit_at         exit after that step, with `exit_code`, 1
    allocate_at     take `allocate_mb` MiB of memory after that step, 1024, and keep them
    hang_at         do nothing more after that step but live, for as long as the plan says so
    faulty          of the four above: attempts that do so, 1 (the first alone)
    deaf            ignore SIGTERM
    unsaved         after SIGTERM say that the checkpoint could not be stored, and exit with 1
    always_crash    write "boom" and exit with 7, before anything else
    error           finish with this google.rpc code and exit with 3, at the beginning, or after the step `error_at`
    answers         rows of the artifact answers.jsonl; without, there is none
    error_reason    with code 9, and this reason
    chat            "cannot": the models cannot be loaded; "dies": exit with 7 at the first question

Asked as a chat's process, it answers each question with who is asked and the question, in two pieces; "go on" without
an end, until nobody waits for it, and "refuse" not at all.

Every step reports one point with loss = 1 / step and the attempt. After SIGTERM it saves a checkpoint, says so and
exits with 143. FAKE_TRAINER_PATIENCE shortens or lengthens how long it waits for the service, in seconds (60).
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.rpc import status_pb2

from finetuneflow.common.v1 import artifact_pb2
from finetuneflow.common.v1 import worker_service_pb2 as pb
from finetuneflow.export.v1 import export_pb2
from finetuneflow.training.v1 import chat_pb2, chat_worker_service_pb2, run_pb2
from services.common.errors import InvalidArgument, NotReady, Unavailable
from services.common.statuses import to_status
from services.trainer.chat import Line
from services.trainer.config import (
    EXIT_DONE,
    EXIT_NEVER,
    EXIT_RETRY,
    EXIT_SUPERSEDED,
    EXIT_TERMINATED,
    Patience,
    read_launch,
)
from services.trainer.reporter import Orders, Reporter
from services.trainer.transfer import send
from services.trainer.worker import Worker

Plan = dict[str, Any]


def read_plan(environment: Mapping[str, str]) -> Plan:
    """Return what to do now."""
    text = environment.get("FAKE_TRAINER_PLAN", "{}")
    if not text.startswith("{"):
        path = Path(text)
        if path.is_dir():
            own = path / f"{environment['FTF_WORK'].rpartition('/')[2]}.json"
            path = own if own.exists() else path / "default.json"
        text = path.read_text() if path.exists() else "{}"
    return dict(json.loads(text or "{}"))


def say(text: str) -> None:
    """Write a line of the log, as the trainer does."""
    sys.stdout.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} INFO  {text}\n")
    sys.stdout.flush()


class Attempt:
    """One process's life."""

    def __init__(self, kind: str) -> None:
        wait = float(os.environ.get("FAKE_TRAINER_PATIENCE", "60"))
        self._patience = Patience(begin=wait, call=wait, drain=wait, flush=0.05, heartbeat=0.2, backoff_last=0.5)
        self._kind = kind
        self._launch = read_launch(os.environ)
        self._worker = Worker(self._launch, self._patience, superseded=lambda: os._exit(EXIT_SUPERSEDED))
        self._orders = Orders()
        self._kept: list[bytearray] = []

    def run(self) -> int:
        """Do as the plan says; return the exit code."""
        plan = read_plan(os.environ)
        signal.signal(signal.SIGTERM, signal.SIG_IGN if plan.get("deaf") else lambda *_: self._orders.terminate())
        begun = self._worker.begin(self._give_up)
        self._number = begun.attempt
        self._folder = self._launch.folder / f"attempt-{begun.attempt}"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._reporter = Reporter(self._worker, self._folder, begun.last_seq, self._patience, self._orders)
        self._reporter.start()
        say(f"attempt {begun.attempt}" + (f" from step {begun.checkpoint.step}" if begun.checkpoint.step else ""))
        if "error" in plan and "error_at" not in plan:
            return self._fail(plan)
        return self._train(self._defaults(begun) | plan, self._begins_at(begun))

    def _begins_at(self, begun: pb.BeginAttemptResponse) -> int:
        spec = run_pb2.TrainSpec()
        return 0 if begun.spec.Unpack(spec) and spec.weights_only else int(begun.checkpoint.step)

    def _fail(self, plan: Plan) -> int:
        self._reporter.drain()
        error = status_pb2.Status(code=plan["error"], message="The plan says so.")
        if reason := plan.get("error_reason"):
            error = to_status(NotReady(error.message, reason=reason))
        self._worker.finish(pb.FinishAttemptRequest(error=error))
        return EXIT_NEVER

    def _give_up(self) -> None:
        if self._orders.terminating:
            sys.exit(EXIT_TERMINATED)

    def _defaults(self, begun: pb.BeginAttemptResponse) -> Plan:
        spec = run_pb2.TrainSpec()
        if not begun.spec.Unpack(spec) or spec.config.max_steps < 1:
            return {"steps": 10, "save_steps": 5}
        return {"steps": spec.config.max_steps, "save_steps": spec.config.save_steps or 5}

    def _train(self, defaults: Plan, done: int) -> int:
        total = int(defaults["steps"])
        self._reporter.phase("train", done, total, "steps")
        for step in range(done + 1, total + 1):
            plan = defaults | read_plan(os.environ)
            time.sleep(plan.get("step_seconds", 0.02))
            self._reporter.metrics(step, total, {"loss": 1 / step, "attempt": self._number})
            if self._orders.stopping:
                return EXIT_DONE
            if self._number <= plan.get("faulty", 1):
                self._misbehave(plan, step)
            if step % plan["save_steps"] == 0 or (self._orders.terminating and not plan.get("unsaved")):
                self._save(step, int(plan.get("file_bytes", 7)))
            if plan.get("error_at") == step:
                return self._fail(plan)
            if self._orders.terminating and plan.get("unsaved"):
                self._fail({"error": 14})
                return EXIT_RETRY
            if self._orders.terminating:
                self._reporter.drain()
                say(f"saved step {step} after SIGTERM")
                return EXIT_TERMINATED
        return self._finish(total)

    def _misbehave(self, plan: Plan, step: int) -> None:
        if plan.get("crash_at") == step:
            self._reporter.drain()
            os.kill(os.getpid(), signal.SIGKILL)
            os._exit(137)  # process 1 of a container cannot kill itself
        if plan.get("exit_at") == step:
            self._reporter.drain()
            say(f"exit at step {step}")
            os._exit(plan.get("exit_code", 1))
        if plan.get("allocate_at") == step:
            self._reporter.drain()
            say(f"allocate at step {step}")
            for _ in range(plan.get("allocate_mb", 1024) // 16):
                self._kept.append(bytearray(os.urandom(4096) * 4096))
        while read_plan(os.environ).get("hang_at") == step and not (self._orders.terminating or self._orders.stopping):
            time.sleep(0.05)

    def _save(self, step: int, size: int) -> None:
        file = self._upload(f"checkpoint-{step}/state.bin", (b"step %d" % step).ljust(size, b"."))
        # As the trainer does: whoever goes on from here does not make these reports again.
        if self._reporter.stored(self._patience.call, look=0.02):
            self._worker.complete_checkpoint(pb.Checkpoint(step=step, files=[file], metrics={"loss": 1 / step}))

    def _upload(self, filename: str, content: bytes) -> artifact_pb2.Artifact:
        path = self._folder / filename.replace("/", "-")
        path.write_bytes(content)
        granted = self._worker.grant(filename)
        send(path, granted.url, self._patience)
        path.unlink()
        digest = hashlib.sha256(content).hexdigest()
        return artifact_pb2.Artifact(filename=filename, size_bytes=len(content), sha256=digest, key=granted.key)

    def _finish(self, total: int) -> int:
        trains = self._kind == "train"
        names = ["adapter_config.json", "adapter_model.safetensors", "report.md"] if trains else ["manifest.json"]
        request = pb.FinishAttemptRequest(artifacts=[self._upload(name, name.encode() * 1000) for name in names])
        if rows := read_plan(os.environ).get("answers"):
            lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
            request.artifacts.append(self._upload("answers.jsonl", lines))
        self._reporter.drain()
        took = run_pb2.RunResult(
            steps=total, device="cpu", device_name="Some CPU", training_peak_memory_bytes=5 * 10**9, train_seconds=7
        )
        request.result.Pack(took if trains else export_pb2.ExportResult(prompts=1))
        self._worker.finish(request)
        return EXIT_DONE


def converse() -> int:
    """Answer questions until nobody asks; return the exit code."""
    line, plan = Line(read_launch(os.environ)), read_plan(os.environ)
    line.spec()
    if plan.get("chat") == "cannot":
        line.say(0, failed=to_status(NotReady("The model is gone. Put it back.", reason="MODEL_NOT_FOUND")))
        line.close()
        return EXIT_NEVER
    line.say(0, loaded=chat_worker_service_pb2.Loaded(seconds=0.1))
    for ask in line.asks():
        if plan.get("chat") == "dies":
            say("out of everything")
            os._exit(7)
        _answer(line, ask)
    line.close()
    return EXIT_DONE


def _answer(line: Line, ask: chat_worker_service_pb2.Ask) -> None:
    for conversation in ask.conversations:
        side, question = conversation.side, conversation.messages[-1].content
        if question == "refuse":
            line.say(ask.number, failed=to_status(InvalidArgument("The chat template refuses it. Change it.")))
            return
        while question == "go on" and not line.is_stopped(ask.number):
            line.say(ask.number, piece=chat_pb2.AnswerPiece(side=side, text="on "))
            time.sleep(0.02)
        who = f"{chat_pb2.Side.Name(side)} of {len(conversation.messages)}: "
        for text in (who, question):
            line.say(ask.number, piece=chat_pb2.AnswerPiece(side=side, text=text))
        most = ask.sampling.max_new_tokens
        line.say(ask.number, answer=chat_pb2.ChatAnswer(side=side, text=who + question, tokens=most, cut=True))


def main(kind: str) -> int:
    """Live one attempt; return the exit code."""
    if read_plan(os.environ).get("always_crash"):
        sys.stderr.write("boom\n")
        return 7
    if kind == "chat":
        return converse()
    try:
        return Attempt(kind).run()
    except Unavailable as error:
        say(f"{error}")
        return EXIT_RETRY
    except NotReady as error:
        say(f"{error}")
        return EXIT_DONE if error.reason == "WORK_ENDED" else EXIT_NEVER


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
