"""`LoadedModel`: a model folder opened and checked, ready for the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from assistant.imaging.picture import Picture
from assistant.model.contract import Contract
from assistant.model.text import TextTower

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from torch import Tensor
    from transformers import LlavaForConditionalGeneration, LlavaProcessor, PreTrainedTokenizerBase

    from assistant.model.tower import FastImageTower


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """One model with everything that belongs to it. E is the joint width, D the image tower's."""

    llava: LlavaForConditionalGeneration
    """In evaluation mode, on `device`. With a PEFT adapter, its layers sit inside, and it is still this class."""
    processor: LlavaProcessor
    """PIL backend, left-padding, with the chat template."""
    text: TextTower
    projection: Tensor
    """(E, D): picture embedding = `projection @ tower.last_hidden_state[0]`, then to unit length. float32."""
    contract: Contract
    folder: Path
    fingerprint: str
    """16 hexadecimal digits over the contract and the weights."""
    device: str
    dtype: torch.dtype
    image_tower: FastImageTower | None = None
    """What pictures go through in place of Llava's own tower; None for that one. See `assistant.model.encoding`."""
    encoding: str = "exact"
    """Number format that pictures are encoded in."""
    base: LoadedModel | None = None
    """Of an adapter that uses the weights of a model that is open too: that model."""

    @property
    def name(self) -> str:
        """What the model is called in answers."""
        return self.contract.name

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The language model's tokenizer."""
        return cast("PreTrainedTokenizerBase", self.processor.tokenizer)

    def pixel_values(self, pictures: Sequence[Picture | Image.Image]) -> Tensor:
        """Return what the image tower reads: (N, 3, S, S), on the model's device and in its type.

        Every picture is padded with black to a square first, so that no edge is cropped away. These are the pictures as
        a whole; `tile_values` gives the tiles of a model that looks at those too.
        """
        import torch

        if not pictures:
            side = self.contract.image_size
            return torch.zeros((0, 3, side, side), device=self.device, dtype=self.dtype)
        return self._values([_square(item) for item in pictures])

    def tile_values(self, pictures: Sequence[Picture | Image.Image]) -> Tensor:
        """Return the tiles of pictures as the image tower reads them.

        Args:
            pictures: N, at least one.
        Returns:
            (N * tiles * tiles, 3, S, S), the tiles of a picture row by row, on the model's device and in its type.
        """
        from PIL.Image import Resampling

        tiles, side = self.contract.tiles, self.contract.image_size
        parts = []
        for item in pictures:
            large = _square(item).resize((tiles * side, tiles * side), Resampling.BICUBIC)
            corners = [(side * column, side * row) for row in range(tiles) for column in range(tiles)]
            parts += [large.crop((left, top, left + side, top + side)) for left, top in corners]
        return self._values(parts)

    def _values(self, squares: list[Image.Image]) -> Tensor:
        values: Tensor = self.processor.image_processor(images=squares, return_tensors="pt")["pixel_values"]
        if self.device == "cpu":
            return values.to(self.dtype)
        # From memory that stays where it is the copy runs beside whatever the GPU and this thread do.
        return values.to(self.dtype).pin_memory().to(self.device, non_blocking=True)


def _square(item: Picture | Image.Image) -> Image.Image:
    import numpy as np

    return (item if isinstance(item, Picture) else Picture(np.asarray(item.convert("RGB")))).squared()
