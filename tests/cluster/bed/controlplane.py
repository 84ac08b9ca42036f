"""The control plane of the bed: etcd, API server, controllers and scheduler of a real Kubernetes, in one binary."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Literal

import yaml  # type: ignore[import-untyped]  # Comes with kubernetes, without types.

from tests.cluster.bed.programs import Program, wait_for

Component = Literal["kube-apiserver", "kube-controller-manager", "kube-scheduler"]
WATCHERS: tuple[Component, ...] = ("kube-controller-manager", "kube-scheduler")


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class ControlPlane:
    """A control plane in a folder of its own."""

    def __init__(self, binary: Path, folder: Path, restart_delay: float) -> None:
        """Start nothing yet.

        Args:
            folder: for etcd's data, certificates, logs and the kubeconfig.
            restart_delay: seconds that a component which was killed stays away.
        """
        self._folder = folder
        self.kubeconfig = folder / "admin.kubeconfig"
        self.outage = restart_delay
        self._missed = False
        delay = f"--restart-delay={restart_delay * 1000:.0f}ms"
        argv = [str(binary), f"--dir={folder}", f"--port={free_port()}", delay]
        self.program = Program(argv, folder.parent, "controlplane")

    def start(self) -> float:
        """Start it and wait until it is ready; return the seconds that took. Raises NotUp."""
        begun = time.monotonic()
        self._folder.mkdir(parents=True, exist_ok=True)
        self.program.start()
        wait_for("the control plane", self.ready, self.program)
        return time.monotonic() - begun

    def ready(self) -> bool:
        """Whether the API server answers /readyz."""
        if not self.kubeconfig.exists() or not (self._folder / "certs" / "apiserver.crt").exists():
            return False
        config = yaml.safe_load(self.kubeconfig.read_text(encoding="utf-8"))
        server, token = config["clusters"][0]["cluster"]["server"], config["users"][0]["user"]["token"]
        request = urllib.request.Request(f"{server}/readyz", headers={"Authorization": f"Bearer {token}"})
        with contextlib.suppress(OSError, urllib.error.URLError):
            tls = ssl.create_default_context(cafile=str(self._folder / "certs" / "apiserver.crt"))
            with urllib.request.urlopen(request, timeout=2, context=tls) as reply:
                return bool(reply.status == 200)
        return False

    def kill(self, component: Component) -> None:
        """Kill a component; it is back after `outage` seconds."""
        self._missed |= component == "kube-apiserver"
        wait_for(component, lambda: self._pid(component), self.program)
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(self._pid(component)), signal.SIGKILL)

    def _pid(self, component: Component) -> str:
        """Return its process's number; "" while that is being written."""
        return (self._folder / f"{component}.pid").read_text(encoding="utf-8")

    def renew(self) -> None:
        """After an outage of the API server, restart what watches it; otherwise do nothing.

        Each watch of client-go's pauses for longer and longer while the server is away, up to half a minute and more,
        and goes on only then: a pod made meanwhile may be given to a node that has gone. Raises NotUp.
        """
        if not self._missed:
            return
        wait_for("the API server", self.ready, self.program)
        old = {component: self._pid(component) for component in WATCHERS}

        def back() -> bool:
            return all(self._pid(component) not in ("", pid) for component, pid in old.items())

        for component in WATCHERS:
            self.kill(component)
        wait_for("the controllers", back, self.program, 90 + self.outage)
        self._missed = False

    def stop(self) -> None:
        """End it: the API server before etcd."""
        self.program.stop(15)
