"""`ftf sweep`: what it starts, and what it refuses before it starts anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finetuneflow.training.v1 import config_pb2
from finetuneflow_client.cli import exits
from finetuneflow_client.cli.grammar.parser import build
from finetuneflow_client.cli.sweeping import combinations, overridden, words
from finetuneflow_client.errors import FtfError
from tests.fakes.client_server import served
from tests.service.test_client_cli import Ftf, filled, ftf, world

__all__ = ["ftf"]

SWEEP = ["sweep", "rates", "--max-steps", "40", "--vary", "learning-rate=1e-4,2e-4", "--vary", "r=8,16"]


async def test_a_sweep_starts_a_run_for_each_combination_and_compares_them(ftf: Ftf, tmp_path: Path) -> None:
    """Every run bears the sweep's label, and its settings are the common ones with its own."""
    async with served(world()) as server:
        await filled(server, ftf, tmp_path)
        before = set(server.world.runs)
        dry = await ftf(server, *SWEEP, "--dry-run")
        nothing = set(server.world.runs) == before
        started = await ftf(server, *SWEEP)
        compared = await ftf(server, "compare", "--sweep", "rates")
        none = await ftf(server, "compare", "--sweep", "other")
        runs = {name.rpartition("/")[2]: run for name, run in server.world.runs.items() if name not in before}

    assert (dry.code, nothing, started.code, compared.code) == (exits.OK, True, exits.OK, exits.OK)
    assert list(runs) == ["rates-1", "rates-2", "rates-3", "rates-4"]
    assert [(r.config.learning_rate, r.config.lora.r) for r in runs.values()] == [
        *((1e-4, 8), (1e-4, 16)),
        *((2e-4, 8), (2e-4, 16)),
    ]
    assert all(run.config.max_steps == 40 and run.meta.labels["sweep"] == "rates" for run in runs.values())
    assert "rates-3 learning_rate 2e-4, lora.r 8" in " ".join(started.out.split())
    assert compared.out.splitlines()[0].split() == list(runs)
    assert (none.code, none.err) == (exits.NOT_FOUND, "ftf: there is no sweep other — `ftf sweep` starts one\n")


async def test_one_combination_that_the_server_refuses_starts_none_of_the_runs(ftf: Ftf, tmp_path: Path) -> None:
    """Even if it is the last one: all are checked before the first begins."""
    async with served(world()) as server:
        await filled(server, ftf, tmp_path)
        before = set(server.world.runs)
        refused = await ftf(server, "sweep", "ranks", "--vary", "r=8,16,4096")
        after = set(server.world.runs)

    assert (refused.code, refused.out) == (exits.USAGE, "")
    assert "r is too large" in refused.err
    assert after == before


async def test_a_list_of_runs_is_a_sweep_of_pairs_and_of_lists(ftf: Ftf, tmp_path: Path) -> None:
    """Each run has the common settings with its own over them; a list is one value and replaces the common one."""
    listed = tmp_path / "runs.yaml"
    listed.write_text(
        "- {learning_rate: 2e-4, lora: {r: 8, target_modules: [q_proj, v_proj]}}\n"
        "- {learning_rate: 5e-5, lora: {r: 64}, lr_scheduler_type: linear}\n"
        "- {}\n",
        encoding="utf-8",
    )
    common = ["--max-steps", "40", "--target-modules", "k_proj"]
    async with served(world()) as server:
        await filled(server, ftf, tmp_path)
        before = set(server.world.runs)
        started = await ftf(server, "sweep", "pairs", *common, "--runs", str(listed))
        runs = {name.rpartition("/")[2]: run for name, run in server.world.runs.items() if name not in before}

    assert started.code == exits.OK
    assert list(runs) == ["pairs-1", "pairs-2", "pairs-3"]
    configs = [run.config for run in runs.values()]
    assert [(c.learning_rate, c.lora.r) for c in configs[:2]] == [(2e-4, 8), (5e-5, 64)]
    assert [list(c.lora.target_modules) for c in configs] == [["q_proj", "v_proj"], ["k_proj"], ["k_proj"]]
    assert all(run.config.max_steps == 40 and run.meta.labels["sweep"] == "pairs" for run in runs.values())
    told = [" ".join(line.split()) for line in started.out.splitlines()]
    assert "pairs-1 r 8; target_modules q_proj, v_proj; learning_rate 0.0002" in told
    assert "pairs-2 r 64; learning_rate 5e-05; lr_scheduler_type linear" in told
    assert "pairs-3 as given" in told


@pytest.mark.parametrize("words", [[], ["--runs", "runs.yaml", "--vary", "r=8,16"]])
def test_a_sweep_needs_combinations_or_a_list_and_not_both(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Said as any wrong command line is."""
    with pytest.raises(SystemExit) as left:
        build().parse_args(["sweep", "more", *words])

    assert left.value.code == exits.USAGE
    said = capsys.readouterr().err
    assert "--vary" in said
    assert "--runs" in said


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ("r: 8", "has no list of runs"),
        ("[]", "has no list of runs"),
        ("- 8", "run 1: it has no settings"),
        ("- {max_steps: 1}\n- {lora: {rank: 8}}", 'run 2: there is no setting "lora.rank" — did you mean'),
        ("- {max_steps: many}", "run 1: Failed to parse max_steps"),
        ("- {max_steps: 1}\n- {max_steps: 1}", "runs 1 and 2 are the same"),
        ("\n".join(f"- {{max_steps: {n}}}" for n in range(1, 66)), "these are 65 runs"),
        ("- {", "cannot be read"),
    ],
)
async def test_a_list_of_runs_that_makes_no_sense_is_refused(ftf: Ftf, tmp_path: Path, listed: str, said: str) -> None:
    """The run is named by its number in the file, and nothing is started."""
    (tmp_path / "runs.yaml").write_text(listed, encoding="utf-8")
    async with served(world()) as server:
        await filled(server, ftf, tmp_path)
        before = set(server.world.runs)
        refused = await ftf(server, "sweep", "pairs", "--runs", str(tmp_path / "runs.yaml"))
        after = set(server.world.runs)

    assert (refused.code, after) == (exits.USAGE, before)
    assert said in refused.err


@pytest.mark.parametrize(
    ("vary", "said"),
    [
        (["nonsense=1"], "there is no such setting"),
        (["r="], "no values"),
        (["r=8,8"], "the same twice"),
        (["r=8", "lora.r=16"], "is there twice"),
        (["r=" + ",".join(map(str, range(1, 66)))], "65 runs"),
        (["r=many"], "none of its values"),
        (["packing=perhaps"], "true or false"),
        (["method=magic"], "lora"),
    ],
)
def test_a_sweep_that_makes_no_sense_is_refused_with_the_remedy(vary: list[str], said: str) -> None:
    """Before the server hears of it."""
    with pytest.raises(FtfError) as refused:
        overridden(config_pb2.TrainingConfig(), combinations(vary)[0])

    assert said in f"{refused.value} {refused.value.remedy}"
    assert refused.value.code == "INVALID_ARGUMENT"


def test_values_are_read_by_their_types() -> None:
    """Numbers, switches, words of an enum and lists, each as its flag reads it."""
    found = combinations(["packing=true,no", "method=full", "lr-scheduler-type=linear"])
    config = overridden(config_pb2.TrainingConfig(packing=True), found[1])

    assert [words(each) for each in found] == [
        "packing true, method full, lr_scheduler_type linear",
        "packing no, method full, lr_scheduler_type linear",
    ]
    assert (config.packing, config.method) == (False, config_pb2.METHOD_FULL)
    assert config.lr_scheduler_type == "linear"


async def test_a_comparison_is_drawn_and_written_as_one_page(ftf: Ftf, tmp_path: Path) -> None:
    """The losses of all runs in one plot; the page has table and plots, fetches nothing, and quotes what it is told."""
    target = tmp_path / "rates.html"
    async with served(world()) as server:
        await filled(server, ftf, tmp_path)
        await ftf(server, *SWEEP)
        for number, run in enumerate(r for n, r in server.world.runs.items() if "rates-" in n):
            for step in range(1, 41):
                run.curve.add(step=step, total_steps=40, values={"loss": 3.0 / step + number})
            score = run.result.evaluation.generalise
            score.examples, score.base_loss, score.tuned_loss = 2, 3.0, 1.5 + number
            run.model = "models/<script>" if number == 0 else run.model
        compared = await ftf(server, "compare", "--sweep", "rates", "-o", str(target))
        nowhere = await ftf(server, "compare", "--sweep", "rates", "-o", str(tmp_path / "none" / "x.html"))
        told = await ftf(server, "compare", "--sweep", "rates", "--json")
    page = target.read_text(encoding="utf-8")

    assert (compared.code, told.code) == (exits.OK, exits.OK)
    assert "loss by step, 0 to 40" in compared.out
    assert "x rates-4" in compared.out
    assert all(compared.out.count(mark) > 10 for mark in "*o+x")
    assert len(json.loads(told.out)["runs"]) == 4
    assert page.count("<polyline") == page.count("<rect") == 4
    assert "2.5000" in page
    assert "<script" not in page
    assert "http" not in page
    assert "cannot be written" in nowhere.err
