"""Model folders are built from an encoder and any fitting language model, and answer text as that model does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from assistant.errors import ModelError
from assistant.model.biomedclip import read_encoder
from assistant.model.build import assemble_folder
from assistant.model.load import load_model
from assistant.model.presets import find_preset, preset_names
from assistant.model.tensors import files_fingerprint, tensor_fingerprint

SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "vocab_size": 340,
    "max_position_embeddings": 128,
}
GROUPED = {**SMALL, "num_key_value_heads": 1, "pad_token_id": 0}


def save_llm(folder: Path, tokenizer: Path, config: Any) -> Any:
    """Save a random language model of any class with the tiny model's tokenizer; return it."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config).eval()
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tokenizer).save_pretrained(folder)
    return model


def family(name: str) -> Any:
    """Configuration of a tiny model of one family."""
    import transformers as hf

    plain = {**SMALL, "pad_token_id": 0}
    return {
        "Llama": lambda: hf.LlamaConfig(**GROUPED),
        "Llama, tied": lambda: hf.LlamaConfig(**GROUPED, tie_word_embeddings=True),
        "Mistral": lambda: hf.MistralConfig(**GROUPED),
        "Qwen2": lambda: hf.Qwen2Config(**GROUPED),
        "Qwen3": lambda: hf.Qwen3Config(**GROUPED, head_dim=16),
        "Phi3": lambda: hf.Phi3Config(**GROUPED),
        "Gemma": lambda: hf.GemmaConfig(**GROUPED, head_dim=16),
        "Gemma3": lambda: hf.Gemma3TextConfig(**GROUPED, head_dim=16),
        "SmolLM3": lambda: hf.SmolLM3Config(**GROUPED),
        "GPTNeoX": lambda: hf.GPTNeoXConfig(**plain),
        "BioGPT": lambda: hf.BioGptConfig(**plain),
        "Gemma2": lambda: hf.Gemma2Config(**GROUPED, head_dim=16),
        "Granite": lambda: hf.GraniteConfig(**GROUPED, logits_scaling=8.0),
        "Phi": lambda: hf.PhiConfig(**plain),
        "GPT2": lambda: hf.GPT2Config(n_embd=32, n_layer=2, n_head=2, vocab_size=340),
    }[name]()


@pytest.mark.parametrize(
    "name",
    ["Llama", "Llama, tied", "Mistral", "Qwen2", "Qwen3", "Phi3", "Gemma", "Gemma3", "SmolLM3", "GPTNeoX", "BioGPT"],
)
def test_language_model_answers_text_inside_as_outside(tiny_folder: Path, tmp_path: Path, name: str) -> None:
    root = tiny_folder.parent
    language = save_llm(tmp_path / "llm", root / "tokenizer", family(name))
    model = load_model(assemble_folder(root / "encoder", tmp_path / "llm", None, tmp_path / "out"), device="cpu")
    tokens = torch.tensor([[1, 40, 50, 60, 70]])
    with torch.inference_mode():
        outside = language(tokens).logits
        inside = model.llava(input_ids=tokens).logits[..., : outside.shape[-1]]
    assert float((inside - outside).abs().max()) <= 1e-5


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Gemma2", "Gemma2ForCausalLM scales, caps or shifts its logits"),
        ("Granite", "GraniteForCausalLM scales, caps or shifts its logits"),
        ("Phi", "PhiForCausalLM scales, caps or shifts its logits"),
        ("GPT2", "GPT2LMHeadModel has no embed_tokens to tie"),
    ],
)
def test_language_model_that_would_answer_differently_is_refused(
    tiny_folder: Path, tmp_path: Path, name: str, reason: str
) -> None:
    root = tiny_folder.parent
    save_llm(tmp_path / "llm", root / "tokenizer", family(name))
    with pytest.raises(ModelError, match=reason):
        assemble_folder(root / "encoder", tmp_path / "llm", None, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tower_gives_the_encoders_features_at_the_chosen_layer(tiny_folder: Path, tmp_path: Path) -> None:
    from transformers import ViTModel

    root = tiny_folder.parent
    out = assemble_folder(
        root / "encoder", {**SMALL}, root / "tokenizer", tmp_path / "out", connector="linear", feature_layer=-2
    )
    model = load_model(out, device="cpu")
    assert (model.contract.connector, model.contract.feature_layer) == ("linear", -2)
    parts = read_encoder(root / "encoder")
    vit = ViTModel(parts.vision_config, add_pooling_layer=False).eval()
    vit.load_state_dict(parts.vision_state)
    pixels = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        hidden = vit(pixels, output_hidden_states=True).hidden_states[-2][:, 1:]
        projector = model.llava.model.multi_modal_projector
        merged = projector.linear_2.weight @ projector.linear_1.weight  # a linear connector is one matrix
        features = model.llava.get_image_features(pixels).pooler_output[0]
    assert float((features - hidden[0] @ merged.T).abs().max()) <= 1e-5


def test_the_class_token_may_come_before_the_patches(tiny_folder: Path, tmp_path: Path, make_picture: Any) -> None:
    from assistant.config import GenerationConfig
    from assistant.engine.features import PictureEncoder
    from assistant.engine.generate import Generator
    from assistant.prompts import user_message

    root = tiny_folder.parent
    out = assemble_folder(root / "encoder", {**SMALL}, root / "tokenizer", tmp_path / "out", class_token=True)
    model = load_model(out, device="cpu")
    assert model.contract.image_tokens == 17  # 16 patches and it
    encoder, generator = PictureEncoder(model), Generator(model, GenerationConfig())
    (features,) = encoder.encode([make_picture()])
    assert features.patches.shape[0] == 17
    message = user_message("Is it normal?", 1)
    prompt = generator.encoder.encode([message], [features])
    text = model.processor.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
    inputs = model.processor(
        images=[make_picture().squared()], text=text, add_special_tokens=False, return_tensors="pt"
    )
    assert prompt.ids == tuple(inputs["input_ids"][0].tolist())
    with torch.inference_mode():
        stock = model.llava(**inputs).logits[0, -1].log_softmax(-1)
        seen = model.llava.get_image_features(inputs["pixel_values"]).pooler_output[0]
        ours = model.llava.model.multi_modal_projector(features.patches[None])[0]
    assert float((seen - ours).abs().max()) <= 1e-5
    options = ["yes", "no"]
    first = [generator.encoder.continuation(prompt, one)[0] for one in options]
    scores = generator.score_options(prompt, options)
    assert scores[0] <= float(stock[first[0]]) + 1e-4
    assert scores[1] <= float(stock[first[1]]) + 1e-4


def test_equal_seeds_give_equal_weights_and_leave_the_callers_numbers_alone(tiny_folder: Path, tmp_path: Path) -> None:
    root = tiny_folder.parent
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assemble_folder(root / "encoder", {**SMALL}, root / "tokenizer", tmp_path / name, seed=seed)
    assert torch.equal(torch.rand(1), expected)
    first, same, other = (tensor_fingerprint(load_file(tmp_path / name / "model.safetensors")) for name in "abc")
    assert first == same != other


def test_fresh_language_model_starts_at_one_over_root_width(tiny_model: Any, tmp_path: Path) -> None:
    root = tiny_model.folder.parent
    model = load_model(assemble_folder(root / "encoder", {**SMALL}, root / "tokenizer", tmp_path / "out"), device="cpu")
    assert abs(float(model.llava.lm_head.weight.std()) - 32**-0.5) < 0.01
    assert abs(float(tiny_model.llava.lm_head.weight.std()) - 0.3) < 0.02  # the fixture asks for 0.3
    assert tiny_model.llava.config.text_config.vocab_size == len(tiny_model.tokenizer)


def test_vocabulary_grows_for_missing_tokens(tiny_folder: Path, tmp_path: Path) -> None:
    root = tiny_folder.parent
    save_llm(tmp_path / "llm", root / "tokenizer", family("Llama"))
    model = load_model(assemble_folder(root / "encoder", tmp_path / "llm", None, tmp_path / "out"), device="cpu")
    assert model.contract.vocabulary == len(model.tokenizer) <= model.llava.lm_head.weight.shape[0]
    assert model.tokenizer.convert_ids_to_tokens(model.contract.image_token_id) == "<image>"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"connector": "mlp3x"}, "connector is 'mlp3x'; choose one of: linear, mlp2x_gelu"),
        ({"feature_layer": 0}, "feature_layer is 0; use -1"),
        ({"dtype": "int8"}, "dtype is 'int8'; choose one of: float32, bfloat16, auto"),
    ],
)
def test_wrong_options_are_refused(tiny_folder: Path, tmp_path: Path, options: dict[str, Any], reason: str) -> None:
    root = tiny_folder.parent
    with pytest.raises(ModelError, match=reason):
        assemble_folder(root / "encoder", {**SMALL}, root / "tokenizer", tmp_path / "out", **options)


def test_wrong_sources_are_refused(tiny_folder: Path, tmp_path: Path) -> None:
    root = tiny_folder.parent
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="has no tokenizer; give tokenizer_dir"):
        assemble_folder(root / "encoder", {**SMALL}, None, tmp_path / "out")
    with pytest.raises(ModelError, match="No tokenizer can be opened at"):
        assemble_folder(root / "encoder", {**SMALL}, tmp_path / "empty", tmp_path / "out")
    with pytest.raises(ModelError, match="No language model can be opened at"):
        assemble_folder(root / "encoder", tmp_path / "empty", root / "tokenizer", tmp_path / "out")
    with pytest.raises(ModelError, match="has no EOS token"):
        assemble_folder(root / "encoder", {**SMALL}, root / "bert", tmp_path / "out")
    with pytest.raises(ModelError, match="does not work"):
        assemble_folder(root / "encoder", {**SMALL, "hidden_size": 33}, root / "tokenizer", tmp_path / "out")


def test_presets_are_complete() -> None:
    assert preset_names() == [
        "biomedclip-biomistral-7b",
        "biomedclip-llama3.1-8b",
        "biomedclip-mistral-7b",
        "biomedclip-phi3.5-mini",
        "biomedclip-qwen2.5-7b",
    ]
    for name in preset_names():
        preset = find_preset(name)
        assert preset is not None
        assert preset.encoder == "microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224"
        assert (preset.connector, preset.quantization) == ("mlp2x_gelu", "nf4")
        assert f"{name}.yaml" in preset.how_to_make()
    assert find_preset("../presets/biomedclip-mistral-7b") is None


def test_large_files_are_identified_by_samples(tmp_path: Path) -> None:
    path = tmp_path / "large"
    size = 300 * 2**20
    with path.open("wb") as stream:
        stream.truncate(size)  # sparse: takes no room on the disk
    before = files_fingerprint(tmp_path, ["large"])
    with path.open("r+b") as stream:
        stream.seek(size - 1)
        stream.write(b"x")
    assert files_fingerprint(tmp_path, ["large"]) != before


def test_one_fingerprint_for_float32_and_its_bfloat16_copy() -> None:
    tensors = {"a": torch.randn(3, 4), "b": torch.tensor(2.5)}
    assert tensor_fingerprint(tensors) == tensor_fingerprint({name: t.bfloat16() for name, t in tensors.items()})
    assert tensor_fingerprint(tensors) != tensor_fingerprint({**tensors, "b": torch.tensor(2.0)})
