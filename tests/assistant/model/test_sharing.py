"""Several models in one process: adapters use the very tensors of their base, and compute as if alone."""

from __future__ import annotations

import gc
import json
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assistant.errors import ModelError
from assistant.model.load import load_model
from assistant.model.sharing import Bases, can_share
from assistant.model.weights import all_bytes, own_bytes, same_weights
from tests.assistant.model.test_save import logits


@pytest.fixture
def turned(adapter_folder: Path, tmp_path: Path) -> Path:
    """Another adapter on the same base: the same with its update turned round."""
    from safetensors.torch import load_file, save_file

    made = shutil.copytree(adapter_folder, tmp_path / "turned")
    weights = load_file(made / "adapter_model.safetensors")
    changed = {name: -one if "lora_B" in name else one for name, one in weights.items()}
    save_file(changed, made / "adapter_model.safetensors")
    return made


def settings(folder: Path, **values: Any) -> Path:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    return folder


def test_adapters_share_their_bases_tensors_and_answer_as_if_alone(
    tiny_folder: Path, adapter_folder: Path, turned: Path, batch: Callable[..., Any]
) -> None:
    bases = Bases()
    one, other = (bases.load(folder, device="cpu") for folder in (adapter_folder, turned))
    base = bases.load(tiny_folder, device="cpu")
    assert one.base is base
    assert other.base is base
    assert one.text is base.text
    assert own_bytes(one) < own_bytes(base) / 5
    assert all_bytes([one, other]) == own_bytes(base) + own_bytes(one) + own_bytes(other)
    for shared, folder in ((one, adapter_folder), (other, turned), (base, tiny_folder)):
        alone = load_model(folder, device="cpu")
        assert (logits(shared, batch) == logits(alone, batch)).all()
        assert shared.fingerprint == alone.fingerprint
    assert not (logits(one, batch) == logits(other, batch)).all()


def test_a_base_is_let_go_with_its_last_adapter(tiny_folder: Path, adapter_folder: Path) -> None:
    bases = Bases()
    model = bases.load(adapter_folder, device="cpu")
    base = weakref.ref(model.base)
    gc.collect()
    assert base() is not None
    del model
    gc.collect()
    assert base() is None


@pytest.mark.parametrize("values", [{"bias": "all"}, {"init_lora_weights": "pissa"}, {"peft_type": "PREFIX_TUNING"}])
def test_an_adapter_that_may_change_its_base_does_not_share(adapter_folder: Path, tmp_path: Path, values: Any) -> None:
    assert can_share(adapter_folder)
    assert not can_share(settings(shutil.copytree(adapter_folder, tmp_path / "other"), **values))


def test_an_adapter_that_does_not_share_is_opened_whole(
    adapter_folder: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    folder = settings(shutil.copytree(adapter_folder, tmp_path / "other"), bias="lora_only")
    bases = Bases()
    base = bases.load(tiny_folder, device="cpu")
    model = bases.load(folder, device="cpu")
    assert model.base is None
    assert own_bytes(model) > own_bytes(base)


def test_a_base_whose_weights_were_written_to_is_not_used_on(
    adapter_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from assistant.model import adapter

    plain = adapter.attach

    def writing(llava: Any, folder: Path) -> Any:
        llava.lm_head.weight.data.mul_(2)
        llava.lm_head.weight.detach().mul_(2)
        return plain(llava, folder)

    monkeypatch.setattr(adapter, "attach", writing)
    with pytest.raises(ModelError, match=r"changes weights of its base\. Merge it"):
        Bases().load(adapter_folder, device="cpu")


def test_the_same_weights_in_another_mode(tiny_model: Any) -> None:
    other = same_weights(tiny_model.llava).train()
    assert not tiny_model.llava.training
    assert {id(one) for one in other.parameters()} == {id(one) for one in tiny_model.llava.parameters()}
    assert [name for name, _ in other.named_buffers()] == [name for name, _ in tiny_model.llava.named_buffers()]
