"""`PictureEncoder`: pictures through the vision tower, once each; one pass serves both the model and retrieval."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from assistant.imaging.picture import Picture

if TYPE_CHECKING:
    from assistant.model.load import LoadedModel


@dataclass(frozen=True, eq=False)
class PictureFeatures:
    """What the tower makes of one picture. P patches, Dv tower width, E joint width."""

    patches: torch.Tensor
    """(P, Dv), of the contract's feature layer, before the connector."""
    joint: np.ndarray
    """(E,) float32, unit length, in the space shared with text."""
    content_id: str = ""
    """Of the picture; empty where it is not known."""


class PictureEncoder:
    """Encodes pictures in batches and remembers the latest, by the content of their pixels.

    Args:
        model: whose tower and visual projection to use.
        max_items: how many pictures to remember.
        batch_size: pictures in one tower pass.
    """

    def __init__(self, model: LoadedModel, *, max_items: int = 128, batch_size: int = 16) -> None:
        self._model = model
        self._max_items = max_items
        self._batch_size = batch_size
        self._lock = Lock()
        self._known: OrderedDict[str, PictureFeatures] = OrderedDict()
        self.passes = 0
        """Pictures that went through the tower so far."""

    def encode(self, pictures: Sequence[Picture]) -> list[PictureFeatures]:
        """Return the features of each picture, in order; equal pictures go through the tower once.

        Several threads may call this; they take turns.
        """
        with self._lock:
            return self._encode_new(pictures)

    def _encode_new(self, pictures: Sequence[Picture]) -> list[PictureFeatures]:
        wanted = [picture.content_id for picture in pictures]
        found = {key: self._known[key] for key in wanted if key in self._known}
        missing = {key: picture for key, picture in zip(wanted, pictures, strict=True) if key not in found}
        keys = list(missing)
        for start in range(0, len(keys), self._batch_size):
            part = keys[start : start + self._batch_size]
            found.update(zip(part, self._encode([missing[key] for key in part]), strict=True))
        for key in wanted:
            self._known[key] = found[key]
            self._known.move_to_end(key)
        while len(self._known) > self._max_items:
            self._known.popitem(last=False)
        return [found[key] for key in wanted]

    # Not inference_mode: features outlive this call, and its tensors could never enter a training step.
    @torch.no_grad()
    def _encode(self, pictures: list[Picture]) -> list[PictureFeatures]:
        model = self._model
        self.passes += len(pictures)
        tower = bare(model.llava).model.vision_tower
        pixels = model.pixel_values(pictures).to(device=tower.device, dtype=tower.dtype)
        out = tower(pixels, output_hidden_states=True, return_dict=True)
        patches = selected(out.hidden_states, bare(model.llava).config)
        # BiomedCLIP's visual head sits on the class token after the last LayerNorm.
        joint = out.last_hidden_state[:, 0].float() @ model.projection.to(tower.device).float().T
        joint = torch.nn.functional.normalize(joint, dim=-1).cpu().numpy()
        # Cloned: a row kept as a view would keep the whole batch in memory.
        return [
            PictureFeatures(row.clone(), vector.copy(), picture.content_id)
            for row, vector, picture in zip(patches, joint, pictures, strict=True)
        ]


def bare(llava: Any) -> Any:
    """Return the Llava model itself, without a wrapper that an adapter may have put around it."""
    return llava.get_base_model() if hasattr(llava, "get_base_model") else llava


def selected(hidden_states: Sequence[torch.Tensor], config: Any) -> torch.Tensor:
    """Return what the connector reads of the tower's hidden states, as Llava's own forward pass does: (N, P, D).

    Args:
        hidden_states: of the tower, (N, 1 + patches, D) each.
        config: Llava's: which layer or layers, and whether the class token is left out ("default") or not ("full").
    Returns:
        P is the contract's `image_tokens`.
    """
    layers = config.vision_feature_layer
    chosen = [hidden_states[layer] for layer in ([layers] if isinstance(layers, int) else layers)]
    if config.vision_feature_select_strategy == "default":
        chosen = [states[:, 1:] for states in chosen]
    return torch.cat(chosen, dim=-1)
