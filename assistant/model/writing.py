"""What every writer of model folders shares: whole-or-nothing folders, and the measured half of a contract."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import ModelError
from assistant.model.folder import read_json
from assistant.model.tensors import read_header, read_tensors, tensor_fingerprint, text_fingerprint
from assistant.model.tiles import read_layers

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import LlavaProcessor

_CONNECTORS = {"linear": "linear", "gelu": "mlp2x_gelu"}


def today() -> str:
    """Return today's date in UTC, YYYY-MM-DD."""
    return datetime.now(UTC).date().isoformat()


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes `target` when the block ends well, and vanishes when it does not.

    Args:
        target: the folder to make.
    Yields:
        the temporary folder, beside `target`.
    Raises:
        ModelError: `target` is a file or a folder with something in it.
    """
    if target.is_file() or (target.is_dir() and any(target.iterdir())):
        raise ModelError(f"{target} exists already. Give another folder, or remove it first.")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{target.name}.{os.getpid()}.partial"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        for path in temporary.rglob("*"):
            if path.is_file():
                path.chmod(0o644)  # safetensors writes 0600, which would travel into wheels and shared folders
        if target.is_dir():
            target.rmdir()
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def encoder_fingerprint(vision: dict[str, Tensor], text: dict[str, Tensor], projection: dict[str, Tensor]) -> str:
    """Return the identity of an encoder: both towers, without unused poolers, and the projections.

    Args:
        vision: state of a `ViTModel`.
        text: state of a `BertModel`.
        projection: as in `projection.safetensors`.
    Returns:
        16 hexadecimal digits.
    """
    groups = {"vision": vision, "text": text, "projection": projection}
    return tensor_fingerprint(
        {
            f"{group}.{name}": tensor
            for group, tensors in groups.items()
            for name, tensor in tensors.items()
            if not name.startswith("pooler.") and not name.endswith("position_ids")
        }
    )


def text_tower_state(folder: Path) -> dict[str, Tensor]:
    """Read the weights of `text_tower/` in a model folder."""
    return read_tensors(folder / "text_tower" / "model.safetensors")


def configuration_fingerprint(folder: Path) -> str:
    """Return the identity of a folder's settings, in whatever order and by whichever transformers they were written."""
    settings = [read_json(folder / name) for name in ("config.json", "text_tower/config.json")]
    for item in settings:
        item.pop("transformers_version", None)
    return text_fingerprint(json.dumps(settings, sort_keys=True))


def _active(module: Any) -> Any:
    """The module that computes: PEFT wraps one that it trains whole, and keeps the base's beside it."""
    kept = getattr(module, "modules_to_save", None)
    return kept[module.active_adapters[0]] if kept is not None else module


def describe(model: Any, processor: LlavaProcessor, folder: Path) -> dict[str, Any]:
    """Measure the fields of a `Contract` that can be measured.

    Args:
        model: a `LlavaForConditionalGeneration` with the image tower and connector to describe, not quantized there.
        processor: with tokenizer and chat template.
        folder: holds `config.json`, `projection.safetensors` and `text_tower/`.
    Returns:
        field names with values.
    """
    config = model.config
    tokenizer = processor.tokenizer
    projector = _active(model.model.multi_modal_projector)
    projection = read_tensors(folder / "projection.safetensors")
    vision = model.model.vision_tower.state_dict()
    eos = model.generation_config.eos_token_id
    act = config.projector_hidden_act
    layer, tiles = read_layers(config.vision_feature_layer)
    return {
        "encoder": encoder_fingerprint(vision, text_tower_state(folder), projection),
        "image_size": config.vision_config.image_size,
        "patch_size": config.vision_config.patch_size,
        "image_tokens": (config.vision_config.image_size // config.vision_config.patch_size) ** 2
        + (config.vision_feature_select_strategy == "full"),
        "embedding_dim": int(projection["visual.weight"].shape[0]),
        "feature_layer": layer,
        "tiles": tiles,
        "connector": _CONNECTORS.get(act, act),
        "connector_shape": (
            projector.linear_1.in_features,
            projector.linear_1.out_features,
            projector.linear_2.out_features,
        ),
        "connector_fingerprint": tensor_fingerprint(projector.state_dict()),
        "configuration": configuration_fingerprint(folder),
        "template": text_fingerprint(str(processor.chat_template or "")),
        "vocabulary": len(tokenizer),
        "image_token_id": config.image_token_id,
        "eos_token_ids": tuple(eos) if isinstance(eos, list) else (eos,),
        "pad_token_id": tokenizer.pad_token_id,
    }


def index_weights(folder: Path) -> None:
    """Write which file holds which weight, also where one file holds them all.

    Servers such as vLLM take every safetensors file of a folder for the model's weights, unless this index names them;
    the projection and the guard lie there too.

    Args:
        folder: with the weights as `save_pretrained` writes them.
    """
    index, weights = folder / "model.safetensors.index.json", folder / "model.safetensors"
    if index.is_file() or not weights.is_file():
        return
    names = dict.fromkeys(sorted(read_header(weights)), weights.name)
    told = {"metadata": {"total_size": weights.stat().st_size}, "weight_map": names}
    index.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
