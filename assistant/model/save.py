"""Writes model folders: a whole model, or an adapter with the contract that ties it to its base."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import ModelError
from assistant.model.adapter import refuse_quantized, without_peft_noise
from assistant.model.contract import Contract
from assistant.model.load import adapter_base, folder_fingerprint, starter_folder
from assistant.model.loaded import LoadedModel
from assistant.model.tensors import read_tensors
from assistant.model.writing import atomic_folder, describe, index_weights, today

if TYPE_CHECKING:
    from peft import PeftModel

_SIDE_FILES = ("README.md", "guard.safetensors")
_TYPES = ("float32", "bfloat16")


def save_model(loaded: LoadedModel, out: str | Path, *, dtype: str | None = None, **changes: Any) -> Path:
    """Write a whole model folder; it appears complete or not at all.

    Args:
        loaded: its `llava` may have been trained since it was loaded. Its text tower is copied from its folder.
        out: the folder to make; it must not exist or must be empty.
        dtype: "float32" or "bfloat16" for the weights on disk, text tower included; None keeps each as it is.
        **changes: fields of the contract to set (name, licence, calibration, …); measured ones follow the model.
    Returns:
        `out`.
    Raises:
        ModelError: the folder is taken, the type is unknown, or the language model is quantized or holds an adapter.
    """
    import torch
    from safetensors.torch import save_file

    if dtype is not None and dtype not in _TYPES:
        raise ModelError(f"dtype is {dtype!r}; choose one of: {', '.join(_TYPES)}.")
    refuse_quantized(loaded.llava)
    if any(type(module).__module__.startswith("peft.") for module in loaded.llava.modules()):
        raise ModelError("The model holds an adapter. Merge it: python -m training.merge ADAPTER --out DIR")
    target = Path(out)
    torch_type = getattr(torch, dtype) if dtype else None
    side = side_folder(loaded)
    with atomic_folder(target) as folder:
        state = loaded.llava.state_dict()
        if torch_type is not None:
            state = {name: tensor.to(torch_type) for name, tensor in state.items()}
        before = loaded.llava.config.dtype
        loaded.llava.config.dtype = torch_type or loaded.llava.dtype
        loaded.llava.save_pretrained(folder, state_dict=state)
        loaded.llava.config.dtype = before
        index_weights(folder)
        loaded.processor.save_pretrained(folder)
        shutil.copytree(side / "text_tower", folder / "text_tower")
        for name in ("projection.safetensors", "text_tower/model.safetensors"):
            tensors = read_tensors(side / name)
            cast = {key: value.to(torch_type or value.dtype) for key, value in tensors.items()}
            save_file(cast, folder / name, metadata={"format": "pt"})
        copy_side_files(loaded.folder, folder)
        measured = describe(loaded.llava, loaded.processor, folder)
        loaded.contract.replace(**{"created": today(), "base": None, **measured, **changes}).write(folder)
    return target


def save_adapter(model: PeftModel, base: LoadedModel, out: str | Path, **changes: Any) -> Path:
    """Write an adapter folder: PEFT's files, the processor, and a contract that names the base's fingerprint.

    Args:
        model: `base.llava` wrapped by PEFT; a connector trained whole (`modules_to_save`) goes with it.
        base: the model folder that was opened; it must still be as it was.
        out: the folder to make; it must not exist or must be empty.
        **changes: fields of the contract to set.
    Returns:
        `out`.
    Raises:
        ModelError: the folder is taken, or the base is an adapter itself.
    """
    if base.contract.base is not None:
        raise ModelError(
            f"{base.folder} is an adapter itself. Merge it first: python -m training.merge ADAPTER --out DIR"
        )
    target = Path(out)
    shipped = base.folder.resolve() == starter_folder().resolve()
    for settings in model.peft_config.values():
        settings.base_model_name_or_path = "starter" if shipped else str(base.folder.resolve())
    with atomic_folder(target) as folder:
        with without_peft_noise():
            model.save_pretrained(str(folder), save_embedding_layers=False)
        base.processor.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty form of a card
        measured = describe(model.get_base_model(), base.processor, base.folder)
        fields = {"created": today(), **measured, "base": folder_fingerprint(base.folder), **changes}
        contract: Contract = base.contract.replace(**fields)
        contract.write(folder)
    return target


def side_folder(loaded: LoadedModel) -> Path:
    """Return the folder that holds a model's projection and text tower: its own, or its base's."""
    if (loaded.folder / "projection.safetensors").is_file():
        return loaded.folder
    return adapter_base(loaded.folder) or loaded.folder


def copy_side_files(source: Path, target: Path) -> None:
    """Copy the model card and the guard's centroids, where there are any."""
    for name in _SIDE_FILES:
        if (source / name).is_file():
            shutil.copy2(source / name, target / name)
