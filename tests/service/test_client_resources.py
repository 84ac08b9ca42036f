"""The client's resources against a real gRPC server: the flow in ten lines, and what goes wrong in it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from finetuneflow.dataset.v1 import dataset_service_pb2, llm_endpoint_pb2
from finetuneflow.ingest.v1 import project_pb2
from finetuneflow.training.v1 import config_pb2
from finetuneflow_client import DocumentsRefused, FineTuneFlow, FtfError, WorkFailed, WorkPaused
from finetuneflow_client.filling import filled
from finetuneflow_client.resources import Project
from tests.fakes.client_server import TOKEN, Serving, served
from tests.fakes.client_world import World
from tests.service.test_client_cli import documents


def connect(server: Serving) -> AbstractAsyncContextManager[FineTuneFlow]:
    """Connect with the token that the server knows."""
    return FineTuneFlow.connect(f"http://{server.address}", TOKEN, patience=2)


def world(**fields: object) -> World:
    """Return a world with one project."""
    return World(projects={"projects/p": project_pb2.Project(name="projects/p", display_name="P")}, **fields)


async def test_ten_lines_lead_from_documents_to_weights(tmp_path: Path) -> None:
    """Every step hands on what the next one needs, and the run's numbers come as it trains."""
    async with served(World(steps=6)) as server, connect(server) as ftf:
        llm = await ftf.llms.add("http://127.0.0.1:1/v1", "m")
        project = await ftf.projects.create("handbook")
        files = [(file.display_name, file.state) async for file in project.upload(documents(tmp_path))]
        dataset = await project.generate(llm=llm, max_examples=64)
        run = await project.train(dataset, model=str(tmp_path), num_train_epochs=4)
        metrics = [metric async for metric in run.watch()]
        export = await run.export("gguf", quantization="Q8_0")
        paths = await export.download(tmp_path / "out")

    assert sorted(files) == [("a.md", "succeeded"), ("b.txt", "succeeded")]
    assert (dataset.state, dataset.version, dataset.message.spec.max_examples) == ("succeeded", 1, 64)
    assert [metric.step for metric in metrics] == list(range(1, 7))
    assert all(metric.loss for metric in metrics)
    assert (run.state, export.state) == ("succeeded", "succeeded")
    assert {path.name for path in paths} >= {"model.safetensors", "attestation.json"}
    assert server.world.runs[run.name].config.num_train_epochs == 4


async def test_the_endpoint_of_a_url_and_a_model_is_used_whatever_its_id() -> None:
    """One that `ftf llm create` made is found by its id, and not made a second time under another; with a key it is."""
    url = "http://127.0.0.1:1/v1"
    async with served(world()) as server, connect(server) as ftf:
        endpoint = llm_endpoint_pb2.LlmEndpoint(base_url=url, model="m")
        request = dataset_service_pb2.CreateLlmEndpointRequest(llm_endpoint=endpoint, llm_endpoint_id="teacher")
        await ftf.services.dataset.CreateLlmEndpoint(request)
        found = [await ftf.llms.get("teacher"), await ftf.llms.add(url + "/", "m"), await ftf.llms.add(url, "m")]
        others = [await ftf.llms.add(url, "other"), await ftf.llms.add(url, "m", api_key="secret")]

    assert {llm.id for llm in found} == {"teacher"}
    assert "teacher" not in {llm.id for llm in others}


async def test_a_watch_has_no_gap_and_no_double_when_the_stream_is_cut(tmp_path: Path) -> None:
    """It goes on after the last seq; another program goes on after a seq that it was given."""
    async with served(world(steps=8)) as server, connect(server) as ftf:
        project = await ftf.projects.get("p")
        run = await project.train(await project.generate("m"), model=str(tmp_path))
        server.world.faults["stream cut"] = 1
        metrics = [metric async for metric in run.watch()]
        async for _ in run.watch(after_seq=metrics[4].seq):
            pass

    watched = [call for call in server.world.calls if call.startswith("WatchRun")]
    assert [metric.step for metric in metrics] == list(range(1, 9))
    assert watched == ["WatchRun after 0", "WatchRun after 3", "WatchRun after 5"]


async def test_the_artifacts_of_a_run_are_those_that_it_has_now(tmp_path: Path) -> None:
    """Not those that were told last; before it has ended there are none, and that is an error."""
    async with served(world()) as server, connect(server) as ftf:
        project = await ftf.projects.get("p")
        run = await project.train(await project.generate("m"), model=str(tmp_path))
        with pytest.raises(FtfError, match="no artifacts yet") as caught:
            await run.download(tmp_path / "out")
        await (await project.run(run.id)).wait()
        paths = await run.download(tmp_path / "out")

    assert (caught.value.code, caught.value.remedy) == ("FAILED_PRECONDITION", "wait() until it has succeeded")
    assert [path.relative_to(tmp_path / "out").as_posix() for path in paths] == [
        artifact.filename for artifact in run.message.artifacts
    ]
    assert paths


async def test_an_error_says_what_why_and_the_remedy(tmp_path: Path) -> None:
    """As an exception with code, reason, message and remedy; work that ends badly is one too."""
    async with served(world(faults={"llm away": 1, "trainer crashes": 1})) as server, connect(server) as ftf:
        with pytest.raises(FtfError) as missing:
            await ftf.projects.get("nothing")
        project = await ftf.projects.get("p")
        with pytest.raises(WorkPaused, match="LLM does not answer"):
            await project.generate("m")
        run = await project.train(await project.generate("m", id="again"), model=str(tmp_path))
        with pytest.raises(WorkFailed) as failed:
            await run.wait()

    assert (missing.value.code, missing.value.message) == ("NOT_FOUND", "projects/nothing does not exist")
    assert missing.value.remedy
    assert run.error is not None
    assert run.error.message == failed.value.message


async def test_a_project_that_is_there_is_an_error_unless_it_may_be() -> None:
    """As folders are."""
    async with served(world()) as server, connect(server) as ftf:
        found = await ftf.projects.create("p", exist_ok=True)
        made = await ftf.projects.create("q", exist_ok=True)
        with pytest.raises(FtfError) as caught:
            await ftf.projects.create("p")
        listed = [project.id async for project in ftf.projects.list()]

    assert (found.message.display_name, made.name) == ("P", "projects/q")
    assert caught.value.code == "ALREADY_EXISTS"
    assert listed == ["p", "q"]


async def test_documents_that_are_refused_do_not_stop_the_others(tmp_path: Path) -> None:
    """They are told at the end, each with its reason."""
    (tmp_path / "a.md").write_text("# A\n")
    told: list[tuple[str, int, int]] = []
    read: list[str] = []

    async def upload(project: Project) -> None:
        paths = tmp_path / "gone.md", tmp_path / "a.md"
        async for file in project.upload(*paths, progress=lambda *at: told.append(at)):
            read.append(file.display_name)  # noqa: PERF401  # what came before the error counts

    async with served(world()) as server, connect(server) as ftf:
        with pytest.raises(DocumentsRefused) as caught:
            await upload(await ftf.projects.get("p"))

    assert read == ["a.md"]
    assert told == [("a.md", 4, 4)]
    assert [error.message for error in caught.value.refused] == [caught.value.message]
    assert "gone.md" in caught.value.message


async def test_lists_are_read_page_by_page() -> None:
    """The server's pages hold two."""
    async with served(world()) as server, connect(server) as ftf:
        project = await ftf.projects.get("p")
        for number in range(5):
            await project.generate("m", id=f"d{number}")
        found = [dataset.id async for dataset in project.datasets()]

    assert found == [f"d{number}" for number in range(5)]


async def test_a_sweep_starts_a_run_for_each_combination(tmp_path: Path) -> None:
    """All are checked first; a list of its runs finds them by their label."""
    async with served(world()) as server, connect(server) as ftf:
        project = await ftf.projects.get("p")
        dataset = await project.generate("m")
        runs = await project.sweep(
            "s", dataset, model=str(tmp_path), vary={"learning_rate": [1e-4, 2e-4], "lora.r": [4, 8]}
        )
        found = [run.id async for run in project.runs(sweep="s")]

    assert [run.id for run in runs] == found == ["s-1", "s-2", "s-3", "s-4"]
    assert [(run.message.config.learning_rate, run.message.config.lora.r) for run in runs] == [
        (1e-4, 4),
        (1e-4, 8),
        (2e-4, 4),
        (2e-4, 8),
    ]


async def test_a_sweep_may_list_what_each_run_changes(tmp_path: Path) -> None:
    """Pairs of settings, and lists as values; not beside combinations, and not without runs."""
    listed = [{"learning_rate": 2e-4, "lora.r": 8}, {"lora": {"r": 64, "target_modules": ["q_proj", "v_proj"]}}]
    async with served(world()) as server, connect(server) as ftf:
        project = await ftf.projects.get("p")
        dataset = await project.generate("m")
        runs = await project.sweep("s", dataset, model=str(tmp_path), overrides=listed, learning_rate=5e-5)
        wrong: list[dict[str, Any]] = [{}, {"vary": {"lora.r": [8]}, "overrides": listed}, {"overrides": []}]
        refused = []
        for arguments in [*wrong, {"overrides": [{"max_steps": n} for n in range(65)]}]:
            with pytest.raises(FtfError) as caught:
                await project.sweep("t", dataset, model=str(tmp_path), **arguments)
            refused.append(f"{caught.value.code} {caught.value.message}")
        found = [run.id async for run in project.runs(sweep="s")]

    assert [run.id for run in runs] == found == ["s-1", "s-2"]
    configs = [run.message.config for run in runs]
    assert [(c.learning_rate, c.lora.r, list(c.lora.target_modules)) for c in configs] == [
        (2e-4, 8, []),
        (5e-5, 64, ["q_proj", "v_proj"]),
    ]
    assert refused == [
        *["INVALID_ARGUMENT a sweep needs one of vary and overrides"] * 2,
        "INVALID_ARGUMENT these are 0 runs",
        "INVALID_ARGUMENT these are 65 runs",
    ]


async def test_settings_take_the_words_of_the_contract() -> None:
    """A word of an enum, a mapping for a message, a dotted name for a field of it."""
    config = filled(
        config_pb2.TrainingConfig(),
        {"objective": "dpo", "lora": {"r": 4}, "lora.lora_alpha": 8, "loss_type": ["ipo"], "bf16": None},
    )

    assert config.objective == config_pb2.OBJECTIVE_DPO
    assert (config.lora.r, config.lora.lora_alpha, list(config.loss_type)) == (4, 8, ["ipo"])
    assert not config.HasField("bf16")


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"epochs": 3}, 'did you mean "num_train_epochs"'), ({"objective": "x"}, "sft"), ({"loss_type": "ipo"}, "a list")],
)
def test_a_setting_that_is_none_is_named(settings: dict[str, object], words: str) -> None:
    """With what is taken instead."""
    with pytest.raises(FtfError, match=words) as caught:
        filled(config_pb2.TrainingConfig(), settings)

    assert caught.value.code == "INVALID_ARGUMENT"
