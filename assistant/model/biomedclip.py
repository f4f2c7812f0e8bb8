"""BiomedCLIP, or any open_clip model of its shape, read into plain Hugging Face parts.

An open_clip folder holds `open_clip_config.json`, `open_clip_model.safetensors` and the files of a BERT
tokenizer and configuration. Its image tower is a timm ViT, its text tower a BERT. Both become stock classes,
`ViTModel` and `BertModel`, by renaming tensors and splitting the fused query-key-value matrix, so neither
open_clip nor timm is needed to answer a question.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import ModelError
from assistant.model.tensors import read_tensors

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import BertConfig, ViTConfig

CONFIG_NAME = "open_clip_config.json"
WEIGHTS_NAME = "open_clip_model.safetensors"
TRUNK_CONFIG_NAME = "timm/config.json"
"""Where a folder made by `openclip.make_openclip_folder` keeps its image tower's shape."""

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

# timm's names whose attention heads are not 64 wide.
_HEAD_WIDTHS = {"huge": 80, "giant": 88, "gigantic": 104, "test": 32}


@dataclass(frozen=True)
class EncoderParts:
    """An image-text encoder in Hugging Face form, as tensors and configurations. D image width, E joint width."""

    vision_config: ViTConfig
    vision_state: dict[str, Tensor]
    """For `ViTModel(vision_config, add_pooling_layer=False)`."""
    text_config: BertConfig
    text_state: dict[str, Tensor]
    """For `BertModel(text_config, add_pooling_layer=False)`."""
    projection: dict[str, Tensor]
    """`visual.weight` (E, D); `text.0.weight` and, for a two-layer head, `text.1.weight`; `logit_scale` ()."""
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    context_length: int
    """The most text tokens the text tower reads."""
    tokenizer_dir: Path


def fetch_encoder(source: str | Path) -> Path:
    """Find an open_clip model, downloading it when `source` is a hub id.

    Args:
        source: a folder, or an id such as "microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224".
    Returns:
        its local folder.
    Raises:
        ModelError: there is no such folder, and the hub cannot be reached or has no such model.
    """
    folder = Path(source)
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(source), allow_patterns=["*.json", "*.txt", "*.safetensors"]))
    except Exception as error:  # the hub client raises many kinds; each means that nothing came
        raise ModelError(
            f"{source} is no folder, and the model hub did not give it ({type(error).__name__}: {error}). "
            "Check the spelling, or download it where there is a network and give the folder."
        ) from error


def read_encoder(source: str | Path) -> EncoderParts:
    """Convert an open_clip folder or hub id.

    Args:
        source: see `fetch_encoder`.
    Returns:
        the parts; tensors keep the type they were saved with.
    Raises:
        ModelError: a file is missing or broken, or the model is not a ViT with a linear head and a BERT.
    """
    folder = fetch_encoder(source)
    config = _read_config(folder)
    state = _read_state(folder)
    model_cfg = config["model_cfg"]
    preprocess = config.get("preprocess_cfg", {})
    trunk = _strip(state, "visual.trunk.")
    if "patch_embed.proj.weight" not in trunk:
        raise ModelError(
            f"{folder / WEIGHTS_NAME} has no visual.trunk.patch_embed.proj.weight: its image tower is no timm ViT. "
            "Use BiomedCLIP or another open_clip model with a timm ViT image tower."
        )
    vision_config = _vision_config(folder, model_cfg, trunk)
    text_state = _strip(state, "text.transformer.")
    text_config = _text_config(folder, text_state)
    context = int(model_cfg.get("text_cfg", {}).get("context_length", text_config.max_position_embeddings))
    return EncoderParts(
        vision_config=vision_config,
        vision_state=convert_trunk(trunk),
        text_config=text_config,
        text_state=text_state,
        projection=_projection(folder, model_cfg, state),
        image_size=int(vision_config.image_size),  # type: ignore[arg-type]
        mean=_triple(preprocess.get("mean"), CLIP_MEAN),
        std=_triple(preprocess.get("std"), CLIP_STD),
        context_length=min(context, int(text_config.max_position_embeddings)),
        tokenizer_dir=folder,
    )


def convert_trunk(trunk: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename a timm ViT's tensors to those of `ViTModel`, splitting each (3D, D) qkv into three (D, D).

    Args:
        trunk: names as timm has them, without a prefix.
    Returns:
        names as a `ViTModel` without pooler has them.
    Raises:
        ModelError: a tensor has no place in a plain ViT (register tokens, layer scale, pre-norm, …).
    """
    fixed = {
        "cls_token": "embeddings.cls_token",
        "pos_embed": "embeddings.position_embeddings",
        "patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
        "patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
        "norm.weight": "layernorm.weight",
        "norm.bias": "layernorm.bias",
    }
    inner = {
        "norm1": "layernorm_before",
        "norm2": "layernorm_after",
        "attn.proj": "attention.o_proj",
        "mlp.fc1": "mlp.fc1",
        "mlp.fc2": "mlp.fc2",
    }
    result: dict[str, Tensor] = {}
    for name, tensor in trunk.items():
        if name in fixed:
            result[fixed[name]] = tensor
            continue
        head, _, rest = name.partition("blocks.")
        number, _, tail = rest.partition(".")
        part, _, kind = tail.rpartition(".")
        if not head and number.isdigit() and part == "attn.qkv":
            for letter, third in zip("qkv", tensor.chunk(3, dim=0), strict=True):
                result[f"layers.{number}.attention.{letter}_proj.{kind}"] = third.contiguous()
        elif not head and number.isdigit() and part in inner:
            result[f"layers.{number}.{inner[part]}.{kind}"] = tensor
        else:
            raise ModelError(
                f"The image tower has a tensor {name!r}, which a plain ViT has not. "
                "Use an encoder whose image tower is a timm vit_*_patch* model without extras."
            )
    return result


def _strip(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in state.items() if name.startswith(prefix)}


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG_NAME
    if not path.is_file():
        raise ModelError(
            f"{folder} has no {CONFIG_NAME}: it is no open_clip folder. Give the folder that open_clip saved, "
            "or the hub id microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224."
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is no JSON ({error}). Copy the file again from its source.") from error
    if not isinstance(config, dict) or not isinstance(config.get("model_cfg"), dict):
        raise ModelError(f"{path} has no model_cfg. Copy the file again from its source.")
    return config


def _read_state(folder: Path) -> dict[str, Tensor]:
    path = folder / WEIGHTS_NAME
    if path.is_file():
        return read_tensors(path)
    pickled = sorted(file.name for file in folder.glob("*") if file.suffix in {".bin", ".pt", ".pth"})
    found = f"; it has {', '.join(pickled)}, but pickled weights can run code and are never opened" if pickled else ""
    raise ModelError(
        f"{folder} has no {WEIGHTS_NAME}{found}. Make a folder that has it: "
        f"python -m assistant.model.openclip {folder} --out DIR"
    )


def _vision_config(folder: Path, model_cfg: dict[str, Any], trunk: dict[str, Tensor]) -> ViTConfig:
    from transformers import ViTConfig

    width, _, patch, _ = trunk["patch_embed.proj.weight"].shape
    positions = int(trunk["pos_embed"].shape[1]) - 1 if "pos_embed" in trunk else 0
    side = round(positions**0.5)
    if "cls_token" not in trunk or side < 1 or side * side != positions:
        raise ModelError(
            f"The image tower in {folder} has {positions} patch positions and "
            f"{'a' if 'cls_token' in trunk else 'no'} class token. Use a ViT with a class token and a square grid."
        )
    depth = 1 + max(int(name.split(".")[1]) for name in trunk if name.startswith("blocks."))
    vision_cfg = model_cfg.get("vision_cfg", {})
    head_width = _head_width(folder, vision_cfg, int(width))
    return ViTConfig(
        hidden_size=int(width),
        num_hidden_layers=depth,
        num_attention_heads=int(width) // head_width,
        intermediate_size=int(trunk["blocks.0.mlp.fc1.weight"].shape[0]),
        image_size=side * int(patch),
        patch_size=int(patch),
        layer_norm_eps=1e-6,  # timm's; the class's own default is 1e-12
        qkv_bias="blocks.0.attn.qkv.bias" in trunk,
    )


def _head_width(folder: Path, vision_cfg: dict[str, Any], width: int) -> int:
    """Width of one attention head: no tensor's shape tells it."""
    name = str(vision_cfg.get("timm_model_name", ""))
    own = folder / TRUNK_CONFIG_NAME
    if name.startswith("local-dir:") and own.is_file():
        heads = int(json.loads(own.read_text(encoding="utf-8"))["model_args"]["num_heads"])
        return width // heads
    known = next((size for word, size in _HEAD_WIDTHS.items() if word in name.split("_")), 64)
    head_width = int(vision_cfg.get("head_width", known))
    if head_width < 1 or width % head_width:
        raise ModelError(
            f"The image tower in {folder} is {width} wide, which heads of {head_width} do not divide. "
            f"Set vision_cfg.head_width in {CONFIG_NAME}."
        )
    return head_width


def _text_config(folder: Path, state: dict[str, Tensor]) -> BertConfig:
    from transformers import BertConfig

    if "embeddings.word_embeddings.weight" not in state:
        raise ModelError(
            f"{folder / WEIGHTS_NAME} has no text.transformer.embeddings.word_embeddings.weight: its text tower is "
            "no BERT. Use BiomedCLIP or another open_clip model with a BERT text tower."
        )
    path = folder / "config.json"
    given: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    vocabulary, width = state["embeddings.word_embeddings.weight"].shape
    layers = 1 + max(int(name.split(".")[2]) for name in state if name.startswith("encoder.layer."))
    return BertConfig(
        vocab_size=int(vocabulary),
        hidden_size=int(width),
        num_hidden_layers=layers,
        num_attention_heads=int(given.get("num_attention_heads", max(1, int(width) // 64))),
        intermediate_size=int(state["encoder.layer.0.intermediate.dense.weight"].shape[0]),
        max_position_embeddings=int(state["embeddings.position_embeddings.weight"].shape[0]),
        type_vocab_size=int(state["embeddings.token_type_embeddings.weight"].shape[0]),
        layer_norm_eps=float(given.get("layer_norm_eps", 1e-12)),
        hidden_act=str(given.get("hidden_act", "gelu")),
        pad_token_id=int(given.get("pad_token_id", 0)),
    )


def _projection(folder: Path, model_cfg: dict[str, Any], state: dict[str, Tensor]) -> dict[str, Tensor]:
    pooler = model_cfg.get("text_cfg", {}).get("hf_pooler_type", "cls_last_hidden_state_pooler")
    if pooler != "cls_last_hidden_state_pooler":
        raise ModelError(f"{folder / CONFIG_NAME} pools text by {pooler!r}; only cls_last_hidden_state_pooler is read.")
    if "visual.head.proj.weight" not in state or "visual.head.proj.bias" in state:
        raise ModelError(
            f"{folder / WEIGHTS_NAME} has no linear image head without bias (visual.head.proj.weight). "
            "Use an encoder with timm_proj: linear, as BiomedCLIP has."
        )
    result = {"visual.weight": state["visual.head.proj.weight"]}
    if "text.proj.0.weight" in state:
        result["text.0.weight"] = state["text.proj.0.weight"]
        result["text.1.weight"] = state["text.proj.2.weight"]
    elif "text.proj.weight" in state:
        result["text.0.weight"] = state["text.proj.weight"]
    else:
        raise ModelError(
            f"{folder / WEIGHTS_NAME} has no text.proj.*: its text head is not known. "
            "Use an encoder with hf_proj_type: mlp or linear."
        )
    result["logit_scale"] = state["logit_scale"].reshape(())
    return result


def _triple(values: Any, default: tuple[float, float, float]) -> tuple[float, float, float]:
    if values is None:
        return default
    first, second, third = (float(value) for value in values)
    return first, second, third
