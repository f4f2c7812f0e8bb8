"""Settings of the features that are kept on disk, apart from the code that needs torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from assistant.errors import ConfigError


@dataclass(frozen=True)
class FeatureCacheSettings:
    """Where the frozen tower's features are kept; `feature_cache:` in a recipe."""

    folder: Path | None = None
    """Shared by all runs, of any stage and any encoder: entries are named by encoder and picture. Left out, the run has
    one of its own, `out/cache/features`."""
    limit_gb: float = 50.0
    """Most that is kept, in 10^9 bytes, over all encoders, and never more than half of what the disk has free. When it
    is reached, a run reads on and adds nothing."""

    def __post_init__(self) -> None:
        if self.limit_gb <= 0:
            raise ConfigError(
                f"feature_cache.limit_gb is {self.limit_gb}; use a number above 0, or leave the cache out."
            )
