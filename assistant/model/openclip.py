"""Makes and opens open_clip folders, to train an encoder or to compare with open_clip itself; needs open_clip."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.ending import run_command
from assistant.errors import ModelError
from assistant.model.biomedclip import CLIP_MEAN, CLIP_STD, CONFIG_NAME, TRUNK_CONFIG_NAME, WEIGHTS_NAME

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def make_openclip_folder(
    out: str | Path,
    *,
    timm_name: str = "vit_base_patch16_224",
    image_size: int = 224,
    embed_dim: int = 512,
    text_config: Mapping[str, Any],
    tokenizer: PreTrainedTokenizerBase,
    seed: int = 0,
    trunk_args: Mapping[str, Any] | None = None,
    context_length: int = 256,
    text_head: str = "mlp",
    mean: tuple[float, float, float] = CLIP_MEAN,
    std: tuple[float, float, float] = CLIP_STD,
) -> Path:
    """Make a randomly initialised open_clip folder of BiomedCLIP's shape, of any size.

    open_clip itself takes a timm model's name only, and no picture size that differs from that name's own. timm,
    though, opens `local-dir:FOLDER`, a model described by a file; the folder made here holds such a file.

    Args:
        out: the folder; created if missing.
        timm_name: a plain ViT of timm.
        image_size: side of the picture in pixels, a multiple of the patch.
        embed_dim: width of the joint space.
        text_config: keywords of a `BertConfig`; the vocabulary size follows the tokenizer.
        tokenizer: a BERT tokenizer (with [CLS], [SEP] and [PAD]).
        seed: of the random weights.
        trunk_args: further arguments of the timm model: embed_dim, depth, num_heads, mlp_ratio, patch_size.
        context_length: the most text tokens.
        text_head: "mlp" (BiomedCLIP's) or "linear".
        mean: of each channel, subtracted from the picture in [0, 1].
        std: of each channel, divided by.
    Returns:
        `out`.
    """
    import torch
    from safetensors.torch import save_file
    from transformers import BertConfig

    folder = Path(out).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    _write_trunk(folder, timm_name, {**(trunk_args or {}), "img_size": image_size})
    config = BertConfig(**{**text_config, "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id})
    config.architectures = ["BertModel"]
    config.save_pretrained(folder)
    tokenizer.model_max_length = context_length
    tokenizer.save_pretrained(folder)
    model_cfg = _model_cfg(folder, image_size, embed_dim, text_head, context_length)
    preprocess = {"mean": list(mean), "std": list(std), "interpolation": "bicubic", "resize_mode": "shortest"}
    _write_json(folder / CONFIG_NAME, {"model_cfg": model_cfg, "preprocess_cfg": preprocess})
    torch.manual_seed(seed)
    model = _create(folder, load_weights=False)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / WEIGHTS_NAME)
    return folder


def _write_trunk(folder: Path, timm_name: str, args: dict[str, Any]) -> None:
    """Write the file that timm makes the image tower from."""
    import timm
    import torch

    (folder / TRUNK_CONFIG_NAME).parent.mkdir(parents=True, exist_ok=True)
    with torch.device("meta"):
        probe: Any = timm.create_model(timm_name, pretrained=False, **args)
    trunk = {
        "architecture": timm_name,
        "num_features": 0,
        "model_args": {**args, "num_heads": probe.blocks[0].attn.num_heads},
    }
    _write_json(
        folder / TRUNK_CONFIG_NAME, {**trunk, "pretrained_cfg": {"input_size": [3, args["img_size"], args["img_size"]]}}
    )


def _model_cfg(folder: Path, image_size: int, embed_dim: int, text_head: str, context_length: int) -> dict[str, Any]:
    """open_clip's description of a model whose parts all lie in `folder`."""
    text_cfg = {
        "hf_tokenizer_name": str(folder),
        "hf_model_name": str(folder),
        "hf_model_pretrained": False,
        "hf_proj_type": text_head,
        "hf_pooler_type": "cls_last_hidden_state_pooler",
        "context_length": context_length,
    }
    vision_cfg = {
        "timm_model_name": f"local-dir:{folder / 'timm'}",
        "timm_model_pretrained": False,
        "timm_pool": "",
        "timm_proj": "linear",
        "image_size": image_size,
    }
    return {"embed_dim": embed_dim, "vision_cfg": vision_cfg, "text_cfg": text_cfg}


def open_openclip(folder: str | Path) -> Any:
    """Open a folder with open_clip itself.

    A folder that was moved is first made to point at itself again: open_clip wants absolute paths in it.

    Args:
        folder: an open_clip folder.
    Returns:
        open_clip's model, in evaluation mode.
    Raises:
        ModelError: open_clip is not installed, or cannot open the folder.
    """
    path = Path(folder).resolve()
    config_path = path / CONFIG_NAME
    config = json.loads(config_path.read_text(encoding="utf-8"))
    before = json.dumps(config)
    model_cfg = config["model_cfg"]
    if (path / TRUNK_CONFIG_NAME).is_file():
        model_cfg["vision_cfg"]["timm_model_name"] = f"local-dir:{path / 'timm'}"
    if (path / "config.json").is_file():
        model_cfg["text_cfg"].update(hf_model_name=str(path), hf_tokenizer_name=str(path))
    if json.dumps(config) != before:
        _write_json(config_path, config)
    return _create(path, load_weights=True).eval()


def rewrite_as_safetensors(source: str | Path, out: str | Path) -> Path:
    """Copy an open_clip model that has only pickled weights into a folder with safetensors.

    open_clip opens the pickle with `weights_only`, which refuses anything but tensors. Do it for sources you trust.

    Args:
        source: a folder, or a hub id where there is a network.
        out: the folder to make; it must not exist or must be empty.
    Returns:
        `out`.
    Raises:
        ModelError: the source cannot be opened, or `out` is taken.
    """
    from safetensors.torch import save_file

    from assistant.model.biomedclip import fetch_encoder
    from assistant.model.writing import atomic_folder

    folder = fetch_encoder(source).resolve()
    model = _create(folder if Path(source).is_dir() else str(source), load_weights=True)
    target = Path(out)
    with atomic_folder(target) as new:
        for path in sorted(folder.iterdir()):
            if path.suffix in {".json", ".txt"}:
                shutil.copyfile(path, new / path.name)
        if (folder / TRUNK_CONFIG_NAME).is_file():
            shutil.copytree(folder / "timm", new / "timm")
        save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, new / WEIGHTS_NAME)
    return target


def main(argv: list[str] | None = None) -> int:
    """Run `python -m assistant.model.openclip SOURCE --out DIR`.

    Args:
        argv: arguments, by default those of the process.
    Returns:
        Exit code: 0 done, 2 wrong usage or a source that cannot be opened.
    """
    parser = argparse.ArgumentParser(
        prog="python -m assistant.model.openclip",
        description="Copy an open_clip model whose weights are pickled into a folder with safetensors.",
    )
    parser.add_argument("source", help="folder or hub id, such as BiomedCLIP's")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to make")
    arguments = parser.parse_args(argv)
    try:
        sys.stdout.write(f"{rewrite_as_safetensors(arguments.source, arguments.out)}\n")
    except ModelError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


def _create(source: Path | str, *, load_weights: bool) -> Any:
    """Have open_clip make the model of a folder (a `Path`) or of a hub id (a `str`)."""
    try:
        import open_clip
    except ImportError as error:
        raise ModelError("open_clip is not installed. Install it: pip install open_clip_torch") from error
    name = f"local-dir:{source}" if isinstance(source, Path) else f"hf-hub:{source}"
    try:
        return open_clip.create_model(name, load_weights=load_weights, pretrained_text=False)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(f"open_clip cannot open {source}: {error}. Copy the folder again from its source.") from error


def _write_json(path: Path, value: Any) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
