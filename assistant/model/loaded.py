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

        Every picture is padded with black to a square first, so that no edge is cropped away.
        """
        import numpy as np
        import torch

        if not pictures:
            side = self.contract.image_size
            return torch.zeros((0, 3, side, side), device=self.device, dtype=self.dtype)
        squares = [
            (item if isinstance(item, Picture) else Picture(np.asarray(item.convert("RGB")))).squared()
            for item in pictures
        ]
        values: Tensor = self.processor.image_processor(images=squares, return_tensors="pt")["pixel_values"]
        return values.to(self.device, self.dtype)
