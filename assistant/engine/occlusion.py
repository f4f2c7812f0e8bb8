"""What in a picture an answer rests on: parts are hidden one by one, and the answer's probability is watched.

Occlusion (Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks"). What hides a part must not
draw a finding of its own (Fong and Vedaldi 2017): a blurred piece of lung looks like a consolidation, and the answer
changes for what was added. So each part is hidden in three ways, by its blur, by the same place of the mirrored picture
and of the picture turned by half, all with soft edges, and the mean counts. It asks the whole model, needs no gradient,
and so is the same for a quantized one. It shows what the model looked at, not what is ill.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from assistant.engine.features import PictureEncoder
from assistant.imaging.picture import Picture

if TYPE_CHECKING:
    from PIL import Image

    from assistant.engine.generate import Generator
    from assistant.engine.prompt import Prompt
    from assistant.model.loaded import LoadedModel

_PART = 8
"""Windows of one part."""
GRID = 8
"""Places along a side; a window is two places wide."""
_BLUR = 0.06
"""Radius of the blur that hides a part, as a share of the longer side."""
_GONE = 0.15
"""Radius of the blur that leaves nothing of the whole picture."""
_EDGE = 0.03
"""Radius of a window's soft edge."""


@dataclass(frozen=True, eq=False)
class Heat:
    """How much each part of a picture counts for an answer."""

    nats: np.ndarray
    """(G, G) float32: how far the answer's log-probability falls when that part is hidden; negative where it rises."""
    whole: float
    """The same for the whole picture blurred: what the picture counts for at all."""

    @property
    def peak(self) -> tuple[float, float]:
        """Row and column of the hottest part's middle, as shares of the picture's height and width."""
        row, column = np.unravel_index(int(self.nats.argmax()), self.nats.shape)
        return (float(row) + 0.5) / self.nats.shape[0], (float(column) + 0.5) / self.nats.shape[1]


class Occlusion:
    """The work of one heat, cut into parts, so that others can have their turn between them.

    Args:
        model: that answers.
        generator: of the same model.
        prompt: that was answered.
        pictures: of the prompt, in its order.
        answer: the text whose probability is watched.
        place: which of the pictures to look into.
        grid: places along a side, 2 or more; 3 (grid + 1)^2 altered pictures go through the model.
    """

    def __init__(
        self,
        model: LoadedModel,
        generator: Generator,
        prompt: Prompt,
        pictures: Sequence[Picture],
        answer: str,
        *,
        place: int = -1,
        grid: int = GRID,
    ) -> None:
        self._encoder = PictureEncoder(model, max_items=1, batch_size=_PART)
        self._generator, self._prompt, self._answer = generator, prompt, answer
        self._place, self._grid = place, grid
        picture = _reduced(pictures[place], 2 * model.contract.picture_size)
        self._shown = [picture, *_occluded(picture, grid)]
        self._scores: list[float] = []

    @property
    def done(self) -> bool:
        """Whether all parts were worked on."""
        return len(self._scores) == len(self._shown)

    def step(self) -> None:
        """Work on the next part, if one is left: it takes about as long as a batch of short answers."""
        if self.done:
            return
        start = len(self._scores)
        prompts = []
        for features in self._encoder.encode(self._shown[start : start + _PART]):
            seen = list(self._prompt.features)
            seen[self._place] = features
            prompts.append(replace(self._prompt, features=tuple(seen)))
        self._scores += [one for (one,) in self._generator.score(prompts, [(self._answer,)] * len(prompts))]

    def finish(self) -> Heat:
        """Work on all parts that are left, and return the heat."""
        while not self.done:
            self.step()
        return self.heat()

    def heat(self) -> Heat:
        """Return the heat over the picture, once all parts are done.

        Returns:
            The heat.
        Raises:
            ValueError: some are not.
        """
        if not self.done:
            raise ValueError(f"{len(self._scores)} of {len(self._shown)} windows are done; call step until done.")
        drops = self._scores[0] - np.asarray(self._scores[1:], dtype=np.float32)
        return Heat(_spread(drops[1:].reshape(3, -1).mean(axis=0), self._grid), float(drops[0]))


def _reduced(picture: Picture, side: int) -> Picture:
    """Return a picture no larger than the model can see twice over, so that many copies of it are cheap."""
    from PIL.Image import Resampling

    image = picture.to_pil()
    if max(image.size) <= side:
        return picture
    image.thumbnail((side, side), Resampling.LANCZOS)
    return replace(picture, pixels=np.asarray(image))


def _windows(grid: int) -> list[tuple[int, int]]:
    """First row and column of each window, which is two places wide; the outer ones reach over the edge."""
    return [(row, column) for row in range(-1, grid) for column in range(-1, grid)]


def _blurred(image: Image.Image, share: float) -> Image.Image:
    from PIL import ImageFilter

    return image.filter(ImageFilter.GaussianBlur(share * max(image.size)))


def _masks(height: int, width: int, grid: int) -> Iterator[np.ndarray]:
    """Yield each window as (height, width, 1) float32, 1 where the picture is hidden, with soft edges."""
    from PIL import Image

    rows = np.linspace(0, height, grid + 1).round().astype(int)
    columns = np.linspace(0, width, grid + 1).round().astype(int)
    for row, column in _windows(grid):
        mask = np.zeros((height, width), np.uint8)
        mask[rows[max(row, 0)] : rows[min(row + 2, grid)], columns[max(column, 0)] : columns[min(column + 2, grid)]] = (
            255
        )
        yield np.asarray(_blurred(Image.fromarray(mask), _EDGE), dtype=np.float32)[..., None] / 255


def _occluded(picture: Picture, grid: int) -> list[Picture]:
    """Return the picture all blurred, then with each window hidden by a blur, by the mirror and by the half-turned."""
    from PIL import Image

    pixels = picture.pixels
    image = Image.fromarray(pixels)
    height, width = pixels.shape[:2]
    masks = list(_masks(height, width, grid))
    found = [replace(picture, pixels=np.asarray(_blurred(image, _GONE)))]
    for other in (np.asarray(_blurred(image, _BLUR)), pixels[:, ::-1], pixels[::-1, ::-1]):
        change = other.astype(np.float32) - pixels
        found += [replace(picture, pixels=(pixels + mask * change).round().astype(np.uint8)) for mask in masks]
    return found


def _spread(drops: np.ndarray, grid: int) -> np.ndarray:
    """Give each place the mean drop of the four windows that cover it: ((grid + 1)^2,) to (grid, grid)."""
    square = drops.reshape(grid + 1, grid + 1)
    return np.asarray((square[:-1, :-1] + square[1:, :-1] + square[:-1, 1:] + square[1:, 1:]) / 4, dtype=np.float32)
