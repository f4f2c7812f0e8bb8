"""Settings of `dpo`, apart from the code that needs torch."""

from __future__ import annotations

from dataclasses import dataclass

from assistant.errors import ConfigError
from training.reference_settings import ReferenceSettings, describe_run

LOSS_NAMES = ("sigmoid", "robust", "hinge", "ipo", "apo_zero", "apo_down", "sppo_hard", "nca_pair")


@dataclass(frozen=True)
class DpoSettings(ReferenceSettings):
    """Settings of `python -m training.dpo`."""

    loss: str = "sigmoid"
    """How a pair is judged: sigmoid (DPO), robust, hinge, ipo, apo_zero, apo_down, sppo_hard, nca_pair."""
    label_smoothing: float = 0.0
    """Share of pairs that may be the wrong way round; for sigmoid and robust."""
    per_token: bool = False
    """Judge mean rather than summed log-probabilities, so that a longer answer gains nothing by its length."""
    sft_weight: float = 0.0
    """Weight of a plain loss on the better answer beside (RPO), which keeps its probability from falling."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss not in LOSS_NAMES:
            raise ConfigError(f"loss is {self.loss!r}; choose from {', '.join(LOSS_NAMES)}.")
        if not 0 <= self.label_smoothing < 0.5:
            raise ConfigError(f"label_smoothing is {self.label_smoothing}; it is a share, at least 0 and below 0.5.")
        if self.label_smoothing and self.loss not in ("sigmoid", "robust"):
            raise ConfigError(
                f"label_smoothing is {self.label_smoothing}, which {self.loss} does not use; set it to 0."
            )


def describe(settings: DpoSettings) -> str:
    """Say what a run would do, after a look at the data files."""
    return describe_run(settings, settings.loss)
