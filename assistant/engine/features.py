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
    from assistant.config import GenerationConfig
    from assistant.engine.feature_store import FeatureStore
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
        store: keeps what was encoded on disk as well; None keeps it in memory only.
    """

    def __init__(
        self, model: LoadedModel, *, max_items: int = 128, batch_size: int = 16, store: FeatureStore | None = None
    ) -> None:
        self._model = model
        self._max_items = max_items
        self._batch_size = batch_size
        self._store = store
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
        if self._store is not None:
            kept = {key: self._store.read(key) for key in missing}
            found.update((key, one) for key, one in kept.items() if one is not None)
        keys = [key for key in missing if key not in found]
        for start in range(0, len(keys), self._batch_size):
            part = keys[start : start + self._batch_size]
            made = dict(zip(part, self._encode([missing[key] for key in part]), strict=True))
            found.update(made)
            if self._store is not None:
                for key, one in made.items():
                    self._store.write(key, one)
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
        pixels = model.pixel_values(pictures)
        if model.image_tower is not None:
            hidden_states, last = model.image_tower(pixels)
        else:
            out = tower(pixels.to(device=tower.device, dtype=tower.dtype), output_hidden_states=True, return_dict=True)
            hidden_states, last = out.hidden_states, out.last_hidden_state[:, 0]
        patches = selected(hidden_states, bare(model.llava).config).to(tower.dtype)
        # BiomedCLIP's visual head sits on the class token after the last LayerNorm.
        vectors = last.float() @ model.projection.to(tower.device).float().T
        joint: np.ndarray = torch.nn.functional.normalize(vectors, dim=-1).cpu().numpy()
        # Cloned: a row kept as a view would keep the whole batch in memory.
        return [
            PictureFeatures(row.clone(), vector.copy(), picture.content_id)
            for row, vector, picture in zip(patches, joint, pictures, strict=True)
        ]


def open_encoder(model: LoadedModel, settings: GenerationConfig) -> PictureEncoder:
    """Return an encoder as the settings ask for it, with its folder where one is named.

    Args:
        model: whose tower to use.
        settings: sizes, and the folder.
    Returns:
        A new encoder.
    Raises:
        ConfigError: the folder cannot be made.
    """
    store = None
    if settings.feature_folder:
        from assistant.engine.feature_store import FeatureStore

        store = FeatureStore.for_model(settings.feature_folder, model, settings.feature_folder_gb)
    return PictureEncoder(model, max_items=settings.picture_cache, batch_size=settings.batch_size, store=store)


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
