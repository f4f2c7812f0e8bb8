"""Settings of `kto`, apart from the code that needs torch."""

from __future__ import annotations

from dataclasses import dataclass

from assistant.errors import ConfigError
from training.pair_settings import describe_run
from training.reference_settings import ReferenceSettings


@dataclass(frozen=True)
class KtoSettings(ReferenceSettings):
    """Settings of `python -m training.kto`; `data` may also hold answers judged one by one (`good: true`)."""

    good_weight: float = 1.0
    """Weight of the loss on wanted answers. Where one kind is rarer, weigh it up until both weigh about the same."""
    bad_weight: float = 1.0
    """Weight of the loss on unwanted answers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("good_weight", "bad_weight"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; use a number above 0, such as 1.0.")


def describe(settings: KtoSettings) -> str:
    """Say what a run would do, after a look at the data files."""
    return describe_run(
        settings, f"KTO, good x{settings.good_weight:g}, bad x{settings.bad_weight:g}, beta {settings.beta:g}"
    )
