"""A stand-in for the trainer program: speaks the worker contract through the trainer's own transport, trains nothing.

FAKE_TRAINER_PLAN names a JSON file: {"steps": 20, "step_seconds": 0.05, "save_steps": 5, "crash_at": 7 (first launch
only, SIGKILL on itself), "always_crash": true, "error": 9}. Every step reports one point with loss = 1 / step.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

from google.rpc import status_pb2

from finetuneflow.common.v1 import artifact_pb2
from finetuneflow.common.v1 import worker_service_pb2 as pb
from finetuneflow.export.v1 import export_pb2
from finetuneflow.training.v1 import run_pb2
from services.trainer.config import EXIT_TERMINATED, Patience, read_launch
from services.trainer.reporter import Orders, Reporter
from services.trainer.transfer import send
from services.trainer.worker import Worker


def upload(worker: Worker, folder: Path, filename: str, content: bytes, patience: Patience) -> artifact_pb2.Artifact:
    """Write one object and return it as an artifact."""
    path = folder / filename.replace("/", "-")
    path.write_bytes(content)
    granted = worker.grant(filename)
    send(path, granted.url, patience)
    digest = hashlib.sha256(content).hexdigest()
    return artifact_pb2.Artifact(filename=filename, size_bytes=len(content), sha256=digest, key=granted.key)


def main(kind: str) -> int:
    """Do as the plan says; return the exit code."""
    plan = json.loads(Path(os.environ["FAKE_TRAINER_PLAN"]).read_text())
    launch = read_launch(os.environ)
    patience = Patience(begin=60, call=60, drain=60, flush=0.05, heartbeat=0.2, backoff_last=0.5)
    if plan.get("always_crash"):
        sys.stderr.write("boom\n")
        return 7
    worker = Worker(launch, patience, superseded=lambda: os._exit(4))
    begun = worker.begin()
    folder = launch.folder / f"attempt-{begun.attempt}"
    folder.mkdir(parents=True, exist_ok=True)
    orders = Orders()
    signal.signal(signal.SIGTERM, lambda *_: orders.terminate())
    reporter = Reporter(worker, folder, begun.last_seq, patience, orders)
    reporter.start()
    sys.stdout.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ')} INFO  attempt {begun.attempt}\n")
    sys.stdout.flush()
    if "error" in plan:
        error = status_pb2.Status(code=plan["error"], message="The plan says so.")
        worker.finish(pb.FinishAttemptRequest(error=error))
        return 3
    total = plan.get("steps", 10)
    reporter.phase("train", begun.checkpoint.step, total, "steps")
    for step in range(begun.checkpoint.step + 1, total + 1):
        time.sleep(plan.get("step_seconds", 0.02))
        reporter.metrics(step, total, {"loss": 1 / step, "attempt": begun.attempt})
        if orders.stopping:
            return 0
        if plan.get("crash_at") == step and begun.attempt == 1:
            reporter.drain()
            os.kill(os.getpid(), signal.SIGKILL)
        if step % plan.get("save_steps", 5) == 0 or orders.terminating:
            file = upload(worker, folder, f"checkpoint-{step}/state.bin", b"step %d" % step, patience)
            worker.complete_checkpoint(step, [file])
        if orders.terminating:
            reporter.drain()
            return EXIT_TERMINATED
    names = ["adapter_config.json", "adapter_model.safetensors", "report.md"] if kind == "train" else ["manifest.json"]
    artifacts = [upload(worker, folder, name, name.encode() * 1000, patience) for name in names]
    reporter.drain()
    request = pb.FinishAttemptRequest(artifacts=artifacts)
    request.result.Pack(run_pb2.RunResult(steps=total) if kind == "train" else export_pb2.ExportResult(prompts=1))
    worker.finish(request)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
