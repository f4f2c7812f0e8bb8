"""`PictureEncoder`: pictures through the vision tower, once each; one pass serves both the model and retrieval."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch

from assistant.engine.feature_store import FeatureStore
from assistant.engine.picture_features import PictureFeatures
from assistant.imaging.picture import Picture
from assistant.model.parts import bare, selected
from assistant.model.plain_tower import can_read, read_pixels
from assistant.model.tiles import join, read_layers, view_count

if TYPE_CHECKING:
    from assistant.config import GenerationConfig
    from assistant.model.loaded import LoadedModel

Seen: TypeAlias = tuple[torch.Tensor, torch.Tensor | None]
"""Pictures as the tower reads them: the whole pictures, and the tiles of all of them or None."""

__all__ = ["PictureEncoder", "PictureFeatures", "open_encoder"]


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
        parts = [keys[start : start + self._batch_size] for start in range(0, len(keys), self._batch_size)]
        for part, seen in zip(parts, self._pixels([[missing[key] for key in part] for part in parts]), strict=True):
            made = dict(zip(part, self.encode_pixels(seen[0], part, seen[1]), strict=True))
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

    def _pixels(self, parts: Sequence[Sequence[Picture]]) -> Iterator[Seen]:
        """Yield what the tower reads of each part; a GPU encodes one while the next is made ready and sent to it."""
        if self._model.device == "cpu" or len(parts) < 2:
            yield from map(self._seen, parts)
            return
        with ThreadPoolExecutor(1, thread_name_prefix="pixels") as ahead:
            waiting = ahead.submit(self._seen, parts[0])
            for following in parts[1:]:
                ready, waiting = waiting.result(), ahead.submit(self._seen, following)
                yield ready
            yield waiting.result()

    def _seen(self, pictures: Sequence[Picture]) -> Seen:
        """Return pictures as the tower reads them, and their tiles where the model looks at tiles."""
        model = self._model
        return model.pixel_values(pictures), model.tile_values(pictures) if model.contract.tiles > 1 else None

    # Not inference_mode: features outlive this call, and its tensors could never enter a training step.
    @torch.no_grad()
    def encode_pixels(
        self, pixels: torch.Tensor, content_ids: Sequence[str], tile_pixels: torch.Tensor | None = None
    ) -> list[PictureFeatures]:
        """Run the tower over pixels that are ready; nothing is remembered.

        Args:
            pixels: (N, 3, S, S), as `LoadedModel.pixel_values` gives them.
            content_ids: N, of the pictures.
            tile_pixels: (N * tiles * tiles, 3, S, S), as `LoadedModel.tile_values` gives them; for a model with tiles.
        Returns:
            One for each.
        """
        model, tiles = self._model, self._model.contract.tiles
        self.passes += len(pixels)
        patches, last = self._through_tower(pixels)
        if tile_pixels is not None:
            patches = join(patches, self._through_tower(tile_pixels)[0], tiles)
        # BiomedCLIP's visual head sits on the class token after the last LayerNorm.
        vectors = last.float() @ model.projection.to(last.device).float().T
        joint: np.ndarray = torch.nn.functional.normalize(vectors, dim=-1).cpu().numpy()
        # Cloned: a row kept as a view would keep the whole batch in memory.
        return [
            PictureFeatures(row.clone(), vector.copy(), content_id, view_count(tiles))
            for row, vector, content_id in zip(patches, joint, content_ids, strict=True)
        ]

    def _through_tower(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the connector reads of (N, 3, S, S), (N, P, Dv), and the class tokens after the last norm."""
        llava, fast = bare(self._model.llava), self._model.image_tower
        tower = llava.model.vision_tower
        if fast is not None:
            hidden_states, last = fast(pixels)
        elif can_read(tower, read_layers(llava.config.vision_feature_layer)[0]):
            hidden_states, last = read_pixels(tower, pixels.to(tower.dtype))
        else:
            out = tower(pixels.to(device=tower.device, dtype=tower.dtype), output_hidden_states=True, return_dict=True)
            hidden_states, last = out.hidden_states, out.last_hidden_state[:, 0]
        return selected(hidden_states, llava.config).to(tower.dtype), last


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
        store = FeatureStore.for_model(settings.feature_folder, model, settings.feature_folder_gb)
    return PictureEncoder(model, max_items=settings.picture_cache, batch_size=settings.batch_size, store=store)
