"""One container of a pod: image, environment, start, probes, restarts, end."""

from __future__ import annotations

import asyncio
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.cluster.bed import environment, probes
from tests.cluster.bed.api import AWAY, ApiError
from tests.cluster.bed.podlogs import log_path
from tests.cluster.bed.process import ContainerProcess
from tests.cluster.bed.statuses import ContainerState

if TYPE_CHECKING:
    from tests.cluster.bed.podworker import PodWorker

Json = dict[str, Any]
MESSAGE_BYTES = 4096
LONGEST_BACKOFF = 10.0  # seconds; a real kubelet's grows to five minutes


class Container:
    """Runs one container, again and again as the pod's restartPolicy says."""

    def __init__(self, worker: PodWorker, spec: Json, state: ContainerState) -> None:
        """Nothing runs yet."""
        self._worker, self._spec, self.state = worker, spec, state
        self._process: ContainerProcess | None = None
        self._env: dict[str, str] = {}
        self._folder: Path = worker.folder / "containers" / spec["name"]
        self._init = state in worker.state.init
        self._deadline = float("inf")
        self._life: asyncio.Task[int] | None = None

    @property
    def pid(self) -> int:
        """The process on this machine; 0 if none lives."""
        return self._process.pid if self._process and self._process.code is None else 0

    def writes(self, life: int) -> bool:
        """Whether more may come into the log of one of its lives."""
        return life == self.state.restarts and self._life is not None and not self._life.done()

    def log(self, life: int = -1) -> Path:
        """Return the log of one of its lives, the first of which is 0; without a number of the present one."""
        return log_path(self._worker.folder, self.state.name, self.state.restarts if life < 0 else life)

    async def run(self) -> int:
        """Run it until it has ended for good, and return its exit code; for an init container, after each end."""
        backoff = self._worker.host.backoff
        while True:
            await self._begin()
            assert self._life is not None
            code = await asyncio.shield(self._life)
            policy = self._worker.state.policy
            again = policy == "Always" or (policy == "OnFailure" and code != 0)
            if self._init and (code == 0 or policy == "Never"):
                return code
            if not again and not self._init:
                return code
            self.state.last = self.state.state
            self.state.restarts += 1
            if self.state.restarts > 1:
                message = f"back-off {backoff:g}s restarting failed container={self.state.name}"
                self.state.waiting("CrashLoopBackOff", message)
                self._worker.changed()
                await asyncio.sleep(backoff)
                backoff = min(backoff * 2, LONGEST_BACKOFF)

    async def _begin(self) -> None:
        """Start it, at the latest when what it lacks has come."""
        failures = 0
        while True:
            image = self._worker.host.images.get(self.state.image)
            if image is None:
                await self._no_image(failures)
                failures += 1
            else:
                try:
                    await self._start(image)
                    return
                except environment.ConfigError as error:
                    if self.state.waiting("CreateContainerConfigError", str(error)):
                        await self._worker.host.event(self._worker.pod, "Failed", f"Error: {error}")
                except (ApiError, *AWAY) as error:
                    print(f"{self._worker.uid}/{self.state.name} is not started: {error!r}", file=sys.stderr)
            self._worker.changed()
            await asyncio.sleep(1)

    async def _no_image(self, failures: int) -> None:
        """Say that the image cannot be pulled: as an error at first, as a pause after it."""
        name = self.state.image
        if failures % 5:
            self.state.waiting("ImagePullBackOff", f'Back-off pulling image "{name}"')
            return
        message = f'failed to pull and unpack image "{name}": not found'
        self.state.waiting("ErrImagePull", message)
        await self._worker.host.event(self._worker.pod, "Failed", f'Failed to pull image "{name}": {message}')

    async def _start(self, image: Json) -> None:
        worker, spec = self._worker, self._spec
        base = worker.host.base_environment(worker.pod) | image.get("env", {})
        self._env = await environment.resolve(worker.pod, spec, worker.host.lookup, base)
        argv = environment.command(spec, image["command"], self._env)
        if not argv:
            raise environment.ConfigError("no command specified")
        (self._folder / "root").mkdir(parents=True, exist_ok=True)
        message = self._folder / "termination-log"
        message.write_bytes(b"")
        mounts = worker.volumes.mounts(spec, self._env) + worker.host.name_files(
            worker.pod, worker.state.ip, worker.folder
        )
        launch = {
            "root": str(self._folder / "root"),
            "mounts": mounts,
            "show": image.get("show", []),
            "readOnly": bool(spec.get("securityContext", {}).get("readOnlyRootFilesystem")),
            "hostname": self._env["HOSTNAME"],
            "workdir": spec.get("workingDir") or image.get("workdir") or "/",
            "terminationLog": str(message),
        }
        limit = spec.get("resources", {}).get("limits", {}).get("memory", 0)
        memory = int(environment.quantity(limit))
        self._process = ContainerProcess.start(launch, argv, self._env, self._folder, self.log(), memory)
        self._life = asyncio.create_task(self._follow(self._process))
        self._life.add_done_callback(self._told)

    def _told(self, life: asyncio.Task[int]) -> None:
        if not life.cancelled() and life.exception():
            traceback.print_exception(life.exception())

    async def _follow(self, process: ContainerProcess) -> int:
        """Note that it runs, watch it, and note how it ended."""
        await process.executed.wait()
        self.state.running()
        self.state.started = "startupProbe" not in self._spec
        self.state.ready = self._init or (self.state.started and "readinessProbe" not in self._spec)
        self._worker.changed()
        probing = asyncio.create_task(self._probe())
        code = await process.wait()
        probing.cancel()
        reason = "OOMKilled" if process.oom else "Completed" if code == 0 else "Error"
        if code == 127 and b" exec: " in self.log().read_bytes()[:200]:
            reason = "StartError"
        self.state.terminated(code, reason, self._message(code))
        self._worker.changed()
        return code

    def _message(self, code: int) -> str:
        """Return the termination message."""
        text = (self._folder / "termination-log").read_bytes()[:MESSAGE_BYTES]
        if not text and code and self._spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            lines = self.log().read_bytes()[-MESSAGE_BYTES:].splitlines()[-80:]
            text = b"\n".join(line.partition(b" ")[2] for line in lines)[-2048:]
        return text.decode(errors="replace")

    async def _probe(self) -> None:
        """Watch startup first, then liveness and readiness."""
        if self._init:
            return
        if "startupProbe" in self._spec:
            await self._one("startupProbe", self._say_started)
        checks = []
        if "livenessProbe" in self._spec:
            checks.append(self._one("livenessProbe", self._say_alive))
        if "readinessProbe" in self._spec:
            checks.append(self._one("readinessProbe", self._say_ready))
        await asyncio.gather(*checks)

    async def _one(self, name: str, say: Any) -> None:
        probe, process = self._spec[name], self._process
        assert process is not None

        async def once() -> bool:
            return await probes.passes(probe, self._spec, self._worker.state.ip, process, self._env)

        await probes.follow(probe, once, say)

    async def _say_started(self, good: bool) -> bool:
        if good:
            self.state.started = True
            self.state.ready = "readinessProbe" not in self._spec
            self._worker.changed()
            return False
        return await self._say_alive(False)

    async def _say_ready(self, good: bool) -> bool:
        self.state.ready = good
        self._worker.changed()
        return True

    async def _say_alive(self, good: bool) -> bool:
        """A container that fails its liveness probe is ended; its restartPolicy decides what follows."""
        if good:
            return True
        await self._worker.host.event(self._worker.pod, "Unhealthy", f"Container {self.state.name} failed its probe")
        grace = float(self._worker.pod["spec"].get("terminationGracePeriodSeconds", 30))
        # In a task of its own: the probe that asked ends with the container.
        self._ending = asyncio.create_task(self.terminate(grace))
        return False

    def hurry(self, grace: float) -> None:
        """Shorten the time that an end under way may take, in seconds from now."""
        self._deadline = min(self._deadline, asyncio.get_running_loop().time() + grace)

    async def terminate(self, grace: float) -> None:
        """End it: preStop, SIGTERM, and SIGKILL when the grace is over, which preStop shares."""
        process = self._process
        if process is None or process.code is not None:
            return
        loop = asyncio.get_running_loop()
        self._deadline = loop.time() + grace
        await process.executed.wait()
        hook = self._spec.get("lifecycle", {}).get("preStop", {})
        if "sleep" in hook:
            await asyncio.sleep(min(float(hook["sleep"]["seconds"]), grace))
        elif "exec" in hook:
            await process.execute(hook["exec"]["command"], self._env, grace)
        elif "httpGet" in hook:
            await probes.passes(
                {**hook, "timeoutSeconds": grace}, self._spec, self._worker.state.ip, process, self._env
            )
        process.signal(signal.SIGTERM)
        while loop.time() < self._deadline and not await process.ended(0.05):
            pass  # The deadline may come nearer meanwhile.
        self._deadline = float("inf")
        process.signal(signal.SIGKILL)
        if self._life:
            await self._life

    def kill(self) -> None:
        """End it at once."""
        if self._process:
            self._process.signal(signal.SIGKILL)

    def out_of_memory(self) -> bool:
        """Kill it as out of memory; False if it does not run."""
        if not self.pid or self._process is None:
            return False
        self._process.out_of_memory()
        return True
