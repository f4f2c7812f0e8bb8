"""Settings of `reward`, apart from the code that needs torch."""

from __future__ import annotations

from dataclasses import dataclass

from assistant.errors import ConfigError
from training.pair_settings import PairSettings, describe_run
from training.train_parts import check_last_layers, check_parts

PARTS = ("connector", "language_model")


@dataclass(frozen=True)
class RewardSettings(PairSettings):
    """Settings of `python -m training.reward`.

    `held_out` names files of preferences, on which the share of rightly ordered pairs is measured at every report; a
    patient who also stands in `data` is refused. `train` may be empty: then the reward's own head alone trains.
    """

    margin: float = 0.0
    """By how much a better answer's reward should lie above the worse one's before a pair is half learned."""
    centre: float = 0.01
    """Weight of the square of a pair's summed rewards, which draws the mean reward to 0; the loss itself knows only
    differences (Eisenstein et al. 2023)."""
    label_smoothing: float = 0.0
    """Share of pairs that may be the wrong way round."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.margin < 0:
            raise ConfigError(f"margin is {self.margin}; use 0 or more.")
        if self.centre < 0:
            raise ConfigError(f"centre is {self.centre}; use 0 or more, such as 0.01.")
        if not 0 <= self.label_smoothing < 0.5:
            raise ConfigError(f"label_smoothing is {self.label_smoothing}; it is a share, at least 0 and below 0.5.")

    def _check_parts(self) -> None:
        if self.train:
            check_parts(self.train, self.lora, self.last_layers, PARTS)
            return
        check_last_layers(self.train, self.lora, self.last_layers)
        if self.lora is not None:
            raise ConfigError("train is empty, so `lora:` has nothing to change; name language_model in train.")


def describe(settings: RewardSettings) -> str:
    """Say what a run would do, after a look at the data files."""
    more = f", margin {settings.margin:g}" if settings.margin else ""
    held_out = ", ".join(path.name for path in settings.held_out)
    measured = f"; measured on {held_out}" if held_out else "; measured on nothing: name `held_out`"
    return describe_run(settings, f"Bradley-Terry{more}, centre {settings.centre:g}") + measured
