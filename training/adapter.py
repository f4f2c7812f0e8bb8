"""Adapters of the language model: LoRA and the other methods of PEFT that fit, on its linears and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from assistant.errors import ConfigError, TrainingError
from training.adapter_methods import METHODS, on_quantized

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel
    from transformers import LlavaForConditionalGeneration

# The image tower uses the same names, so the pattern is tied to the language model.
TARGETS = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"


@dataclass(frozen=True)
class LoraSettings:
    """The trainable update to the language model; `lora:` in a recipe."""

    rank: int = 16
    """Inner width of each update. Memory and capacity grow with it; 8 to 64 is usual. For oft: size of a block."""
    alpha: int = 32
    """The update is scaled by alpha / rank (rslora: by alpha over its root); for methods that scale."""
    dropout: float = 0.05
    """Dropout on the update's input, for methods that have it."""
    method: str = "lora"
    """How the update is made; see `training.adapter_methods`."""
    targets: str = TARGETS
    """Regular expression over module names: the linears that get an update. Connector and language model only."""
    last_layers: int | None = None
    """Put updates into this many layers next to the output only; None for all."""
    options: dict[str, Any] = field(default_factory=dict)
    """More settings of the method, passed on to PEFT as they are."""
    quantization: Literal["nf4", "int8"] | None = None
    """Hold the frozen language model in 4 or 8 bits meanwhile (QLoRA)."""
    on_top: bool = False
    """`model` is an adapter, such as one for the domain: leave it as it is and train another on top, such as one for
    the task. What is written is one adapter, of both."""

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ConfigError(f"lora.rank is {self.rank}; use 1 or more, or delete `lora:` to train all weights.")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"lora.dropout is {self.dropout}; it is a chance, at least 0 and below 1.")
        if self.method not in METHODS:
            raise ConfigError(f"lora.method is {self.method!r}; choose from {', '.join(METHODS)}.")
        if self.last_layers is not None and self.last_layers < 1:
            raise ConfigError(f"lora.last_layers is {self.last_layers}; use 1 or more, or leave it out for all.")
        if self.quantization and self.method not in on_quantized():
            raise ConfigError(
                f"lora.method {self.method} cannot run on weights held in {self.quantization}; choose from "
                f"{', '.join(on_quantized())}, or take `quantization` out."
            )
        only = METHODS[self.method].only_quantized
        if only is not None and self.quantization != only:
            raise ConfigError(
                f"lora.method {self.method} makes up for rounding to {only}, and quantization is {self.quantization}; "
                f"set lora.quantization: {only}, or choose another method."
            )
        if self.on_top:
            self._check_on_top()

    def _check_on_top(self) -> None:
        method = METHODS[self.method]
        if method.config != "LoraConfig" or method.moves_base or self.method == "dora":
            raise ConfigError(f"lora.on_top needs plain LoRA twice, and lora.method is {self.method}; set it to lora.")
        if self.quantization:
            raise ConfigError(
                f"lora.on_top adds the first adapter to weights that are held in {self.quantization}, which rounds it. "
                "Merge it first (python -m training.merge), or take `quantization` out."
            )


def add_lora(llava: LlavaForConditionalGeneration, settings: LoraSettings, *, connector: bool) -> PeftModel:
    """Wrap a model so that the update, and the connector if asked, are all that trains.

    Args:
        llava: the frozen model.
        settings: method, rank and scale.
        connector: whether the connector is trained whole and saved with the adapter.
    Returns:
        PEFT's wrapper around the same model.
    Raises:
        TrainingError: the targets name nothing, or reach into the image tower; or PEFT refuses the settings.
    """
    import peft

    from assistant.model.adapter import wrap
    from training.adapter_start import hold_a

    method = METHODS[settings.method]
    values = method.values(settings.rank, settings.alpha, settings.dropout)
    values |= {"target_modules": method.targets or settings.targets, "task_type": "CAUSAL_LM"}
    values["modules_to_save"] = ["multi_modal_projector"] if connector else None
    if settings.last_layers is not None:
        depth = int(llava.config.get_text_config().num_hidden_layers)
        kept = range(max(0, depth - settings.last_layers), depth)
        last = rf".*\.layers\.({'|'.join(map(str, kept))})\."
        values["target_modules"] = rf"(?={last}){values['target_modules']}"
    try:
        wrapped = wrap(llava, getattr(peft, method.config)(**values | settings.options))
    except (TypeError, ValueError) as error:
        raise TrainingError(f"PEFT refuses `lora:` with method {settings.method}: {error}") from error
    if method.held_a is not None:
        hold_a(wrapped, method.held_a)
    touched = [name for name, one in wrapped.named_parameters() if one.requires_grad and "vision_tower" in name]
    if touched:
        raise TrainingError(
            f"lora.targets {settings.targets!r} reaches into the image tower (first: {touched[0]}), whose features "
            "the search shares. Tie the pattern to language_model or multi_modal_projector."
        )
    return wrapped


def continue_adapter(
    llava: LlavaForConditionalGeneration, folder: Path, settings: LoraSettings | None, *, connector: bool
) -> PeftModel:
    """Put a saved adapter onto its base, to train it on.

    Args:
        llava: the frozen base.
        folder: of the adapter.
        settings: the recipe's, which must be the adapter's own; None takes them as they are.
        connector: whether the connector trains on, which it can if it did before.
    Returns:
        PEFT's wrapper around the same model.
    Raises:
        ConfigError: the recipe asks for another adapter than the one that is there.
    """
    from peft import PeftConfig

    from assistant.model.adapter import reopen
    from training.adapter_start import hold_a

    config = PeftConfig.from_pretrained(str(folder))
    mend = "Delete `lora:` to go on with the adapter as it is, or merge it first: python -m training.merge."
    if settings is not None:
        _check_same(folder, config, settings, mend)
    if connector and not config.modules_to_save:
        raise ConfigError(f"The adapter in {folder} has no connector; set train: [language_model], or merge it first.")
    wrapped = reopen(llava, folder)
    if settings is not None and (held := METHODS[settings.method].held_a) is not None:
        hold_a(wrapped, held)
    for name, one in wrapped.named_parameters():
        if "modules_to_save" in name and not connector:
            one.requires_grad_(False)
    return wrapped


def _check_same(folder: Path, config: PeftConfig, settings: LoraSettings, mend: str) -> None:
    """Refuse a recipe whose method, rank or scale is not that of the adapter."""
    method = METHODS[settings.method]
    if type(config).__name__ != method.config:
        raise ConfigError(f"The adapter in {folder} is of {type(config).__name__}, not {settings.method}. {mend}")
    asked = method.values(settings.rank, settings.alpha, settings.dropout)
    differ = [
        f"{name} {getattr(config, name)} (recipe: {value})"
        for name, value in asked.items()
        if "dropout" not in name and name != "total_step" and getattr(config, name) != value
    ]
    if differ:
        raise ConfigError(f"The adapter in {folder} has {', '.join(differ)}. {mend}")
