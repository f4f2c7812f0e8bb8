"""Merges an adapter into its base: one plain model folder that needs no PEFT."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import ModelError
from assistant.model.adapter import attach, refuse_quantized
from assistant.model.folder import weight_files
from assistant.model.load import adapter_base, load_model, look_at
from assistant.model.loaded import LoadedModel
from assistant.model.save import copy_side_files, save_model
from assistant.model.tensors import stored_dtype

if TYPE_CHECKING:
    from transformers import LlavaForConditionalGeneration


def merge_adapter(
    adapter: str | Path, out: str | Path, *, base: LoadedModel | None = None, dtype: str | None = None, **changes: Any
) -> Path:
    """Write the model that an adapter folder and its base make together.

    The sum is computed in float32, which is exact to rounding (2e-6 was measured); adding to 4-bit weights and
    rounding them again is not (4e-2), and is refused. It needs four bytes of memory a parameter.

    Args:
        adapter: an adapter folder.
        out: the folder to make; it must not exist or must be empty.
        base: the base, if it is open already, unquantized. It takes up the adapter's weights: do not use it after.
        dtype: "float32" or "bfloat16" for the weights on disk; None keeps the base's.
        **changes: fields of the contract to set.
    Returns:
        `out`.
    Raises:
        ModelError: `adapter` is no adapter folder, does not fit its base, or the base is quantized.
    """
    folder = Path(adapter)
    base_folder = adapter_base(folder) if folder.is_dir() else None
    if base_folder is None:
        raise ModelError(f"{folder} is no adapter folder: it has no adapter_config.json. Give what training.sft wrote.")
    _, _, contract = look_at(folder)
    if base is None:
        base = load_model(base_folder, device="cpu", dtype="float32", quantization="none")
    elif base.folder.resolve() != base_folder.resolve():
        raise ModelError(
            f"{folder} was trained on {base_folder}, and {base.folder} was given. Give that base, or none."
        )
    refuse_quantized(base.llava)
    merged: LlavaForConditionalGeneration = attach(base.llava.float(), folder, merge=True)
    whole = dataclasses.replace(base, llava=merged, contract=contract)
    stored = dtype or stored_dtype(base_folder / weight_files(base_folder)[0])
    target = save_model(whole, out, dtype=stored, **changes)
    copy_side_files(folder, target)
    return target
