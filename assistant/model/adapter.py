"""Puts a PEFT adapter, saved or fresh, onto its base."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from assistant.errors import ModelError
from assistant.model.tensors import read_header

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel
    from transformers import LlavaForConditionalGeneration


def attach(llava: LlavaForConditionalGeneration, folder: Path, *, merge: bool = False) -> LlavaForConditionalGeneration:
    """Return `llava` with the adapter in `folder` inside it, active and frozen.

    Args:
        llava: the base; changed in place.
        folder: holds `adapter_config.json` and `adapter_model.safetensors`.
        merge: add the adapter to the base's weights, so that a plain model is left.
    Returns:
        the same class as `llava`.
    Raises:
        ModelError: the adapter's tensors are missing, extra or mis-shaped for this base.
    """
    # It tells, whenever PEFT is imported, of a faster kernel that would have to be downloaded.
    logging.getLogger("bitsandbytes.backends").setLevel(logging.ERROR)
    from peft import PeftModel, get_peft_model_state_dict
    from peft.utils import load_peft_weights

    mend = "Load it on the base it was trained on, or train it again with python -m training.sft."
    read_header(folder / "adapter_model.safetensors")
    try:
        with without_peft_noise():
            # Missing keys are named below.
            warnings.filterwarnings("ignore", message="Found missing adapter keys", category=UserWarning)
            wrapped = _settled(PeftModel.from_pretrained(llava, str(folder), is_trainable=False))
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"The adapter in {folder} does not fit its base: {error}. {mend}") from error
    with without_peft_noise():
        wanted = set(get_peft_model_state_dict(wrapped, save_embedding_layers=False))
    given = set(load_peft_weights(str(folder), device="cpu"))
    if wanted != given:
        raise ModelError(
            f"The adapter in {folder} does not fit its base: missing {sorted(wanted - given)[:4]}, "
            f"extra {sorted(given - wanted)[:4]}. {mend}"
        )
    if not merge:
        return cast("LlavaForConditionalGeneration", wrapped.get_base_model())
    _unwrap_whole_modules(wrapped)
    return cast("LlavaForConditionalGeneration", wrapped.merge_and_unload())


def _unwrap_whole_modules(wrapped: PeftModel) -> None:
    """Put modules that were trained whole in their place; PEFT's own merging trips over them but for LoRA."""
    from peft.utils import ModulesToSaveWrapper

    found = [(name, one) for name, one in wrapped.named_modules() if isinstance(one, ModulesToSaveWrapper)]
    for name, one in found:
        parent, _, child = name.rpartition(".")
        setattr(wrapped.get_submodule(parent), child, one.modules_to_save[one.active_adapters[0]])


def reopen(llava: LlavaForConditionalGeneration, folder: Path) -> PeftModel:
    """Put a saved adapter onto its base, to train it on.

    Args:
        llava: the frozen base; changed in place.
        folder: of the adapter; `attach` has more to say on what is wrong with it.
    Returns:
        PEFT's wrapper, whose adapter alone is trainable.
    """
    from peft import PeftModel

    with without_peft_noise():
        return _settled(PeftModel.from_pretrained(llava, str(folder), is_trainable=True))


def wrap(llava: LlavaForConditionalGeneration, settings: PeftConfig) -> PeftModel:
    """Put a fresh adapter onto a base, to train it.

    Args:
        llava: the base; changed in place.
        settings: PEFT's, such as a `LoraConfig`.
    Returns:
        PEFT's wrapper, whose adapter alone is trainable.
    """
    from peft import get_peft_model

    with without_peft_noise():
        return _settled(cast("PeftModel", get_peft_model(llava, settings)))


def _settled(wrapped: PeftModel) -> PeftModel:
    """Have places of single weights (SHiRA) checked where they are used: a file may name places that are not there."""
    import torch

    if any(str(one.peft_type).endswith("SHIRA") for one in wrapped.peft_config.values()):
        torch.sparse.check_sparse_tensor_invariants.enable()
    return wrapped


@contextmanager
def without_peft_noise() -> Iterator[None]:
    """Hide warnings that no user can act on.

    PEFT asks transformers for a flag by its old name, does not know the norms that it can tune, takes a linear that
    AdaLoRA left no rank for a part of a model on several machines, and the names of AdaLoRA's ranks for LoRA's.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        warnings.filterwarnings("ignore", message="Unsupported layer type .*RMSNorm", category=UserWarning)
        warnings.filterwarnings("ignore", message=r"Adapter .* LoRA tensor\(s\) have invalid shape")
        warnings.filterwarnings("ignore", message=r"The following rank_pattern keys did not match .*\.lora_E")
        yield


def refuse_quantized(llava: LlavaForConditionalGeneration) -> None:
    """Refuse a model whose weights are rounded to 4 or 8 bits, where whole weights are needed.

    Args:
        llava: any model.
    Raises:
        ModelError: it is quantized.
    """
    if getattr(llava, "is_quantized", False):
        raise ModelError(
            "The model is quantized: saving or merging it would fix the rounding for good (an error of 4e-2 was "
            "measured, against 2e-6). Load it with quantization='none'."
        )
