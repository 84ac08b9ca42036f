"""What fits where in a cluster, over real gRPC; the Kubernetes API is a small HTTP server that answers two lists."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from aiohttp import web

from finetuneflow.hardware.v1 import hardware_service_pb2 as pb
from finetuneflow.training.v1 import resources_pb2
from services.common.channels import Peers
from services.training.peers import GrpcHardware
from tests.fakes.cluster_nodes import GPU_TAINT, H100, T4, container, node, pod
from tests.fakes.hardware import create, hardware
from tests.fakes.model_folder import model_files, write_folder
from tests.fakes.running import TOKEN, refusal

NODES = [
    node("h", H100, taints=[GPU_TAINT], nvidia_com__gpu="8"),
    node("t", T4, taints=[GPU_TAINT], nvidia_com__gpu="1", ready="Unknown"),
    node("c"),
]
PODS = [pod("h", container(nvidia_com__gpu="5", memory="1Gi"))]


class Api:
    """Answers as the Kubernetes API does; `status` is another than 200 when it is told to."""

    def __init__(self) -> None:
        self.status = 200
        self.queries: dict[str, Any] = {}

    async def handle(self, request: web.Request) -> web.Response:
        kind = request.path.rpartition("/")[2]
        self.queries[kind] = dict(request.query)
        if self.status != 200:
            return web.json_response({"message": f"{kind} is forbidden"}, status=self.status)
        return web.json_response({"items": NODES if kind == "nodes" else PODS})


@contextlib.asynccontextmanager
async def kubernetes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    """Serve the API on loopback, and let $KUBECONFIG lead there."""
    api = Api()
    app = web.Application()
    app.router.add_get("/api/v1/{kind}", api.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": f"http://{host}:{port}"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (folder / "kubeconfig").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(folder / "kubeconfig"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    try:
        yield api
    finally:
        await runner.cleanup()


async def test_the_inventory_is_the_clusters_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, with why one takes no runs; GPUs and sums count the others alone."""
    async with (
        kubernetes(tmp_path, monkeypatch) as api,
        hardware(tmp_path / "state", inventory="kubernetes") as (stub, _),
    ):
        found = await stub.GetInventory(pb.GetInventoryRequest())

    assert [(n.name, n.problem, n.gpus, n.gpus_free, n.bf16) for n in found.nodes] == [
        ("c", "", 0, 0, False),
        ("h", "", 8, 3, True),
        ("t", "not ready", 1, 1, False),
    ]
    assert found.nodes[1].compute_capability == "9.0"
    assert [(g.index, g.node, g.bf16, g.memory_free_bytes > 0) for g in found.gpus[3:6]] == [
        (3, "h", True, False),
        (4, "h", True, False),
        (5, "h", True, True),
    ]
    assert len(found.gpus) == 8
    assert found.cpu_cores == 15
    assert found.summary == "3 nodes, 2 of which take runs: 8 × NVIDIA-H100-80GB-HBM3; 3 of 8 free"
    assert api.queries["pods"]["fieldSelector"] == "status.phase!=Succeeded,status.phase!=Failed"


async def test_what_is_asked_for_decides_what_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU by its product, a CPU by the memory; the reasons say which."""
    template = tmp_path / "jobs.json"
    template.write_text(json.dumps({"image": "trainer", "runs": {"gpus": 1, "memory": "6Gi"}}))
    async with (
        kubernetes(tmp_path, monkeypatch),
        hardware(tmp_path / "state", inventory="kubernetes", job_template=template) as (stub, _),
    ):
        model = (await stub.CreateModel(create(write_folder(tmp_path / "m", model_files())))).name
        usual = await stub.EstimateMemory(pb.EstimateMemoryRequest(model=model))
        absent = await stub.EstimateMemory(
            pb.EstimateMemoryRequest(model=model, resources=resources_pb2.Resources(gpu_product="NVIDIA-B200"))
        )
        cpu = await stub.RecommendTraining(
            pb.RecommendTrainingRequest(model=model, resources=resources_pb2.Resources(gpus=0))
        )
        small = await stub.EstimateMemory(
            pb.EstimateMemoryRequest(model=model, resources=resources_pb2.Resources(gpus=0, memory="64Mi"))
        )
        gpu = await stub.RecommendTraining(pb.RecommendTrainingRequest(model=model))
        wrong = await refusal(
            stub.EstimateMemory(pb.EstimateMemoryRequest(model=model, resources=resources_pb2.Resources(memory="much")))
        )

    assert (usual.device, usual.fits, usual.available) == ("cuda", True, int((81559 << 20) * 0.95))
    assert "3 of 8 free on h" in usual.note
    assert (absent.available, absent.fits) == (0, True)
    assert (cpu.estimate.device, cpu.estimate.available, cpu.config.bf16) == ("cpu", int((6 << 30) * 0.9), False)
    assert cpu.reasons[0] == "Planned for a CPU and 6.0 GiB of memory, which the run asks for."
    assert not small.fits
    assert gpu.reasons[0].startswith("Planned for a NVIDIA-H100-80GB-HBM3")
    assert gpu.config.bf16
    assert wrong == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")


async def test_of_a_product_that_no_node_has_its_name_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool may grow from none; of a name that says nothing, nothing is claimed."""
    async with (
        kubernetes(tmp_path, monkeypatch),
        hardware(tmp_path / "state", inventory="kubernetes") as (stub, _),
    ):
        model = (await stub.CreateModel(create(write_folder(tmp_path / "m", model_files())))).name
        unknown, coming = [
            await stub.RecommendTraining(
                pb.RecommendTrainingRequest(model=model, resources=resources_pb2.Resources(gpus=1, gpu_product=product))
            )
            for product in ("In-House-9", "NVIDIA-A100-SXM4-40GB")
        ]

    assert (coming.config.bf16, coming.estimate.fits) == (True, True)
    assert "bf16 = true: the GPU computes in bfloat16." in coming.reasons
    assert not unknown.config.bf16
    assert any("whether the GPU has bfloat16 is not known" in reason for reason in unknown.reasons)


async def test_every_gpu_of_every_node_takes_its_share_of_a_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that a run gets without asking, too."""
    template = tmp_path / "jobs.json"
    template.write_text(json.dumps({"image": "trainer", "runs": {"gpus": 2}}))
    said = []
    async with (
        kubernetes(tmp_path, monkeypatch),
        hardware(tmp_path / "state", inventory="kubernetes", job_template=template) as (stub, _),
    ):
        model = (await stub.CreateModel(create(write_folder(tmp_path / "m", model_files())))).name
        for resources in ({}, {"gpus": 4, "nodes": 2}, {"gpus": 0, "nodes": 2}):
            found = await stub.RecommendTraining(
                pb.RecommendTrainingRequest(
                    model=model, train_examples=5000, resources=resources_pb2.Resources(**resources)
                )
            )
            config = found.config
            each = config.per_device_train_batch_size * config.gradient_accumulation_steps
            said.append((each, next(r for r in found.reasons if "examples a step" in r).split(": ")[1].split(";")[0]))

    assert said == [
        (8, "16 examples a step of 2 processes"),
        (2, "16 examples a step of 8 processes"),
        (8, "16 examples a step of 2 processes"),
    ]


async def test_what_a_run_has_on_each_node_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it asks for goes before what runs get; each GPU's process loads the model, a CPU's has it anyway."""
    template = tmp_path / "jobs.json"
    runs = {"gpus": 1, "memory": "6Gi", "ephemeralStorage": "50Gi"}
    template.write_text(json.dumps({"image": "trainer", "runs": runs}))
    found = []
    async with (
        kubernetes(tmp_path, monkeypatch),
        hardware(tmp_path / "state", inventory="kubernetes", job_template=template) as (stub, _),
    ):
        model = (await stub.CreateModel(create(write_folder(tmp_path / "m", model_files())))).name
        for resources in ({}, {"gpus": 4, "memory": "64Gi", "ephemeral_storage": "100Gi"}, {"gpus": 0}):
            request = pb.EstimateRunRequest(model=model, resources=resources_pb2.Resources(**resources))
            found.append((await stub.EstimateRun(request)).node)
    usual, asked, cpu = found

    assert (usual.memory_bytes, usual.disk_bytes, usual.processes) == (6 << 30, 50 << 30, 1)
    assert (asked.memory_bytes, asked.disk_bytes, asked.processes) == (64 << 30, 100 << 30, 4)
    assert asked.loading_bytes.high == pytest.approx(4 * usual.loading_bytes.high)
    assert 0 < usual.loading_bytes.low < usual.loading_bytes.high
    assert usual.memory_limited
    assert not cpu.HasField("loading_bytes")


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        (403, (grpc.StatusCode.UNAVAILABLE, "CONFIGURATION")),
        (429, (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")),
        (500, (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")),
    ],
)
async def test_an_api_that_does_not_answer_is_a_typed_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, wanted: Any
) -> None:
    """And the next question is a new one."""
    async with (
        kubernetes(tmp_path, monkeypatch) as api,
        hardware(tmp_path / "state", inventory="kubernetes") as (stub, _),
    ):
        api.status = status
        refused = await refusal(stub.GetInventory(pb.GetInventoryRequest()))
        api.status = 200
        found = await stub.GetInventory(pb.GetInventoryRequest())

    assert refused == wanted
    assert len(found.nodes) == 3


async def test_a_run_computes_in_what_its_gpu_has_though_no_node_has_one_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool that begins with no node: the product's name tells; of one that is there, its node does."""
    products = ("NVIDIA-H200", "NVIDIA-H100-80GB-HBM3", "Tesla-T4", "Tesla-V100-SXM2-16GB", "In-House-9")
    async with (
        kubernetes(tmp_path, monkeypatch),
        hardware(tmp_path / "state", inventory="kubernetes") as (_, served),
    ):
        peers = Peers({"hardware": served.address}, lambda: TOKEN)
        found = [(await GrpcHardware(peers).gpus(product)).bf16 for product in products]
        await peers.close()

    assert found == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        (resources_pb2.Resources(gpus=1000), "gpus is 1000. Use 0 to 128."),
        (resources_pb2.Resources(gpus=-1), "gpus is -1. Use 0 to 128."),
        (resources_pb2.Resources(nodes=65), "nodes is 65. Use 1 to 64."),
    ],
)
async def test_nothing_is_recommended_for_more_than_a_run_can_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resources: resources_pb2.Resources, message: str
) -> None:
    """It would be refused, in the same words."""
    async with (
        kubernetes(tmp_path, monkeypatch),
        hardware(tmp_path / "state", inventory="kubernetes") as (stub, _),
    ):
        model = (await stub.CreateModel(create(write_folder(tmp_path / "m", model_files())))).name
        with pytest.raises(grpc.aio.AioRpcError, match=message) as refused:
            await stub.RecommendTraining(pb.RecommendTrainingRequest(model=model, resources=resources))

    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_what_runs_took_on_the_clusters_cpus_corrects_the_next_estimate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever their processors are called: before a run nobody knows which it will get."""
    async with (
        kubernetes(tmp_path, monkeypatch),
        hardware(tmp_path / "state", inventory="kubernetes") as (stub, _),
    ):
        model = (await stub.CreateModel(create(write_folder(tmp_path / "m", model_files())))).name
        fields: dict[str, Any] = {"train_examples": 40, "example_characters": [200, 300]}
        requests = [
            pb.EstimateRunRequest(model=model, **fields, resources=resources_pb2.Resources(gpus=0, memory=memory))
            for memory in ("", "8Gi")
        ]
        first = (await stub.EstimateRun(requests[0])).estimate
        for uid, processor in (("u1", "AMD EPYC 7B13"), ("u2", "Intel(R) Xeon(R) CPU @ 2.20GHz")):
            seconds = 2 * first.train_seconds.likely
            await stub.RecordMeasurement(
                pb.RecordMeasurementRequest(
                    run="r", uid=uid, estimate=first, device_name=processor, train_seconds=seconds
                )
            )
        second, asked = [(await stub.EstimateRun(request)).estimate for request in requests]

    assert first.note.startswith("No training has ended on cpu yet")
    assert second.note.startswith("Calibrated by 2 runs on cpu.")
    assert second.train_seconds.likely == pytest.approx(2 * first.train_seconds.likely)
    assert asked.calibration.runs == 2
