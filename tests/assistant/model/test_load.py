"""A whole model folder opens; one that is incomplete, broken or put together wrongly is refused, with the mend."""

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
from assistant.model.load import folder_fingerprint, load_model


def change(folder: Path, file: str, **changes: torch.Tensor | None) -> None:
    """Set tensors in a safetensors file, or remove those given as None; `__` in a name stands for a dot."""
    state = load_file(folder / file)
    for name, tensor in changes.items():
        state.pop(name.replace("__", "."), None)
        if tensor is not None:
            state[name.replace("__", ".")] = tensor
    save_file(state, folder / file, metadata={"format": "pt"})


def edit(path: Path, **changes: Any) -> None:
    """Set keys of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_folder_opens_with_all_its_parts(tiny_model: Any, tiny_folder: Path) -> None:
    assert tiny_model.name == "tiny"
    assert tiny_model.folder == tiny_folder
    assert tiny_model.dtype is torch.float32
    assert len(tiny_model.fingerprint) == 16
    assert tiny_model.processor.tokenizer.padding_side == "left"
    assert type(tiny_model.processor.image_processor).__name__ == "CLIPImageProcessorPil"
    assert tiny_model.projection.shape == (24, 32)
    assert not tiny_model.llava.training
    assert tiny_model.pixel_values([]).shape == (0, 3, 32, 32)


def test_pictures_are_padded_not_cropped(tiny_model: Any) -> None:
    from PIL import Image

    wide = Image.new("RGB", (64, 32), "white")
    values = tiny_model.pixel_values([wide])[0]
    black = tiny_model.pixel_values([Image.new("RGB", (32, 32), "black")])[0]
    assert torch.equal(values[:, 0], black[:, 0])
    assert float(values[0, 16].min()) > float(black.max())  # white from edge to edge: nothing was cut away


def test_left_padded_batch_answers_as_single_questions_do(tiny_model: Any, batch: Callable[..., Any]) -> None:
    questions = ["CT?", "Is there a glioma in this MRI or is it normal?"]
    together = batch(tiny_model, questions)
    assert int(together["attention_mask"][0, 0]) == 0
    settings = {"max_new_tokens": 8, "min_new_tokens": 8, "do_sample": False}
    answers = tiny_model.llava.generate(**together, **settings)[:, -8:]
    for row, question in enumerate(questions):
        alone = tiny_model.llava.generate(**batch(tiny_model, [question]), **settings)[0, -8:]
        assert alone.tolist() == answers[row].tolist()


def test_the_picture_changes_the_answer(tiny_model: Any, batch: Callable[..., Any]) -> None:
    inputs = batch(tiny_model, ["CT?"])
    with torch.inference_mode():
        seen = tiny_model.llava(**inputs).logits[0, -1]
        blank = tiny_model.llava(**{**inputs, "pixel_values": torch.zeros_like(inputs["pixel_values"])}).logits[0, -1]
    assert float((seen - blank).abs().max()) > 1e-3


def test_fingerprint_follows_weights_and_contract(copy: Path, tiny_model: Any) -> None:
    assert folder_fingerprint(copy) == tiny_model.fingerprint
    edit(copy / "contract.json", name="other")
    assert folder_fingerprint(copy) != tiny_model.fingerprint


def test_shards_open_and_a_missing_one_is_refused(copy: Path, tiny_model: Any) -> None:
    tiny_model.llava.save_pretrained(copy / "new", max_shard_size="60KB")
    for path in (copy / "new").glob("model*"):
        path.rename(copy / path.name)
    (copy / "model.safetensors").unlink()
    shards = sorted(copy.glob("model-*.safetensors"))
    assert len(shards) > 1
    again = load_model(copy, device="cpu")
    assert torch.equal(again.llava.lm_head.weight, tiny_model.llava.lm_head.weight)
    shards[1].unlink()
    with pytest.raises(ModelError, match=f"has no {shards[1].name}"):
        load_model(copy)


def test_unknown_name_lists_the_presets() -> None:
    with pytest.raises(ModelError, match=r"no model 'nothing'.*biomedclip-mistral-7b"):
        load_model("nothing")


def test_preset_says_how_to_make_a_folder_of_it() -> None:
    with pytest.raises(ModelError, match=r"training\.assemble .*biomedclip-qwen2\.5-7b\.yaml .*training\.align"):
        load_model("biomedclip-qwen2.5-7b")


@pytest.mark.parametrize(
    "file",
    [
        "config.json",
        "contract.json",
        "tokenizer_config.json",
        "processor_config.json",
        "chat_template.jinja",
        "projection.safetensors",
        "text_tower/config.json",
        "text_tower/model.safetensors",
        "model.safetensors",
    ],
)
def test_missing_file_is_named(copy: Path, file: str) -> None:
    (copy / file).unlink()
    with pytest.raises(ModelError, match=rf"has no {file}"):
        load_model(copy)


@pytest.mark.parametrize("file", ["model.safetensors", "projection.safetensors", "text_tower/model.safetensors"])
def test_truncated_weights_are_refused(copy: Path, file: str) -> None:
    content = (copy / file).read_bytes()
    (copy / file).write_bytes(content[:-100])
    with pytest.raises(ModelError, match=rf"{file} is {len(content) - 100} bytes .* truncated"):
        load_model(copy)


@pytest.mark.parametrize("content", [b"", b"\x00" * 7, b"\xff" * 64, (20).to_bytes(8, "little") + b"x" * 20])
def test_weights_that_are_no_safetensors_are_refused(copy: Path, content: bytes) -> None:
    (copy / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match="truncated or no safetensors file|broken safetensors header"):
        load_model(copy)


@pytest.mark.parametrize("file", ["config.json", "contract.json", "text_tower/config.json", "processor_config.json"])
def test_broken_json_is_named(copy: Path, file: str) -> None:
    (copy / file).write_text('{"a": ')
    with pytest.raises(ModelError, match=rf"{file} is no JSON"):
        load_model(copy)


def test_pickled_weights_are_never_opened(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"weights as pytorch_model\.bin .* only safetensors are opened"):
        load_model(copy)


def test_another_architecture_is_refused(copy: Path) -> None:
    edit(copy / "config.json", model_type="llava_next")
    with pytest.raises(ModelError, match="describes a 'llava_next'"):
        load_model(copy)


NORM = "language_model__model__norm__weight"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({NORM: None}, r"1 missing .*norm\.weight"),
        ({"surplus": torch.zeros(2)}, r"1 extra .*surplus"),
        ({NORM: torch.zeros(3)}, r"1 mis-shaped .*norm\.weight"),
        ({"multi_modal_projector__linear_1__weight": torch.zeros(48, 31)}, r"1 mis-shaped .*linear_1"),
    ],
)
def test_weights_that_do_not_fit_the_configuration_are_refused(
    copy: Path, changes: dict[str, Any], reason: str
) -> None:
    change(copy, "model.safetensors", **changes)
    with pytest.raises(ModelError, match=reason):
        load_model(copy)


def spoil_connector(folder: Path) -> None:
    change(folder, "model.safetensors", multi_modal_projector__linear_1__weight=torch.ones(48, 32))


def spoil_tower(folder: Path) -> None:
    change(folder, "model.safetensors", vision_tower__layernorm__weight=torch.full((32,), 2.0))


def spoil_text(folder: Path) -> None:
    change(folder, "text_tower/model.safetensors", embeddings__LayerNorm__weight=torch.full((32,), 2.0))


def spoil_projection(folder: Path) -> None:
    change(folder, "projection.safetensors", visual__weight=torch.ones(24, 32))


def spoil_template(folder: Path) -> None:
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text().replace("<|assistant|>", "<|bot|>"))


def spoil_configuration(folder: Path) -> None:
    edit(folder / "config.json", vision_feature_layer=-2)


def spoil_activation(folder: Path) -> None:
    edit(folder / "config.json", projector_hidden_act="linear")


def spoil_text_configuration(folder: Path) -> None:
    edit(folder / "text_tower" / "config.json", num_attention_heads=4)


def spoil_ends(folder: Path) -> None:
    edit(folder / "generation_config.json", eos_token_id=7)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (spoil_connector, r"connector_fingerprint is .* another model's: restore .*training\.align"),
        (spoil_tower, r"encoder is .* image or text encoder is another one"),
        (spoil_text, r"encoder is .* image or text encoder is another one"),
        (spoil_projection, r"encoder is .* image or text encoder is another one"),
        (spoil_template, r"template is .*chat_template\.jinja was changed: restore it"),
        (spoil_configuration, r"feature_layer is -2 but the contract says -1"),
        (spoil_activation, r"connector is 'linear' but the contract says 'mlp2x_gelu'"),
        (spoil_text_configuration, r"configuration is .*config\.json was changed"),
        (spoil_ends, r"eos_token_ids is \(7,\) but the contract says \(2,\)"),
    ],
)
def test_parts_of_other_models_are_refused(copy: Path, spoil: Callable[[Path], None], reason: str) -> None:
    spoil(copy)
    with pytest.raises(ModelError, match=reason):
        load_model(copy, device="cpu")


def test_another_models_tokenizer_is_refused(copy: Path, tiny_folder: Path) -> None:
    for path in (tiny_folder.parent / "tokenizer").iterdir():
        shutil.copyfile(path, copy / path.name)
    with pytest.raises(ModelError, match=r"vocabulary is \d+ but the contract says"):
        load_model(copy, device="cpu")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"device": "tpu"}, "device is 'tpu'; use auto, cpu, cuda"),
        ({"dtype": "int3"}, "dtype is 'int3'; use auto, float32"),
        ({"dtype": "float16", "device": "cpu"}, "'float16' on a CPU.* Use bfloat16"),
        ({"quantization": "nf3"}, "quantization is 'nf3'; use nf4, int8 or none"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(tiny_folder: Path, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        load_model(tiny_folder, **options)


def test_gpu_that_is_not_there_is_refused(tiny_folder: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ModelError, match="device is 'cuda', but torch .* sees no GPU"):
        load_model(tiny_folder, device="cuda")


def test_bfloat16_keeps_the_contract(tiny_folder: Path, batch: Callable[..., Any]) -> None:
    model = load_model(tiny_folder, device="cpu", dtype="bfloat16")
    assert model.llava.lm_head.weight.dtype is torch.bfloat16
    assert model.projection.dtype is torch.float32
    assert model.pixel_values([]).dtype is torch.bfloat16
    assert model.llava.generate(**batch(model, ["CT?"]), max_new_tokens=2).shape[0] == 1


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_gpu_answers_as_the_cpu_does(tiny_folder: Path, tiny_model: Any, batch: Callable[..., Any], dtype: str) -> None:
    model = load_model(tiny_folder, device="cuda", dtype=dtype)
    inputs = batch(model, ["CT?"])
    with torch.inference_mode():
        theirs = model.llava(**{name: tensor.cuda() for name, tensor in inputs.items()}).logits[0, -1]
        ours = tiny_model.llava(**inputs).logits[0, -1]
    assert float((theirs.float().cpu() - ours).abs().max()) < (1e-3 if dtype == "float32" else 0.3)
