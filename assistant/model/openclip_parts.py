"""Writes an encoder in Hugging Face form as an open_clip folder, to go on training it; needs open_clip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from assistant.errors import ModelError
from assistant.model.biomedclip import WEIGHTS_NAME, EncoderParts, convert_trunk
from assistant.model.load import load_model, resolve
from assistant.model.openclip import make_openclip_folder
from assistant.model.tensors import read_tensors

if TYPE_CHECKING:
    from torch import Tensor


def model_encoder(model: str | Path) -> EncoderParts:
    """Take the encoder out of a model.

    Args:
        model: a model folder, or "starter".
    Returns:
        its parts, in float32.
    Raises:
        ModelError: the model is broken.
    """
    folder = resolve(model)
    loaded = load_model(folder, device="cpu", quantization="none")
    tower = loaded.llava.model.vision_tower
    processor = loaded.processor.image_processor
    return EncoderParts(
        vision_config=tower.config,
        vision_state={name: one.float() for name, one in tower.state_dict().items() if not name.startswith("pooler.")},
        text_config=loaded.text.bert.config,
        text_state={name: one.float() for name, one in loaded.text.bert.state_dict().items()},
        projection={name: one.float() for name, one in read_tensors(folder / "projection.safetensors").items()},
        image_size=loaded.contract.image_size,
        mean=tuple(processor.image_mean),
        std=tuple(processor.image_std),
        context_length=loaded.text.context_length,
        tokenizer_dir=folder / "text_tower",
    )


def write_openclip(parts: EncoderParts, out: str | Path, *, image_size: int | None = None) -> Path:
    """Write an encoder as an open_clip folder.

    Args:
        parts: of the encoder.
        out: the folder; created if missing.
        image_size: side of its pictures in pixels from now on, a multiple of the patch; its positions are
            interpolated with bicubic interpolation. None keeps the size.
    Returns:
        `out`.
    Raises:
        ModelError: the size is no multiple of the patch, or the encoder is not of BiomedCLIP's form.
    """
    from safetensors.torch import save_file
    from transformers import AutoTokenizer

    vision, folder = parts.vision_config, Path(out)
    size, patch = image_size or parts.image_size, int(vision.patch_size)  # type: ignore[arg-type]
    if size < patch or size % patch:
        raise ModelError(f"image_size is {size}; it must be a multiple of the encoder's patch of {patch} pixels.")
    make_openclip_folder(
        folder,
        timm_name="vit_tiny_patch16_224",
        image_size=size,
        embed_dim=int(parts.projection["visual.weight"].shape[0]),
        text_config=parts.text_config.to_dict(),
        tokenizer=AutoTokenizer.from_pretrained(parts.tokenizer_dir),
        trunk_args={
            "patch_size": patch,
            "embed_dim": vision.hidden_size,
            "depth": vision.num_hidden_layers,
            "num_heads": vision.num_attention_heads,
            "mlp_ratio": vision.intermediate_size / vision.hidden_size,
            "qkv_bias": vision.qkv_bias,
        },
        context_length=parts.context_length,
        text_head="mlp" if "text.1.weight" in parts.projection else "linear",
        mean=parts.mean,
        std=parts.std,
    )
    state = openclip_state(parts, size // patch)
    save_file({name: one.contiguous() for name, one in state.items()}, folder / WEIGHTS_NAME)
    return folder


def openclip_state(parts: EncoderParts, grid: int) -> dict[str, Tensor]:
    """Rename an encoder's tensors to open_clip's.

    Args:
        parts: of the encoder.
        grid: patches a side that it is to have.
    Returns:
        names as open_clip has them, each query, key and value joined again.
    """
    import torch

    trunk, thirds = dict[str, "Tensor"](), dict[str, dict[str, "Tensor"]]()
    names = _timm_names(int(parts.vision_config.num_hidden_layers))
    for name, one in parts.vision_state.items():
        if name in names:
            trunk[names[name]] = one
            continue
        head, _, rest = name.partition(".attention.")
        letter, _, kind = rest.partition("_proj.")
        thirds.setdefault(f"blocks.{head.removeprefix('layers.')}.attn.qkv.{kind}", {})[letter] = one
    for name, three in thirds.items():
        trunk[name] = torch.cat([three[letter] for letter in "qkv"])
    trunk["pos_embed"] = resized_positions(trunk["pos_embed"], grid)
    projection = {"visual.weight": "visual.head.proj.weight", "logit_scale": "logit_scale"}
    if "text.1.weight" in parts.projection:
        projection |= {"text.0.weight": "text.proj.0.weight", "text.1.weight": "text.proj.2.weight"}
    else:
        projection["text.0.weight"] = "text.proj.weight"
    return {
        **{f"visual.trunk.{name}": one for name, one in trunk.items()},
        **{f"text.transformer.{name}": one for name, one in parts.text_state.items()},
        **{projection[name]: one for name, one in parts.projection.items()},
    }


def resized_positions(positions: Tensor, grid: int) -> Tensor:
    """Interpolate learnt positions to another number of patches.

    Args:
        positions: (1, 1 + G * G, D), the class token's first.
        grid: patches a side that are wanted.
    Returns:
        (1, 1 + grid * grid, D).
    """
    import torch
    from torch.nn import functional

    first, rest = positions[:, :1], positions[:, 1:]
    side = round(rest.shape[1] ** 0.5)
    if side == grid:
        return positions
    square = rest.float().reshape(1, side, side, -1).permute(0, 3, 1, 2)
    square = functional.interpolate(square, size=(grid, grid), mode="bicubic", antialias=True, align_corners=False)
    return torch.cat([first, square.flatten(2).transpose(1, 2).to(rest.dtype)], dim=1)


def _timm_names(depth: int) -> dict[str, str]:
    """Return timm's name of each tensor that has just another name, the inverse of `convert_trunk`."""
    import torch

    parts = ("norm1", "norm2", "attn.proj", "mlp.fc1", "mlp.fc2")
    blocks = [f"blocks.{n}.{part}.{kind}" for n in range(depth) for part in parts for kind in ("weight", "bias")]
    fixed = ["cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias", "norm.weight", "norm.bias"]
    nothing = torch.empty(0)
    return {next(iter(convert_trunk({name: nothing}))): name for name in [*fixed, *blocks]}
