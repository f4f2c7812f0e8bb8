"""Draws training batches for the encoder and its teacher: real pictures and phantoms, augmented and mixed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.augment_settings import AugmentSettings
from training.encoder_data import EncoderData
from training.pictures import augment, resized


@dataclass(frozen=True)
class Batch:
    """One batch of B pictures, real ones first.

    `images` float (B, 3, S, S) normalised; `index` (B,) numbers in the data; `partner` (B,) and `share` say that
    picture i is mixed: `share` of itself and the rest of picture `partner[i]`. `real` is how many are real. `large`
    (R, 3, T, T) are the real pictures at the size that a teacher is shown, where that is another one.
    """

    images: Tensor
    index: Tensor
    partner: Tensor
    share: float
    real: int
    large: Tensor | None = None


class BatchMaker:
    """Draws batches.

    Args:
        data: all pictures.
        size: side of the model's input in pixels.
        mean: of each channel, for normalising.
        std: of each channel.
        settings: augmentation.
        batch_size: pictures a batch.
        phantom_share: share of phantoms.
        mixing: chance that the real pictures of a batch are mixed in pairs (mixup, Zhang et al. 2018).
        large: side of the same real pictures for a teacher, None where it is shown what the encoder is.
    """

    def __init__(
        self,
        data: EncoderData,
        *,
        size: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        settings: AugmentSettings,
        batch_size: int,
        phantom_share: float,
        mixing: float,
        large: int | None = None,
    ) -> None:
        self.data, self.size, self.settings, self.mixing = data, size, settings, mixing
        self.large = None if large == size else large
        self.mean, self.std = torch.tensor(mean).view(1, 3, 1, 1), torch.tensor(std).view(1, 3, 1, 1)
        self.phantoms = int(batch_size * phantom_share)
        self.reals = batch_size - self.phantoms
        column = data.table.names.index("region") if "region" in data.table.names else None
        self.group = data.table.targets[:, column] if column is not None else torch.zeros(len(data.captions))

    def normalise(self, image: Tensor) -> Tensor:
        """Turn 0-to-1 pictures into what the encoder takes."""
        return (image - self.mean) / self.std

    def draw(self, generator: torch.Generator) -> Batch:
        """Return the next batch."""
        data = self.data
        index = torch.multinomial(data.weights, self.reals, replacement=True, generator=generator)
        images = self._augmented(data.real_batch(index), index, self.large or self.size, generator, still=False)
        partner, share = torch.arange(self.reals), 1.0
        if torch.rand(1, generator=generator).item() < self.mixing:
            # Neighbours of the same region: a mixture of a retina and a chest teaches nothing.
            key = self.group[index].float() + torch.rand(self.reals, generator=generator) * 0.5
            order = key.argsort()
            partner[order] = order.roll(1)
            share = _beta(generator)
            images = share * images + (1 - share) * images[partner]
        large = None
        if self.large is not None:
            large, images = self.normalise(images), resized(images, self.size)
        if self.phantoms:
            drawn = data.real + torch.randint(len(data.captions) - data.real, (self.phantoms,), generator=generator)
            extra = self._augmented(data.phantom_batch(drawn), drawn, self.size, generator, still=True)
            images, index = torch.cat([images, extra]), torch.cat([index, drawn])
            partner = torch.cat([partner, torch.arange(self.reals, self.reals + self.phantoms)])
        return Batch(self.normalise(images), index, partner, share, self.reals, large)

    def _augmented(
        self, pixels: Tensor, index: Tensor, size: int, generator: torch.Generator, *, still: bool
    ) -> Tensor:
        stay = torch.full((len(index),), still, dtype=torch.bool)
        mirror, turn = self.data.mirror[index], self.data.turn[index]
        return augment(pixels, size, self.settings, generator, mirror=mirror, turn=turn, still=stay)


def _beta(generator: torch.Generator) -> float:
    """Draw from Beta(0.4, 0.4) as the share of one of two Gamma draws, from the run's own source of chance."""
    gamma = torch._standard_gamma(torch.full((2,), 0.4), generator=generator)
    return float(gamma[0] / gamma.sum().clamp(min=1e-6))
