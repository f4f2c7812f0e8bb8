"""The methods of PEFT that fit this project: what each calls the rank, and whether it runs on a quantized model.

Not among them: BOFT, which compiles code of its own; prompt and prefix tuning, whose tokens would stand before the
picture in every packed branch; PiSSA, OLoRA and LoftQ, which change the base, that an adapter must leave as it is;
AdaLoRA, whose ranks PEFT would have to be told of at every step; X-LoRA and Poly, which mix other adapters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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


def _lora(**more: Any) -> Values:
    return lambda rank, alpha, dropout: {"r": rank, "lora_alpha": alpha, "lora_dropout": dropout, **more}


METHODS: dict[str, Method] = {
    "lora": Method("LoraConfig", _lora(), "two thin matrices a linear (Hu et al. 2021)"),
    "dora": Method("LoraConfig", _lora(use_dora=True), "length and direction apart (Liu et al. 2024)"),
    "rslora": Method("LoraConfig", _lora(use_rslora=True), "scaled for large ranks (Kalajdzievski 2023)"),
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
