"""What the stages that tune against a reference have in common: `dpo` and `kto`."""

from __future__ import annotations

from dataclasses import dataclass

from assistant.errors import ConfigError
from training.pair_settings import PairSettings


@dataclass(frozen=True)
class ReferenceSettings(PairSettings):
    """Settings that `dpo` and `kto` share; `model` is the reference too."""

    beta: float = 0.1
    """How dear it is to leave the reference: small values let the model go further."""
    stop_below: float = 1.0
    """Stop when better answers have become less probable than this many nats a token below the reference: the sign of
    over-optimisation, where answers are told apart by unlearning them all. A warning comes at half of it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta <= 0:
            raise ConfigError(f"beta is {self.beta}; use a number above 0, such as 0.1.")
