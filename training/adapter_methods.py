"""The methods of PEFT that fit this project: what each calls the rank, and whether it runs on a quantized model.

PiSSA and OLoRA begin with a part of the base's own weights in the adapter; what is written is a plain LoRA on the base
as it was, of twice the rank (`training.adapter_pieces`). LoftQ makes up for the rounding to 4 bits, so it needs them.

Not among them, and why:
    BOFT compiles code of its own when a layer is made; without, PEFT has a single butterfly factor, which is OFT.
    Prompt and prefix tuning put their tokens before the whole sequence in PEFT's own forward pass. Packed branches and
    the engine's prefix cache run the language model without it, so the tokens would be trained and never served.
    X-LoRA and Poly choose among adapters by a second pass through PEFT's wrapper, which neither runs; X-LoRA cannot be
    merged either. `training.average` mixes whole models, `lora.on_top` puts one adapter on another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Values = Callable[[int, int, float], dict[str, Any]]


@dataclass(frozen=True)
class Method:
    """One method."""

    config: str
    """PEFT's class of settings."""
    values: Values
    """Rank, alpha and dropout to PEFT's names for them; what a method has not is left out."""
    about: str
    """What it does, and who proposed it."""
    quantized: bool = True
    """Whether it trains on weights held in 4 bits, as tried with peft 0.21."""
    merges: bool = True
    """Whether it can be added to the base's weights."""
    targets: str | None = None
    """Names of the modules it changes, where these are no linears."""
    held_a: Literal["plain", "projected"] | None = None
    """LoRA whose first matrix stays as drawn: the second trains plainly, or by gradients that undo the first."""
    moves_base: bool = False
    """It begins with a part of the base's weights, which is taken out of them."""
    only_quantized: str | None = None
    """It has a meaning on weights held so only."""
    shards: bool = True
    """Whether it trains where FSDP spreads its matrices out."""


def _lora(**more: Any) -> Values:
    return lambda rank, alpha, dropout: {"r": rank, "lora_alpha": alpha, "lora_dropout": dropout, **more}


METHODS: dict[str, Method] = {
    "lora": Method("LoraConfig", _lora(), "two thin matrices a linear (Hu et al. 2021)"),
    "dora": Method("LoraConfig", _lora(use_dora=True), "length and direction apart (Liu et al. 2024)"),
    "rslora": Method("LoraConfig", _lora(use_rslora=True), "scaled for large ranks (Kalajdzievski 2023)"),
    "lora_b": Method(
        "LoraConfig", _lora(), "the second matrix alone; half the weights (Zhu et al. 2024)", held_a="plain"
    ),
    "lora_fa": Method(
        "LoraConfig", _lora(), "the second matrix, towards the full update's gradient (Zhang et al. 2023)",
        held_a="projected",
        shards=False,
    ),
    "pissa": Method(
        "LoraConfig", _lora(init_lora_weights="pissa"), "begins with the largest singular parts (Meng et al. 2024)",
        quantized=False, moves_base=True,
    ),
    "olora": Method(
        "LoraConfig", _lora(init_lora_weights="olora"), "begins with orthonormal parts (Büyükakyüz 2024)",
        quantized=False, moves_base=True,
    ),
    "loftq": Method(
        "LoraConfig", _lora(), "begins with what 4 bits have rounded away (Li et al. 2023)", only_quantized="nf4",
    ),
    "adalora": Method(
        "AdaLoraConfig",
        lambda rank, alpha, dropout: {
            "init_r": rank + (rank + 1) // 2, "target_r": rank, "lora_alpha": alpha, "lora_dropout": dropout,
            "total_step": 1_000_000,
        },
        "ranks shared out among the linears while it trains (Zhang et al. 2023)",
        shards=False,
    ),
    "shira": Method(
        "ShiraConfig",
        lambda rank, alpha, dropout: {"r": rank, "random_seed": 0},
        "single weights, as many as LoRA has (Bhardwaj et al. 2024)",
    ),
    "oft": Method(
        "OFTConfig",
        lambda rank, alpha, dropout: {"r": 0, "oft_block_size": rank, "module_dropout": dropout},
        "rotations in blocks (Qiu et al. 2023)",
    ),
    "vera": Method(
        "VeraConfig",
        lambda rank, alpha, dropout: {"r": rank, "vera_dropout": dropout},
        "scales of shared random matrices (Kopiczko et al. 2024)",
    ),
    "loha": Method(
        "LoHaConfig",
        lambda rank, alpha, dropout: {"r": rank, "alpha": alpha, "module_dropout": dropout},
        "products, place by place, of thin updates (Hyeon-Woo et al. 2021)",
        quantized=False,
    ),
    "lokr": Method(
        "LoKrConfig",
        lambda rank, alpha, dropout: {"r": rank, "alpha": alpha, "module_dropout": dropout},
        "Kronecker products (Yeh et al. 2023)",
        quantized=False,
    ),
    "ia3": Method(
        "IA3Config",
        lambda rank, alpha, dropout: {"feedforward_modules": r".*\.(gate_proj|up_proj|down_proj)"},
        "one scale a channel (Liu et al. 2022)",
        quantized=False,
    ),
    "hra": Method(
        "HRAConfig",
        lambda rank, alpha, dropout: {"r": rank},
        "reflections (Yuan et al. 2024)",
        quantized=False,
    ),
    "fourierft": Method(
        "FourierFTConfig",
        lambda rank, alpha, dropout: {"n_frequency": 32 * rank, "init_weights": True},
        "a few frequencies (Gao et al. 2024)",
    ),
    "miss": Method(
        "MissConfig",
        lambda rank, alpha, dropout: {"r": rank, "miss_dropout": dropout},
        "one shared matrix, expanded (Kang et al. 2024)",
    ),
    "ln": Method(
        "LNTuningConfig",
        lambda rank, alpha, dropout: {},
        "the norms alone (Zhao et al. 2023)",
        targets=r".*language_model.*norm",
    ),
}  # fmt: skip
"""Name in a recipe to method."""


def on_quantized() -> tuple[str, ...]:
    """Return the methods that run on a quantized model."""
    return tuple(name for name, one in METHODS.items() if one.quantized)
