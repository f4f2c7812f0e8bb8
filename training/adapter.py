"""LoRA on the language model's linears, and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from assistant.errors import ConfigError

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import LlavaForConditionalGeneration

# The image tower uses the same names, so the pattern is tied to the language model.
TARGETS = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"


@dataclass(frozen=True)
class LoraSettings:
    """The trainable update to the language model; `lora:` in a recipe."""

    rank: int = 16
    """Inner width of each update. Memory and capacity grow with it; 8 to 64 is usual."""
    alpha: int = 32
    """The update is scaled by alpha / rank."""
    dropout: float = 0.05
    """Dropout on the update's input."""
    dora: bool = False
    """Learn direction and length apart (DoRA, Liu et al. 2024)."""
    quantization: Literal["nf4", "int8"] | None = None
    """Hold the frozen language model in 4 or 8 bits meanwhile (QLoRA)."""

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ConfigError(f"lora.rank is {self.rank}; use 1 or more, or delete `lora:` to train all weights.")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"lora.dropout is {self.dropout}; it is a chance, at least 0 and below 1.")


def add_lora(llava: LlavaForConditionalGeneration, settings: LoraSettings, *, connector: bool) -> PeftModel:
    """Wrap a model so that LoRA, and the connector if asked, are all that trains.

    Args:
        llava: the frozen model.
        settings: rank and scale.
        connector: whether the connector is trained whole and saved with the adapter.
    Returns:
        PEFT's wrapper around the same model.
    """
    from peft import LoraConfig

    from assistant.model.adapter import wrap

    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        use_dora=settings.dora,
        target_modules=TARGETS,
        modules_to_save=["multi_modal_projector"] if connector else None,
        task_type="CAUSAL_LM",
    )
    return wrap(llava, config)
