"""What docs/defaults.py reads in the sources of the libraries is what their classes have."""

from __future__ import annotations

import dataclasses

from docs import defaults


def test_the_sources_say_what_the_classes_have() -> None:
    """For every setting of ours that is one of TRL's, transformers' or PEFT's."""
    from peft import LoraConfig
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.kto_config import KTOConfig
    from trl.trainer.sft_config import SFTConfig

    read = defaults.library()
    ours = {name.removeprefix("lora.") for found in defaults.completed().values() for name in found}
    wrong = {}
    for config in (SFTConfig, DPOConfig, KTOConfig, LoraConfig):
        for field in dataclasses.fields(config):
            value = read[config.__name__].get(field.name)
            if field.name in ours and value is not None and field.default is not dataclasses.MISSING:
                real = defaults.written(defaults.UNSET if field.default is None else field.default)
                if value != real:
                    wrong[config.__name__, field.name] = value, real

    assert wrong == {}
    assert len(ours & set(read["SFTConfig"])) > 15
