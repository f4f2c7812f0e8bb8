"""Quantizes the language model's linears, and nothing else."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from assistant.errors import ModelError

if TYPE_CHECKING:
    import torch
    from transformers import BitsAndBytesConfig, PreTrainedModel

# Plain module names are silently not matched inside Llava, and the tower would be quantized: these are patterns.
SKIPPED = (r".*vision_tower.*", r".*multi_modal_projector.*", r".*lm_head.*")


def quantization_config(kind: str, compute: torch.dtype) -> BitsAndBytesConfig:
    """Make the settings that load only the language model's linears in fewer bits.

    Args:
        kind: "nf4", 4 bits with double quantization (QLoRA, arXiv:2305.14314), or "int8" (LLM.int8, arXiv:2208.07339).
        compute: type that products are computed in.
    Returns:
        for `from_pretrained(quantization_config=…)`.
    Raises:
        ModelError: `kind` is neither, or bitsandbytes is not installed.
    """
    import importlib.util

    from transformers import BitsAndBytesConfig

    if kind not in {"nf4", "int8"}:
        raise ModelError(f"quantization is {kind!r}; use nf4, int8 or none.")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError(f"quantization is {kind!r}, which needs bitsandbytes. Install it: pip install bitsandbytes")
    if kind == "int8":
        # It says the same of every product: that activations are rounded to 8 bits by way of 16.
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=list(SKIPPED))
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
        llm_int8_skip_modules=list(SKIPPED),
    )


def count_quantized(model: PreTrainedModel) -> dict[str, int]:
    """Count the quantized linears in each part of a model.

    Args:
        model: a Llava.
    Returns:
        counts under "language_model", "vision_tower", "multi_modal_projector" and "lm_head", and the number of all
        linears of the language model under "language_linears".
    """
    import torch

    counts = dict.fromkeys(("language_model", "vision_tower", "multi_modal_projector", "lm_head"), 0)
    linears = 0
    for name, module in model.named_modules():
        part = next((part for part in counts if part in name.split(".")), None)
        if part is None or not isinstance(module, torch.nn.Linear):
            continue
        linears += part == "language_model"
        counts[part] += type(module).__name__ in {"Linear4bit", "Linear8bitLt"}
    return {**counts, "language_linears": linears}
