"""What must lie in a model folder, checked before any of it is trusted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from assistant.errors import ModelError
from assistant.model.tensors import read_header

_MEND = "Copy or download the folder again, or make it anew: python -m training.assemble RECIPE.yaml"
_LARGE = 1_000_000_000
_PICKLED = (".bin", ".pt", ".pth", ".ckpt")
_REQUIRED = (
    "config.json",
    "contract.json",
    "tokenizer_config.json",
    "processor_config.json",
    "chat_template.jinja",
    "projection.safetensors",
    "text_tower/config.json",
    "text_tower/model.safetensors",
)


def starter_folder() -> Path:
    """Return where the package keeps the model that ships with it."""
    return Path(__file__).parent.parent / "starter"


def weight_files(folder: Path) -> list[str]:
    """Find the files that hold a folder's weights: one, several shards, or an adapter's.

    Args:
        folder: a model or adapter folder.
    Returns:
        names relative to it.
    Raises:
        ModelError: there are none, a shard is missing, or there are pickled ones only.
    """
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        names = ["adapter_model.safetensors"]
    elif (folder / "model.safetensors").is_file():
        names = ["model.safetensors"]
    elif (folder / "model.safetensors.index.json").is_file():
        index = read_json(folder / "model.safetensors.index.json")
        names = sorted(set(index.get("weight_map", {}).values()))
    else:
        names = ["model.safetensors"]
    missing = [name for name in names if not (folder / name).is_file()]
    if not missing and names:
        return names
    pickled = sorted(path.name for path in folder.glob("*") if path.suffix in _PICKLED)
    if pickled:
        raise ModelError(
            f"{folder} holds weights as {', '.join(pickled)} and no {names[0]}. Pickled files can run code, so only "
            "safetensors are opened. Save it again with save_pretrained() of a current transformers."
        )
    raise ModelError(f"{folder} has no {', '.join(missing) or 'weights'}. {_MEND}")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Args:
        path: the file.
    Returns:
        the object.
    Raises:
        ModelError: it is missing or holds no JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}). {_MEND}") from error
    except ValueError as error:
        raise ModelError(f"{path} is no JSON ({error}). {_MEND}") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} holds a {type(value).__name__}, not an object. {_MEND}")
    return value


def check_files(folder: Path) -> None:
    """Check that a full model folder has every file, that JSON is JSON, and that no weights are cut short.

    Args:
        folder: the model folder.
    Raises:
        ModelError: something is missing or broken.
    """
    names = weight_files(folder)
    missing = [name for name in _REQUIRED if not (folder / name).is_file()]
    if missing:
        raise ModelError(f"{folder} is no complete model folder: it has no {', '.join(missing)}. {_MEND}")
    for name in _REQUIRED:
        if name.endswith(".json"):
            read_json(folder / name)
    for name in (*names, "projection.safetensors", "text_tower/model.safetensors"):
        read_header(folder / name)
    config = read_json(folder / "config.json")
    if config.get("model_type") != "llava" or config.get("vision_config", {}).get("model_type") != "vit":
        raise ModelError(
            f"{folder / 'config.json'} describes a {config.get('model_type')!r} with image tower "
            f"{config.get('vision_config', {}).get('model_type')!r}; this program loads 'llava' with 'vit'. {_MEND}"
        )


@contextmanager
def quiet(folder: Path) -> Iterator[None]:
    """Hide progress bars of a load that takes no time worth showing."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    if sum((folder / name).stat().st_size for name in weight_files(folder)) < _LARGE:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
