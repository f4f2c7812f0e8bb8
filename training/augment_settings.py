"""Settings of picture augmentation, apart from the code that needs torch."""

from __future__ import annotations

from dataclasses import astuple, dataclass

from assistant.errors import ConfigError


@dataclass(frozen=True)
class AugmentSettings:
    """Random changes to training pictures; `augment:` in a recipe. All zero means none, as `augment: null` does."""

    rotate_degrees: float = 20.0
    """Largest rotation either way."""
    scale: float = 0.25
    """Largest change of size either way, in natural-log units; 0.25 is about a quarter."""
    stretch: float = 0.12
    """Largest change of the aspect ratio, in natural-log units."""
    shift: float = 0.12
    """Largest shift, as a share of half the picture."""
    gamma: float = 0.35
    """Largest change of gamma either way, in natural-log units."""
    contrast: float = 0.25
    """Largest relative change of contrast."""
    brightness: float = 0.08
    """Largest change of brightness; pictures run from 0 to 1."""
    colour: float = 0.08
    """Largest relative change of one colour channel."""
    noise: float = 0.02
    """Largest standard deviation of added noise."""
    erase: float = 0.25
    """Chance that a square of a tenth to a third of the side is covered."""
    coarse: float = 0.0
    """Chance that a picture is shown as if it had come with fewer pixels, half of its own at least."""

    def __post_init__(self) -> None:
        for name in ("erase", "coarse"):
            if not 0 <= (given := getattr(self, name)) <= 1:
                raise ConfigError(f"augment.{name} is {given}; it is a chance from 0 to 1.")

    @property
    def changes_nothing(self) -> bool:
        """Whether every change is switched off, so that pictures are taken as they are and never mirrored."""
        return not any(astuple(self))
