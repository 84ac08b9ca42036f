"""The output layer on a CPU: what is learnt is TRL's, and no other position is projected."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.trainer.test_packing import FAMILIES, GPT2, SIZES

LENGTH, LEARNT = 24, 7


@contextmanager
def projected(model: Any) -> Iterator[list[int]]:
    """The rows that the output layer took in each forward pass."""
    rows: list[int] = []
    hook = model.get_output_embeddings().register_forward_hook(
        lambda layer, inputs, out: rows.append(inputs[0].shape[:-1].numel())
    )
    yield rows
    hook.remove()


def scored(family: str, ours: bool) -> tuple[dict[str, Any], list[Any], list[int]]:
    """Return what the head said of two examples, the second one padded, the gradients, and the rows projected."""
    import torch
    import transformers
    from trl.trainer.utils import add_fused_lm_head

    from services.trainer.head import project_learnt_only

    torch.manual_seed(3)
    form = getattr(transformers, f"{family}Config")(**(GPT2 if family == "GPT2" else SIZES), pad_token_id=0)
    auto: Any = transformers.AutoModelForCausalLM
    model = auto.from_config(form, dtype=torch.float32).eval()
    add_fused_lm_head(model, outputs=("log_probs", "entropy", "is_top1"))
    if ours:
        project_learnt_only(model)
    ids = torch.randint(10, 500, (2, LENGTH))
    mask, labels = torch.ones_like(ids), ids.clone()
    labels[:, :-LEARNT] = -100
    labels[1, -2:], mask[1, -2:] = -100, 0
    with projected(model) as rows:
        out = model(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True)
    out.log_probs.sum().backward()
    said = {name: getattr(out, name).detach() for name in ("loss", "log_probs", "entropy", "is_top1", "label_mask")}
    return said, [weight.grad for weight in model.parameters()], rows


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_learnt_and_counted_is_what_trl_makes_of_it(family: str) -> None:
    """Loss, entropy, right tokens, every gradient; only places that have a label in some example are projected."""
    import torch

    ours, gradients, rows = scored(family, ours=True)
    theirs, expected, _ = scored(family, ours=False)

    assert rows == [2 * LEARNT]
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-5, atol=1e-5, msg=name)
    for found, wanted in zip(gradients, expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("room", ["ENTRIES", "TOKENS"])
def test_what_would_not_fit_stays_with_trl(room: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tiles never take more than they do; they do not go through the layer at all."""
    monkeypatch.setattr(f"services.trainer.head.{room}", 0)

    assert scored("Llama", ours=True)[2] == []


def test_a_batch_without_a_label_is_nothing_to_learn() -> None:
    """TRL makes a loss of 0 of it, with a gradient."""
    import torch
    import transformers
    from trl.trainer.utils import add_fused_lm_head

    from services.trainer.head import project_learnt_only

    auto: Any = transformers.AutoModelForCausalLM
    model = auto.from_config(transformers.LlamaConfig(**SIZES))
    add_fused_lm_head(model)
    project_learnt_only(model)
    ids = torch.randint(10, 500, (1, LENGTH))

    assert float(model(input_ids=ids, labels=torch.full_like(ids, -100), fused_lm_head=True).loss) == 0
