"""An open_clip encoder, tiny or of BiomedCLIP's true size, gives the same numbers as stock Hugging Face classes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from assistant.errors import ModelError
from assistant.model.biomedclip import convert_trunk, fetch_encoder, read_encoder
from assistant.model.openclip import main, make_openclip_folder, open_openclip, rewrite_as_safetensors
from assistant.model.text import TextTower

SENTENCES = ["Is there a glioma?", "The right lung is clear, and the left lung is normal.", "CT"]


def opened(kind: Any, config: Any, state: dict[str, torch.Tensor]) -> Any:
    """Make a model of exactly these tensors, without drawing random ones first."""
    model, info = kind.from_pretrained(
        None, config=config, state_dict=state, add_pooling_layer=False, output_loading_info=True
    )
    assert not any(info[problem] for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return model.eval()


def largest_differences(folder: Path) -> dict[str, float]:
    """Compare every output that is used with open_clip's own, on noise and `SENTENCES`."""
    import open_clip
    from transformers import AutoTokenizer, BertModel, ViTModel

    parts = read_encoder(folder)
    vit = opened(ViTModel, parts.vision_config, parts.vision_state)
    bert = opened(BertModel, parts.text_config, parts.text_state)
    head = [parts.projection[name] for name in ("text.0.weight", "text.1.weight") if name in parts.projection]
    text = TextTower(bert, AutoTokenizer.from_pretrained(parts.tokenizer_dir), head, parts.context_length)
    theirs = open_openclip(folder)
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(SENTENCES)
    pixels = torch.randn(2, 3, parts.image_size, parts.image_size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours = vit(pixels, output_hidden_states=True)
        joint = functional.normalize(ours.last_hidden_state[:, 0] @ parts.projection["visual.weight"].T, dim=-1)
        blocks = theirs.visual.trunk.forward_intermediates(pixels, indices=2, output_fmt="NLC", intermediates_only=True)
        pairs = {
            "patches": (ours.last_hidden_state, theirs.visual.trunk.forward_features(pixels)),
            "last block": (ours.hidden_states[-1][:, 1:], blocks[-1]),
            "block before": (ours.hidden_states[-2][:, 1:], blocks[-2]),
            "image": (joint, theirs.encode_image(pixels, normalize=True)),
            "text": (torch.from_numpy(text.embed(SENTENCES)), theirs.encode_text(tokens, normalize=True)),
        }
    return {name: float((left - right).abs().max()) for name, (left, right) in pairs.items()}


def test_tiny_encoder_equals_open_clip(tiny_folder: Path) -> None:
    differences = largest_differences(tiny_folder.parent / "encoder")
    assert max(differences.values()) <= 1e-5, differences


def test_encoder_of_biomedclips_true_size_equals_open_clip(tiny_folder: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = make_openclip_folder(
        tmp_path / "full",
        timm_name="vit_base_patch16_224",
        image_size=224,
        embed_dim=512,
        text_config={"max_position_embeddings": 512},  # BertConfig's own sizes are PubMedBERT's
        tokenizer=padded_vocabulary(AutoTokenizer.from_pretrained(tiny_folder.parent / "bert"), 30522),
    )
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["vision_cfg"] = {
        "timm_model_name": "vit_base_patch16_224",
        "timm_model_pretrained": False,
        "timm_pool": "",
        "timm_proj": "linear",
    }
    shutil.rmtree(folder / "timm")  # BiomedCLIP's folder names the trunk, and has no file for it
    (folder / "open_clip_config.json").write_text(json.dumps(config))

    parts = read_encoder(folder)
    assert (parts.vision_config.hidden_size, parts.vision_config.num_attention_heads) == (768, 12)
    assert parts.text_state["embeddings.word_embeddings.weight"].shape == (30522, 768)
    assert parts.projection["text.0.weight"].shape == (640, 768)
    differences = largest_differences(folder)
    assert max(differences.values()) <= 1e-5, differences


def padded_vocabulary(tokenizer: Any, size: int) -> Any:
    """Add unused tokens until there are `size`."""
    tokenizer.add_tokens([f"[unused{number}]" for number in range(size - len(tokenizer))])
    return tokenizer


def test_linear_text_head_equals_open_clip(tiny_folder: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = make_openclip_folder(
        tmp_path / "linear",
        timm_name="vit_tiny_patch16_224",
        image_size=32,
        embed_dim=16,
        trunk_args={"embed_dim": 32, "depth": 2, "num_heads": 4},
        text_config={"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64},
        tokenizer=AutoTokenizer.from_pretrained(tiny_folder.parent / "bert"),
        text_head="linear",
        context_length=48,
    )
    assert set(read_encoder(folder).projection) == {"visual.weight", "text.0.weight", "logit_scale"}
    differences = largest_differences(folder)
    assert max(differences.values()) <= 1e-5, differences


def test_pictures_are_prepared_as_open_clip_does(tiny_model: Any) -> None:
    import open_clip
    from PIL import Image

    shape = open_clip.transform.PreprocessCfg(size=32)
    theirs = open_clip.transform.image_transform_v2(shape, is_train=False)
    noise = np.random.default_rng(0).integers(0, 255, (75, 75, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    assert torch.equal(tiny_model.pixel_values([picture])[0], theirs(picture))


def test_moved_folder_opens_in_open_clip(tiny_folder: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(tiny_folder.parent / "encoder", tmp_path / "moved")
    open_openclip(moved)
    text = (moved / "open_clip_config.json").read_text()
    assert str(moved) in text
    assert str(tiny_folder.parent) not in text


@pytest.fixture
def encoder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny encoder, free to be spoiled."""
    return Path(shutil.copytree(tiny_folder.parent / "encoder", tmp_path / "encoder"))


def change_state(folder: Path, **changes: torch.Tensor | None) -> None:
    """Set tensors, or remove those given as None; `__` in a name stands for a dot."""
    path = folder / "open_clip_model.safetensors"
    state = load_file(path)
    for name, tensor in changes.items():
        state.pop(name.replace("__", "."), None)
        if tensor is not None:
            state[name.replace("__", ".")] = tensor
    save_file(state, path)


def test_folder_without_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no open_clip_config\.json: it is no open_clip folder"):
        read_encoder(tmp_path)


@pytest.mark.parametrize(("text", "reason"), [("{", "is no JSON"), ("[]", "has no model_cfg"), ("{}", "no model_cfg")])
def test_broken_configuration_is_refused(encoder: Path, text: str, reason: str) -> None:
    (encoder / "open_clip_config.json").write_text(text)
    with pytest.raises(ModelError, match=reason):
        read_encoder(encoder)


def test_unknown_hub_id_is_refused_offline() -> None:
    with pytest.raises(ModelError, match=r"nobody/nothing is no folder, and the model hub did not give it"):
        fetch_encoder("nobody/nothing")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"visual__trunk__patch_embed__proj__weight": None}, "its image tower is no timm ViT"),
        ({"visual__trunk__cls_token": None}, "16 patch positions and no class token"),
        ({"visual__trunk__reg_token": torch.zeros(1, 4, 32)}, "a tensor 'reg_token', which a plain ViT has not"),
        ({"visual__trunk__blocks__0__ls1__gamma": torch.zeros(32)}, r"'blocks\.0\.ls1\.gamma'"),
        ({"visual__head__proj__weight": None}, "no linear image head"),
        ({"visual__head__proj__bias": torch.zeros(24)}, "no linear image head without bias"),
        ({"text__proj__0__weight": None}, r"has no text\.proj\.\*"),
        ({"text__transformer__embeddings__word_embeddings__weight": None}, "its text tower is no BERT"),
    ],
)
def test_other_architectures_are_refused(encoder: Path, changes: dict[str, Any], reason: str) -> None:
    change_state(encoder, **changes)
    with pytest.raises(ModelError, match=reason):
        read_encoder(encoder)


def test_other_pooling_is_refused(encoder: Path) -> None:
    path = encoder / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"]["text_cfg"]["hf_pooler_type"] = "mean_pooler"
    path.write_text(json.dumps(config))
    with pytest.raises(ModelError, match="pools text by 'mean_pooler'"):
        read_encoder(encoder)


def test_odd_head_width_is_refused(encoder: Path) -> None:
    path = encoder / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"]["vision_cfg"].update(timm_model_name="vit_tiny_patch16_224", head_width=7)
    path.write_text(json.dumps(config))
    with pytest.raises(ModelError, match="is 32 wide, which heads of 7 do not divide"):
        read_encoder(encoder)


def test_qkv_is_split_in_order() -> None:
    fused = torch.arange(6.0).reshape(6, 1)
    state = convert_trunk({"blocks.3.attn.qkv.weight": fused})
    assert state["layers.3.attention.q_proj.weight"].flatten().tolist() == [0.0, 1.0]
    assert state["layers.3.attention.k_proj.weight"].flatten().tolist() == [2.0, 3.0]
    assert state["layers.3.attention.v_proj.weight"].flatten().tolist() == [4.0, 5.0]


def test_pickled_weights_are_refused_and_can_be_rewritten(encoder: Path, tmp_path: Path) -> None:
    state = load_file(encoder / "open_clip_model.safetensors")
    torch.save(state, encoder / "open_clip_pytorch_model.bin")
    (encoder / "open_clip_model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"open_clip_pytorch_model\.bin, but pickled .* assistant\.model\.openclip"):
        read_encoder(encoder)
    again = rewrite_as_safetensors(encoder, tmp_path / "again")
    rewritten = load_file(again / "open_clip_model.safetensors")
    assert rewritten.keys() == state.keys()
    assert all(torch.equal(rewritten[name], tensor) for name, tensor in state.items())
    read_encoder(again)


def test_rewriting_a_folder_that_is_none_exits_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "open_clip cannot open" in capsys.readouterr().err


def test_text_is_cut_at_the_context_length_and_order_is_kept(tiny_model: Any) -> None:
    long = "lung " * 400
    vectors = tiny_model.text.embed([long, "CT", long + "normal"], batch_size=2)
    assert np.allclose(vectors[0], vectors[2], atol=1e-6)
    assert np.allclose(vectors[1], tiny_model.text.embed(["CT"])[0], atol=1e-6)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert tiny_model.text.embed([]).shape == (0, 24)
