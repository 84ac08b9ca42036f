"""AWQ weights of the real pretrained model."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.common.optionalpart import AWQ
from services.trainer.awqexport import export_awq
from services.trainer.model import source_of

pytestmark = [pytest.mark.model, pytest.mark.timeout(900), pytest.mark.filterwarnings("ignore")]


@pytest.mark.skipif(not AWQ.is_here(), reason='needs pip install "finetuneflow[awq]"')
def test_a_real_model_in_4_bits_still_knows_what_it_knew(base: Path, adapter: Path, tmp_path: Path) -> None:
    """Within the bound, at less than a quarter of the size; rows of 576 leave groups of 64."""
    out = tmp_path / "out"
    out.mkdir()
    result = export_awq(source_of(str(base), ""), adapter, out, tmp_path / "scratch", lambda: None)
    size = sum(path.stat().st_size for path in out.iterdir())

    assert result.awq.group_size == 64
    assert result.awq.divergence < result.awq.divergence_bound
    assert size < (base / "model.safetensors").stat().st_size / 4
