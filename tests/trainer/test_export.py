"""Exports: written, read back, compared, or refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from finetuneflow.common.v1 import artifact_pb2
from finetuneflow.export.v1 import export_pb2
from services.common.errors import NotReady
from services.common.statuses import from_status
from services.trainer import merge
from services.trainer.acceptance import require_ends
from services.trainer.model import load_model, load_tokenizer, source_of
from services.trainer.transfer import sha256_file
from tests.fakes.worker_host import WorkerHost
from tests.trainer.runs import run_here

MANIFEST = {
    "schema": 1,
    "run": "projects/p/runs/r",
    "model": {"name": "models/tiny", "revision": ""},
    "config": {"r": 4},
}
TOKENIZER = {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """Folder of an adapter that changes the model visibly."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("adapter")
    torch.manual_seed(1)
    tuned = get_peft_model(
        AutoModelForCausalLM.from_pretrained(model),
        LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear"),
    )
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    tuned.save_pretrained(folder)
    return folder


@pytest.fixture(params=["FORMAT_ADAPTER", "FORMAT_MERGED"])
def exported(
    request: pytest.FixtureRequest, tmp_path: Path, objects: Path, model: Path, adapter: Path
) -> Iterator[Any]:
    """A finished export of each format."""
    with WorkerHost(objects, spec_of(model, adapter, request.param), work="projects/p/exports/x") as host:
        assert run_here(host, tmp_path / "work", command="export") == 0
        yield host


def spec_of(model: Path, adapter: Path, form: str) -> export_pb2.ExportSpec:
    """The spec of an export."""
    files = [adapter / name for name in merge.ADAPTER_FILES]
    return export_pb2.ExportSpec(
        export="projects/p/exports/x",
        format=export_pb2.Format.Value(form),
        model_location=str(model),
        adapter_files=[
            artifact_pb2.Artifact(filename=f.name, size_bytes=f.stat().st_size, sha256=sha256_file(f)) for f in files
        ],
        adapter_urls=[f.as_uri() for f in files],
        manifest_json=json.dumps(MANIFEST),
    )


def folder_of(host: WorkerHost) -> Path:
    """Where the export's files lie."""
    return host.artifact("manifest.json").parent


def logits(model: Any) -> Any:
    """What a model says to one fixed sequence."""
    import torch

    with torch.no_grad():
        return model.eval()(torch.arange(20, 60).unsqueeze(0)).logits


def test_an_export_answers_as_base_and_adapter_do(exported: WorkerHost, model: Path, adapter: Path) -> None:
    """Loaded by the libraries' plain calls from the exported files."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    tuned = logits(PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model), str(adapter)))
    plain = logits(AutoModelForCausalLM.from_pretrained(model))
    if exported.spec.format == export_pb2.FORMAT_MERGED:
        found = logits(AutoModelForCausalLM.from_pretrained(folder_of(exported)))
    else:
        found = logits(PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model), str(folder_of(exported))))
    result = export_pb2.ExportResult()
    exported.finished[-1].result.Unpack(result)

    assert float((tuned - plain).abs().max()) > 0.1
    assert float((tuned - found).abs().max()) < 1e-4
    assert result.max_logit_difference <= result.logit_bound <= 1e-3
    assert result.prompts == 4
    assert result.seconds > 0


def test_an_export_brings_tokenizer_template_card_and_manifest(exported: WorkerHost, model: Path) -> None:
    """The manifest has the hash of every other file; no path of this machine is in any of them."""
    folder = folder_of(exported)
    names = {a.filename for a in exported.finished[-1].artifacts}
    manifest = json.loads((folder / "manifest.json").read_text())

    assert names >= TOKENIZER | {"README.md", "manifest.json"}
    assert names & {"adapter_model.safetensors", "model.safetensors"}
    assert {f["filename"] for f in manifest["files"]} == names - {"manifest.json"}
    assert all(sha256_file(folder / f["filename"]) == f["sha256"] for f in manifest["files"])
    assert manifest["run"] == "projects/p/runs/r"
    assert (folder / "chat_template.jinja").read_bytes() == (model / "chat_template.jinja").read_bytes()
    assert "# tiny, fine-tuned" in (folder / "README.md").read_text()
    for name in ("README.md", "manifest.json", "adapter_config.json", "config.json"):
        assert not (folder / name).exists() or "/tmp" not in (folder / name).read_text()


def test_a_16_bit_base_gives_a_16_bit_merge(tmp_path: Path, model: Path, adapter: Path) -> None:
    """Only the rounding of the weights moves its logits; everything else is held to the bound of float32."""
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    base = tmp_path / "base"
    shutil.copytree(model, base)
    AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16).save_pretrained(base)
    out = tmp_path / "out"
    out.mkdir()
    result = merge.export_merged(source_of(str(base), ""), adapter, out, lambda: None)

    assert {t.dtype for t in load_file(out / "model.safetensors").values()} == {torch.bfloat16}
    assert 1e-3 < result.max_logit_difference < result.logit_bound


def damage_weights(out: Path) -> None:
    """Change one number of the written weights."""
    from safetensors.torch import load_file, save_file

    path = next(out.glob("*.safetensors"))
    tensors = load_file(path)
    name = sorted(tensors)[0]
    tensors[name].view(-1)[:64] += 0.5
    save_file(tensors, path, metadata={"format": "pt"})


def damage_template(out: Path) -> None:
    """Change the written chat template."""
    path = out / "chat_template.jinja"
    path.write_text(path.read_text().replace("user", "User") + " ")


def damage_ends(out: Path) -> None:
    """Let the generation settings lose their end token; the tokenizer where there are none."""
    path, name, other = out / "generation_config.json", "eos_token_id", None
    if not path.exists():
        path, name, other = out / "tokenizer_config.json", "eos_token", "<|im_start|>"
    settings = json.loads(path.read_text())
    assert settings[name] != other
    path.write_text(json.dumps({**settings, name: other}))


@pytest.mark.parametrize("damage", [damage_weights, damage_template, damage_ends])
@pytest.mark.parametrize("export", [merge.export_adapter, merge.export_merged])
def test_an_artifact_that_is_not_the_tuned_model_is_refused(
    tmp_path: Path, model: Path, adapter: Path, export: Callable[..., Any], damage: Callable[[Path], None]
) -> None:
    """Damaged between writing and reading back, as a bad disk would."""
    out = tmp_path / "out"
    out.mkdir()
    parts = iter(range(2))

    def check() -> None:
        if next(parts) == 1:
            damage(out)

    with pytest.raises(NotReady) as caught:
        export(source_of(str(model), ""), adapter, out, check)

    assert caught.value.reason == "ACCEPTANCE_FAILED"


def test_a_model_that_goes_on_after_an_end_token_is_refused(model: Path) -> None:
    """Of several each one has to stop it, by the model's own settings, whatever it would have said."""
    import torch

    source = source_of(str(model), "")
    tokenizer, tuned = load_tokenizer(source), load_model(source, torch.float32)
    tuned.generation_config.eos_token_id = [tokenizer.eos_token_id, 5, 6, 7, 8]
    require_ends(tuned, tokenizer)
    generate = tuned.generate
    tuned.generate = lambda **options: generate(**options, eos_token_id=[tokenizer.eos_token_id, 5, 6, 7])

    with pytest.raises(NotReady, match="goes on after an end token") as caught:
        require_ends(tuned, tokenizer)
    assert caught.value.reason == "ACCEPTANCE_FAILED"


def test_a_refused_export_uploads_nothing(tmp_path: Path, objects: Path, model: Path, adapter: Path) -> None:
    """An adapter of not-a-numbers cannot be accepted: exit code 3, the reason told, no object granted."""
    import torch
    from safetensors.torch import load_file, save_file

    sick = tmp_path / "sick"
    shutil.copytree(adapter, sick)
    tensors = {n: torch.full_like(t, float("nan")) for n, t in load_file(sick / "adapter_model.safetensors").items()}
    save_file(tensors, sick / "adapter_model.safetensors", metadata={"format": "pt"})
    with WorkerHost(objects, spec_of(model, sick, "FORMAT_ADAPTER")) as host:
        code = run_here(host, tmp_path / "work", command="export")

    assert code == 3
    assert from_status(host.finished[-1].error).reason == "ACCEPTANCE_FAILED"
    assert "GrantUpload" not in host.calls


def test_an_adapter_of_another_model_is_refused(tmp_path: Path, objects: Path, model: Path, adapter: Path) -> None:
    """The message says so, in one line."""
    from safetensors.torch import load_file, save_file

    other = tmp_path / "other"
    shutil.copytree(adapter, other)
    tensors = {n: t[:, :-1].contiguous() for n, t in load_file(other / "adapter_model.safetensors").items()}
    save_file(tensors, other / "adapter_model.safetensors", metadata={"format": "pt"})
    with WorkerHost(objects, spec_of(model, other, "FORMAT_MERGED")) as host:
        code = run_here(host, tmp_path / "work", command="export")
    error = from_status(host.finished[-1].error)

    assert code == 3
    assert error.reason == "MODEL_INVALID"
    assert "does not fit" in error.message
    assert "\n" not in error.message
