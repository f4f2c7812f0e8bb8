"""`PictureFeatures`: what is kept of a picture once the vision tower has read it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True, eq=False)
class PictureFeatures:
    """What the tower makes of one picture. P patches, Dv tower width, E joint width."""

    patches: torch.Tensor
    """(P, Dv), of the contract's feature layer, before the connector; (P, V * Dv) of a picture in V views."""
    joint: np.ndarray
    """(E,) float32, unit length, in the space shared with text."""
    content_id: str = ""
    """Of the picture; empty where it is not known."""
    views: int = 1
    """How many views `patches` are of: the whole picture, and its tiles."""

    @property
    def whole(self) -> torch.Tensor:
        """(P, Dv), what the tower makes of the picture as a whole."""
        return self.patches[:, : self.patches.shape[1] // self.views]
