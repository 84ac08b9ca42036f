"""The bed itself, on the real control plane: pods are processes, with what their specification gives them."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest

from tests.cluster.bed.cluster import Bed
from tests.cluster.bed.nodes import BedNode
from tests.cluster.bed.waits import until
from tests.cluster.manifests import container, job, log, phase, pod, python, run, start, terminated, waiting

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("node")]

Json = dict[str, Any]


def secret(name: str, **texts: str) -> Json:
    """Return a Secret."""
    return {"metadata": {"name": name}, "data": {k: base64.b64encode(v.encode()).decode() for k, v in texts.items()}}


async def test_a_job_becomes_a_process_and_completes(bed: Bed, space: str, node: BedNode) -> None:
    """From the Job to the process in less than two seconds, and to Complete when it ends."""
    begun = time.monotonic()
    await bed.raw.create("batch/v1/jobs", space, job("hello", pod(container("sh", "-c", "echo hello; echo there"))))

    async def logs() -> str:
        pods = await bed.raw.list("pods", space, labelSelector="job-name=hello")
        return await log(bed, space, pods[0]["metadata"]["name"]) if pods else ""

    text = await until(logs, "the process wrote", 20, poll=0.02)
    latency = time.monotonic() - begun
    memory = {part.name: f"{part.memory() >> 20} MiB" for part in (bed.control.program, bed.cluster.dns, node.program)}
    print(f"\nJob create → first line read: {latency:.2f} s; bed up in {bed.cluster.seconds:.1f} s; {memory}")

    async def complete() -> bool:
        found = await bed.raw.get("batch/v1/jobs", space, "hello")
        return bool(found["status"].get("succeeded") == 1)

    assert text == "hello\nthere\n"
    assert latency < 2
    assert await until(complete, "the Job is complete", 15)


async def test_the_environment_comes_from_values_secrets_configmaps_and_the_pod(bed: Bed, space: str) -> None:
    """Also $(NAME) in values and arguments, and nothing of this machine's own environment."""
    await bed.raw.create("secrets", space, secret("keys", token="hush"))
    await bed.raw.create("configmaps", space, {"metadata": {"name": "more"}, "data": {"COLOUR": "blue"}})
    fields = {"NAME": "metadata.name", "UID": "metadata.uid", "IP": "status.podIP", "TEAM": "metadata.labels['team']"}
    env = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()]
    env.append({"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}})
    env.append({"name": "LISTEN", "value": "$(IP):9000 $$(IP)"})
    program = "import json, os, sys; print(json.dumps([dict(os.environ), sys.argv[1:]]))"
    main = python(program, "--at=$(NAME)", env=env, envFrom=[{"configMapRef": {"name": "more"}}])
    found, text = await run(bed, space, pod(main), labels={"team": "red"})
    seen, arguments = json.loads(text)

    assert seen["UID"] == found["metadata"]["uid"]
    assert seen["LISTEN"] == f"{found['status']['podIP']}:9000 $(IP)"
    assert (seen["TOKEN"], seen["COLOUR"], seen["TEAM"], seen["HOSTNAME"]) == ("hush", "blue", "red", "one")
    assert arguments == ["--at=one"]
    assert "FTF_IN_BED" not in seen


async def test_volumes_lie_at_their_paths_and_the_root_can_be_read_only(bed: Bed, space: str) -> None:
    """Secrets are files, an init container's files are there, and the rest of the file system takes none."""
    await bed.raw.create("secrets", space, secret("keys", token="hush"))
    mounts = [{"name": "work", "mountPath": "/var/lib/work"}, {"name": "keys", "mountPath": "/etc/bed/keys"}]
    program = """
import os, pathlib
print(pathlib.Path("/var/lib/work/made").read_text(), pathlib.Path("/etc/bed/keys/token").read_text())
pathlib.Path("/var/lib/work/more").write_text("x")
for path in ("/made", "/usr/made", "/etc/bed/keys/made"):
    try:
        open(path, "w")
        print("written", path)
    except OSError as error:
        print(error.strerror)
print(sorted(os.listdir("/proc"), key=lambda n: (not n.isdigit(), n))[0], open("/etc/hosts").read().split()[-1])
"""
    main = python(program, volumeMounts=mounts)
    main["securityContext"] = main["securityContext"] | {"readOnlyRootFilesystem": True}
    init = container("sh", "-c", "printf made > /var/lib/work/made", name="init", volumeMounts=mounts[:1])
    volumes: list[Json] = [{"name": "work", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]
    volumes.append({"name": "keys", "secret": {"secretName": "keys", "defaultMode": 0o440}})
    found, text = await run(bed, space, pod(main, initContainers=[init], volumes=volumes))

    assert text.splitlines() == ["made hush", *["Read-only file system"] * 3, "1 one"]
    assert found["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 0


async def test_a_projected_token_is_for_its_audience_and_a_changed_secret_arrives(bed: Bed, space: str) -> None:
    """The token passes TokenReview for that audience; a Secret's volume follows the Secret within seconds."""
    await bed.raw.create("secrets", space, secret("keys", word="first"))
    token = {"serviceAccountToken": {"path": "token", "audience": "bed", "expirationSeconds": 600}}
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in ("token", "keys")]
    volumes: list[Json] = [{"name": "token", "projected": {"sources": [token]}}]
    volumes.append({"name": "keys", "secret": {"secretName": "keys"}})
    script = "cat /token/token; echo; while ! grep -q second /keys/word; do sleep 0.1; done; cat /keys/word"
    await start(bed, space, "one", pod(container("sh", "-c", script, volumeMounts=mounts), volumes=volumes))
    await phase(bed, space, "one", "Running")
    await bed.raw.patch("secrets", space, "keys", secret("keys", word="second"))
    await phase(bed, space, "one", "Succeeded")
    written, word = (await log(bed, space, "one")).splitlines()
    review = {"spec": {"token": written, "audiences": ["bed"]}}
    status = (await bed.raw.create("authentication.k8s.io/v1/tokenreviews", "", review))["status"]

    assert word == "second"
    assert status["authenticated"]
    assert status["user"]["username"] == f"system:serviceaccount:{space}:default"


async def test_a_claim_shows_the_folder_of_its_volume(bed: Bed, space: str) -> None:
    """A claim bound to a hostPath volume, read-only in the pod."""
    folder = bed.folder / f"models-{space}"
    folder.mkdir()
    (folder / "weights").write_text("heavy", encoding="utf-8")
    size, modes = {"storage": "1Gi"}, ["ReadOnlyMany"]
    reference = {"namespace": space, "name": "models"}
    volume: Json = {"capacity": size, "accessModes": modes, "hostPath": {"path": str(folder)}, "claimRef": reference}
    await bed.raw.create("persistentvolumes", "", {"metadata": {"name": f"pv-{space}"}, "spec": volume})
    claim = {"accessModes": modes, "resources": {"requests": size}, "storageClassName": "", "volumeName": f"pv-{space}"}
    await bed.raw.create("persistentvolumeclaims", space, {"metadata": {"name": "models"}, "spec": claim})
    mount = {"name": "models", "mountPath": "/models", "readOnly": True}
    volumes = [{"name": "models", "persistentVolumeClaim": {"claimName": "models"}}]
    main = container("sh", "-c", "cat /models/weights; touch /models/more || echo refused", volumeMounts=[mount])
    _, text = await run(bed, space, pod(main, volumes=volumes))

    assert "heavy" in text
    assert text.endswith("refused\n")


async def test_sigterm_then_grace_then_sigkill(bed: Bed, space: str, node: BedNode) -> None:
    """A program that saves in time ends in its own way; one that does not is killed when the grace is over."""
    saves = "trap 'printf saved > /dev/termination-log; exit 143' TERM; while :; do sleep 0.05; done"
    deaf = "trap '' TERM; while :; do sleep 0.05; done"
    results = {}
    for name, script, grace in (("saves", saves, 20), ("deaf", deaf, 1)):
        spec = pod(container("sh", "-c", script), terminationGracePeriodSeconds=grace)
        # The finalizer keeps the pod's last status readable.
        uid = (await start(bed, space, name, spec, finalizers=["bed/keep"]))["metadata"]["uid"]
        await phase(bed, space, name, "Running")
        begun = time.monotonic()
        await bed.raw.delete("pods", space, name)
        ended = await phase(bed, space, name, "Failed")
        results[name] = (time.monotonic() - begun, terminated(ended), (await node.pids())[uid])
        await bed.raw.patch("pods", space, name, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["bed/keep"]}})

    assert results["saves"][0] < 5
    assert (results["saves"][1]["exitCode"], results["saves"][1]["message"]) == (143, "saved")
    assert results["deaf"][1]["exitCode"] == 137
    assert results["deaf"][2] == {"main": 0}


async def test_too_much_memory_ends_a_container_as_oomkilled(bed: Bed, space: str, node: BedNode) -> None:
    """By its own limit, and at a test's wish."""
    greedy = python("x = b'x' * (1 << 29); import time; time.sleep(60)", resources={"limits": {"memory": "100Mi"}})
    by_limit, _ = await run(bed, space, pod(greedy), "greedy")
    uid = (await start(bed, space, "modest", pod(container("sleep", "60"))))["metadata"]["uid"]
    await phase(bed, space, "modest", "Running")
    await node.out_of_memory(uid)
    by_wish = await phase(bed, space, "modest", "Failed")

    for ended in (by_limit, by_wish):
        assert (terminated(ended)["exitCode"], terminated(ended)["reason"]) == (137, "OOMKilled")


async def test_what_is_missing_is_said_and_waited_for(bed: Bed, space: str) -> None:
    """An image, a Secret of the environment, a Secret of a volume: each with the kubelet's own reason."""
    await start(bed, space, "image", pod(container("true", image="bed/unknown:1")))
    entry = {"name": "X", "valueFrom": {"secretKeyRef": {"name": "late", "key": "x"}}}
    await start(bed, space, "config", pod(container("true", env=[entry])))
    mount = {"name": "late", "mountPath": "/late"}
    volumes = [{"name": "late", "secret": {"secretName": "late"}}]
    await start(bed, space, "mount", pod(container("cat", "/late/x", volumeMounts=[mount]), volumes=volumes))
    image = await waiting(bed, space, "image", "ImagePullBackOff")
    config = await waiting(bed, space, "config", "CreateContainerConfigError")

    async def failed_mount() -> list[Json]:
        return await bed.raw.list("events", space, fieldSelector="reason=FailedMount")

    events = await until(failed_mount, "an event of the volume")
    await bed.raw.create("secrets", space, secret("late", x="now"))
    bed.image("bed/unknown")
    for name in ("image", "config", "mount"):
        await phase(bed, space, name, "Succeeded")

    assert "bed/unknown:1" in image["message"]
    assert config["message"] == 'secret "late" not found'
    assert 'secret "late" not found' in events[0]["message"]
