"""ONNX graphs: of the real pretrained model, and of small models of several families."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from finetuneflow.export.v1 import export_pb2
from services.common.errors import NotReady
from services.common.optionalpart import ONNX
from services.trainer import onnxexport
from services.trainer.cards import proof_of, write_card
from services.trainer.model import source_of
from services.trainer.onnxgraph import Graph, write_graph
from tests.fakes.tiny_model import tiny_model
from tests.fakes.worker_host import WorkerHost
from tests.trainer.runs import run_here
from tests.trainer.test_export import folder_of, spec_of
from tests.trainer.test_gguf import TUNED
from tests.trainer.test_merge import adapted

pytestmark = [
    pytest.mark.model,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not ONNX.is_here(), reason='needs pip install "finetuneflow[onnx]"'),
]


def test_a_real_model_as_a_graph_answers_as_it_did(base: Path, adapter: Path, tmp_path: Path) -> None:
    """Within the bounds, the tuned model's own answers, by ONNX Runtime and by the card's program without torch."""
    out = tmp_path / "out"
    out.mkdir()
    result = onnxexport.export_onnx(source_of(str(base), ""), adapter, out, tmp_path / "scratch", lambda: None)
    write_card(out, "onnx", "smollm2", False, {}, proof_of(result))
    program = re.search(r"```python\n(.*?)```", (out / "README.md").read_text(), re.DOTALL)
    assert program is not None
    alone = "import sys\nsys.modules['torch'] = None\n" + program[1]
    said = subprocess.run([sys.executable, "-c", alone], cwd=out, capture_output=True, text=True, check=True).stdout

    assert result.onnx.max_logit_difference < result.onnx.logit_bound
    assert result.max_logit_difference < result.logit_bound
    assert result.onnx.agreement > 0.99
    assert len(said.split()) > 3


def test_an_export_as_onnx_is_proven_by_running_it(tmp_path: Path) -> None:
    """From the spec to the uploaded files and their card: optimum's names, and no path of this machine."""
    model = tiny_model(tmp_path / "tiny")
    adapted(model, tmp_path / "adapter", **TUNED)
    spec = spec_of(model, tmp_path / "adapter", "FORMAT_ONNX")
    with WorkerHost(tmp_path / "objects", spec, work="projects/p/exports/x") as host:
        code = run_here(host, tmp_path / "work", command="export")
        assert code == 0
        folder = folder_of(host)
        result = export_pb2.ExportResult()
        host.finished[-1].result.Unpack(result)
    session = Graph(folder)._session
    inputs, outputs = ({v.name: v.shape for v in values} for values in (session.get_inputs(), session.get_outputs()))

    assert inputs["input_ids"] == inputs["position_ids"] == ["batch", "sequence"]
    assert inputs["attention_mask"] == ["batch", "total"]
    assert inputs["past_key_values.1.value"] == ["batch", 2, "past", 16]
    assert outputs.keys() == {"logits", *(name.replace("past_key_values", "present") for name in inputs if "." in name)}
    assert {path.name for path in folder.iterdir()} >= {"model.onnx", "model.onnx_data", "chat_template.jinja"}
    assert 0 < result.onnx.max_logit_difference < result.onnx.logit_bound
    assert result.max_logit_difference < result.logit_bound == 1e-3
    assert "onnxruntime" in (folder / "README.md").read_text()
    assert all(str(tmp_path).encode() not in path.read_bytes() for path in folder.iterdir())


def test_a_graph_that_was_damaged_is_refused(tmp_path: Path) -> None:
    """Some of its weights are changed between writing and reading back, as a bad disk would."""
    model = tiny_model(tmp_path / "tiny")
    adapted(model, tmp_path / "adapter", **TUNED)
    out = tmp_path / "out"
    out.mkdir()

    def check() -> None:
        path = out / "model.onnx_data"
        if path.exists():
            data = path.read_bytes()
            path.write_bytes(data[:40_000] + bytes(4_000) + data[44_000:])

    with pytest.raises(NotReady) as caught:
        onnxexport.export_onnx(source_of(str(model), ""), tmp_path / "adapter", out, tmp_path / "scratch", check)

    assert caught.value.reason == "ACCEPTANCE_FAILED"


SMALL: dict[str, dict[str, Any]] = {"Gemma3Text": {"sliding_window": 8}, "GPT2": {}}


@pytest.mark.parametrize("family", SMALL)
def test_a_small_model_of_a_family_answers_the_same_beyond_its_window(tmp_path: Path, family: str) -> None:
    """Prompts of different lengths, alone and padded, and 16 further tokens with the cache; windows are of 8 tokens."""
    import torch
    import transformers

    shape = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
    own = {} if family == "GPT2" else {**shape, "hidden_size": 64, "intermediate_size": 96}
    sizes = {"n_embd": 64, "n_layer": 2, "n_head": 4} if family == "GPT2" else {}
    config = getattr(transformers, f"{family}Config")(vocab_size=128, eos_token_id=2, **own, **sizes, **SMALL[family])
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    for parameter in (p for p in model.parameters() if p.dim() > 1):
        torch.nn.init.normal_(parameter, std=0.1)
    write_graph(model, tmp_path)
    graph = Graph(tmp_path)
    prompts = [torch.randint(3, 128, (length,)).tolist() for length in (1, 5, 30)]
    more = torch.randint(3, 128, (16,)).tolist()
    with torch.no_grad():
        expected = [model(torch.tensor([prompt + more])).logits[0] for prompt in prompts]
    found = [graph.follow(prompt, more) for prompt in prompts]
    padded = graph.padded(prompts)

    for place, prompt in enumerate(prompts):
        assert float((expected[place] - found[place]).abs().max()) < 1e-4
        assert float((expected[place][: len(prompt)] - padded[place]).abs().max()) < 1e-4
