"""Which weights of a model train, and how the result is written: shared by the stages that tune a whole model."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from assistant.model.loaded import LoadedModel
from assistant.model.save import save_adapter, save_model
from training.adapter import LoraSettings, add_lora

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import nn


def held_in(lora: LoraSettings | None) -> Literal["nf4", "int8", "none"]:
    """Return how a model is loaded for training: what is not asked for is none at all.

    The contract's own quantization is for answering, and a model held in it could not be saved.
    """
    return (lora and lora.quantization) or "none"


def set_trainable(llava: Any, train: Collection[str], lora: LoraSettings | None) -> nn.Module:
    """Switch on what is trained; all else, the image tower always, stays frozen.

    Args:
        llava: a frozen `LlavaForConditionalGeneration`.
        train: "connector", "language_model", or both.
        lora: the language model changes by LoRA only.
    Returns:
        The module that holds what is trained: `llava`, or PEFT's wrapper around it.
    """
    llava.train()
    llava.model.vision_tower.eval()
    if "connector" in train:
        llava.model.multi_modal_projector.requires_grad_(True)
    if lora is not None:
        return add_lora(llava, lora, connector="connector" in train)
    if "language_model" in train:
        llava.model.language_model.requires_grad_(True)
        llava.lm_head.requires_grad_(True)
    return cast("nn.Module", llava)


def write_result(loaded: LoadedModel, network: nn.Module, lora: LoraSettings | None, out: Path) -> Path:
    """Write what was trained: a whole model folder, or with LoRA an adapter folder.

    Args:
        loaded: the model with its trained weights.
        network: what `set_trainable` returned.
        lora: as it was given there.
        out: folder to make.
    Returns:
        `out`.
    """
    loaded.llava.eval()
    if lora is not None:
        return save_adapter(cast("PeftModel", network), loaded, out)
    return save_model(loaded, out)
