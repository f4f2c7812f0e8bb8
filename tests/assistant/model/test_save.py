"""What is saved opens again as it was: whole models, bfloat16 copies, adapters and merged adapters."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from assistant.errors import ModelError
from assistant.model.load import folder_fingerprint, load_model, starter_folder
from assistant.model.merge import merge_adapter
from assistant.model.save import save_model
from assistant.model.tensors import read_header, stored_dtype
from assistant.model.writing import atomic_folder

QUESTIONS = ["CT?", "Is there a glioma in this MRI?"]


def logits(model: Any, batch: Callable[..., Any]) -> torch.Tensor:
    """Of every real position of two questions; what lies at padding does not matter."""
    inputs = batch(model, QUESTIONS)
    with torch.inference_mode():
        result: torch.Tensor = model.llava(**inputs).logits.float()
    return result[inputs["attention_mask"].bool()]


def test_saved_model_is_equal(tiny_model: Any, tmp_path: Path, batch: Callable[..., Any]) -> None:
    again = load_model(save_model(tiny_model, tmp_path / "again", licence="CC0-1.0"), device="cpu")
    assert torch.equal(logits(again, batch), logits(tiny_model, batch))
    assert (again.text.embed(QUESTIONS) == tiny_model.text.embed(QUESTIONS)).all()
    assert again.contract.licence == "CC0-1.0"
    assert again.contract.encoder == tiny_model.contract.encoder
    assert again.contract.capabilities == {"text_only": "quote"}


def test_bfloat16_copy_is_half_as_large_and_keeps_the_encoders_identity(
    tiny_model: Any, tiny_folder: Path, tmp_path: Path, batch: Callable[..., Any]
) -> None:
    out = save_model(tiny_model, tmp_path / "half", dtype="bfloat16")
    for name in ("model.safetensors", "projection.safetensors", "text_tower/model.safetensors"):
        assert stored_dtype(out / name) == "bfloat16"
        assert (out / name).stat().st_size < 0.65 * (tiny_folder / name).stat().st_size
        assert (out / name).stat().st_mode & 0o777 == 0o644
    again = load_model(out, device="cpu")
    assert again.dtype is torch.float32
    assert again.contract.encoder == tiny_model.contract.encoder
    assert again.contract.connector_fingerprint == tiny_model.contract.connector_fingerprint
    whole = logits(tiny_model, batch)
    assert float((logits(again, batch) - whole).abs().max()) < 0.05 * float(whole.abs().max())


def test_model_card_and_guard_travel(copy: Path, tmp_path: Path) -> None:
    (copy / "README.md").write_text("# Card\n")
    save_file({"centroids": torch.zeros(1, 24)}, copy / "guard.safetensors")
    out = save_model(load_model(copy, device="cpu"), tmp_path / "out")
    assert (out / "README.md").read_text() == "# Card\n"
    assert (out / "guard.safetensors").is_file()


def test_folder_with_something_in_it_is_not_overwritten(tiny_model: Any, tiny_folder: Path) -> None:
    with pytest.raises(ModelError, match="exists already"):
        save_model(tiny_model, tiny_folder)


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic_folder(tmp_path / "out") as folder:
            (folder / "half").write_text("x")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_unknown_type_is_refused(tiny_model: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="dtype is 'float16'; choose one of: float32, bfloat16"):
        save_model(tiny_model, tmp_path / "out", dtype="float16")


def test_adapter_opens_on_its_base(
    tiny_model: Any, adapter_folder: Path, tiny_folder: Path, batch: Callable[..., Any]
) -> None:
    model = load_model(adapter_folder, device="cpu")
    assert model.name == "tiny-lora"
    assert model.contract.base == folder_fingerprint(tiny_folder)
    assert model.contract.encoder == tiny_model.contract.encoder
    assert model.fingerprint != tiny_model.fingerprint
    assert float((logits(model, batch) - logits(tiny_model, batch)).abs().max()) > 1e-2
    assert type(model.llava).__name__ == "LlavaForConditionalGeneration"
    assert model.llava.generate(**batch(model, ["CT?"]), max_new_tokens=2).shape[0] == 1
    assert (model.text.embed(QUESTIONS) == tiny_model.text.embed(QUESTIONS)).all()


def test_adapter_and_base_may_move_together(adapter_folder: Path, tiny_folder: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(adapter_folder, tmp_path / "lora")
    settings = json.loads((moved / "adapter_config.json").read_text())
    settings["base_model_name_or_path"] = f"/elsewhere/{tiny_folder.name}"
    (moved / "adapter_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="is an adapter on '/elsewhere/model', and no model folder is there"):
        load_model(moved)
    shutil.copytree(tiny_folder, tmp_path / tiny_folder.name)
    assert load_model(moved, device="cpu").name == "tiny-lora"


def test_merged_adapter_is_equal(adapter_folder: Path, tmp_path: Path, batch: Callable[..., Any]) -> None:
    merged = load_model(merge_adapter(adapter_folder, tmp_path / "merged", name="merged"), device="cpu")
    assert merged.contract.base is None
    assert merged.name == "merged"
    assert not any("lora" in name for name in merged.llava.state_dict())
    apart = logits(load_model(adapter_folder, device="cpu"), batch)
    assert float((logits(merged, batch) - apart).abs().max()) <= 1e-5 * float(apart.abs().max())
    assert json.loads((tmp_path / "merged" / "contract.json").read_text())["base"] is None


def test_merged_adapter_can_be_written_in_bfloat16(adapter_folder: Path, tmp_path: Path) -> None:
    out = merge_adapter(adapter_folder, tmp_path / "merged", dtype="bfloat16")
    assert stored_dtype(out / "model.safetensors") == "bfloat16"
    load_model(out, device="cpu")


def test_a_whole_model_cannot_be_merged(tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is no adapter folder"):
        merge_adapter(tiny_folder, tmp_path / "out")


def test_a_model_with_an_adapter_inside_is_not_saved_whole(adapter_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds an adapter\. Merge it: python -m training\.merge"):
        save_model(load_model(adapter_folder, device="cpu"), tmp_path / "out")


@pytest.fixture
def adapter(adapter_folder: Path, tmp_path: Path) -> Path:
    """A copy of the adapter, free to be spoiled."""
    return Path(shutil.copytree(adapter_folder, tmp_path / "adapter"))


def test_adapter_on_another_base_is_refused(adapter: Path, copy: Path) -> None:
    settings = json.loads((adapter / "adapter_config.json").read_text())
    settings["base_model_name_or_path"] = str(copy)
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    load_model(adapter, device="cpu")
    state = load_file(copy / "model.safetensors")
    state["language_model.model.norm.weight"] *= 2
    save_file(state, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"base is .*the adapter was trained on another base"):
        load_model(adapter, device="cpu")
    with pytest.raises(ModelError, match=r"base is .*the adapter was trained on another base"):
        merge_adapter(adapter, adapter.parent / "out")


def test_adapter_without_a_base_in_its_contract_is_refused(adapter: Path) -> None:
    contract = json.loads((adapter / "contract.json").read_text())
    (adapter / "contract.json").write_text(json.dumps({**contract, "base": None}))
    with pytest.raises(ModelError, match="names no base fingerprint"):
        load_model(adapter)


def test_adapter_with_broken_settings_is_refused(adapter: Path) -> None:
    (adapter / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"adapter_config\.json is broken"):
        load_model(adapter)


def test_adapter_with_pickled_weights_is_refused(adapter: Path) -> None:
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(ModelError, match=r"weights as adapter_model\.bin"):
        load_model(adapter)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda state, key: state.pop(key), "does not fit its base: missing"),
        (lambda state, key: state.update({f"{key}.more": torch.zeros(1)}), "does not fit its base"),
        (lambda state, key: state.update({key: torch.zeros(3, 3)}), "does not fit its base"),
    ],
    ids=["missing", "extra", "mis-shaped"],
)
def test_adapter_tensors_that_do_not_fit_are_refused(
    adapter: Path, spoil: Callable[[dict[str, Any], str], None], reason: str
) -> None:
    path = adapter / "adapter_model.safetensors"
    state = load_file(path)
    spoil(state, next(name for name in sorted(state) if "lora_A" in name))
    save_file(state, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=reason):
        load_model(adapter, device="cpu")


def test_wrong_base_given_to_merge_is_refused(adapter_folder: Path, copy: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="was trained on .* was given"):
        merge_adapter(adapter_folder, tmp_path / "out", base=load_model(copy, device="cpu"))


def test_other_servers_are_told_which_file_holds_the_weights(tiny_model: Any, tmp_path: Path) -> None:
    out = save_model(tiny_model, tmp_path / "out")
    index = json.loads((out / "model.safetensors.index.json").read_text())
    assert index["weight_map"] == dict.fromkeys(sorted(read_header(out / "model.safetensors")), "model.safetensors")
    assert (starter_folder() / "model.safetensors.index.json").is_file()
