"""Settings of the stages that train connector and language model on examples: `align` and `sft`."""

from __future__ import annotations

from dataclasses import dataclass, field

from assistant.errors import ConfigError
from training.augment_settings import AugmentSettings
from training.tuning_settings import DataPart, PackedSettings, check_files, told_files, told_parts

__all__ = ["DataPart", "LlavaSettings", "describe"]


@dataclass(frozen=True)
class LlavaSettings(PackedSettings):
    """Settings of `python -m training.align` and `python -m training.sft`."""

    whiten: bool = False
    """Begin with a connector that evens out the tower's features, for a connector that is still untrained."""
    steps: int = 1000
    """Updates."""
    pictures: int = 16
    """Tuples of pictures a step."""
    questions: int = 6
    """Most questions a tuple of pictures, packed into one sequence."""
    length_power: float = 0.5
    """Weight of an answer of n tokens is n to this power: 1 counts tokens, 0 counts answers."""
    augment: AugmentSettings | None = field(default_factory=AugmentSettings)
    """Changes to the pictures; null for none, with which `feature_cache` spares the image tower's work."""
    mirror: tuple[str, ...] = ("brain", "breast", "skin", "peripheral blood")
    """Regions whose pictures may be mirrored where no answer names a side."""
    dropout: float = 0.0
    """Dropout on the connector's output, which keeps few pictures from being learned by heart."""
    report_every: int = 100
    """Steps between two reports and saved states."""
    store_side: int = 160
    """Pixels a side at which pictures are kept decoded; for a model with tiles at least as many as all tiles have."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.feature_cache and self.feature_cache.folder and self.augmented:
            raise ConfigError(
                "feature_cache keeps pictures as they are, but `augment` changes them; set augment: null."
            )

    @property
    def augmented(self) -> bool:
        """Whether pictures are changed at random."""
        return self.augment is not None and not self.augment.changes_nothing


def describe(settings: LlavaSettings) -> str:
    """Say what a run would do, after a look at the data files.

    Args:
        settings: of the run.
    Returns:
        One line.
    """
    check_files(settings)
    return (
        f"{settings.model}: {settings.steps} steps of {settings.pictures} pictures from {told_files(settings)}; "
        f"{told_parts(settings)}"
    )
