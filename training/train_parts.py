"""Which parts of a model train: `train:` and `last_layers:` of the stages that tune a whole model."""

from __future__ import annotations

from collections.abc import Collection

from assistant.errors import ConfigError
from training.adapter import LoraSettings

PARTS = ("connector", "language_model", "head")
"""Names in `train:`. The head turns the language model's last state into words."""


def check_parts(
    train: Collection[str],
    lora: LoraSettings | None,
    last_layers: int | None,
    allowed: Collection[str] = PARTS,
) -> None:
    """Refuse parts that are not there or do not go together.

    Args:
        train: names of parts.
        lora: the language model changes by an adapter only.
        last_layers: how many layers of the language model train whole; None for all.
        allowed: the stage's parts.
    Raises:
        ConfigError: says what is wrong, and what there is.
    """
    unknown = set(train) - set(allowed)
    if unknown or not train:
        raise ConfigError(f"train is {list(train)}; choose from {', '.join(allowed)}.")
    if lora is not None and "head" in train:
        raise ConfigError("train has head, which no adapter holds; take head out, or `lora:`.")
    check_last_layers(train, lora, last_layers)


def check_last_layers(train: Collection[str], lora: LoraSettings | None, last_layers: int | None) -> None:
    """Refuse `last_layers` where it has no meaning.

    Args:
        train: names of parts.
        lora: the language model changes by an adapter only.
        last_layers: how many layers of the language model train whole; None for all.
    Raises:
        ConfigError: it is below 1, or the language model does not train whole.
    """
    if last_layers is None:
        return
    if last_layers < 1:
        raise ConfigError(f"last_layers is {last_layers}; use 1 or more, or leave it out for all.")
    if lora is not None:
        raise ConfigError(f"last_layers is {last_layers}, but an adapter trains; set lora.last_layers in its place.")
    if "language_model" not in train:
        raise ConfigError(f"last_layers is {last_layers}, but train has no language_model; add it, or take this out.")


def tell_parts(train: Collection[str], lora: LoraSettings | None, last_layers: int | None) -> str:
    """Return in words what trains, such as "connector, language_model (LoRA rank 16)"."""
    if not train:
        return "nothing but its own head"
    how = "all weights"
    if lora is not None:
        how = f"{'LoRA' if lora.method == 'lora' else lora.method} rank {lora.rank}"
    elif last_layers is not None:
        how = f"the last {last_layers} layer{'s' if last_layers > 1 else ''}"
    return f"{', '.join(train)} ({how})"
