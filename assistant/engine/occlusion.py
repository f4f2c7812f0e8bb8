"""What in a picture an answer rests on: parts are blurred one by one, and the answer's probability is watched.

Occlusion (Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks"), with a blur in place of a
grey square, so that no edge appears that the picture does not have (Fong and Vedaldi 2017). It asks the whole model,
needs no gradient, and so is the same for a quantized one. It shows what the model looked at, not what is ill.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from assistant.engine.features import PictureEncoder
from assistant.imaging.picture import Picture

if TYPE_CHECKING:
    from assistant.engine.generate import Generator
    from assistant.engine.prompt import Prompt
    from assistant.model.loaded import LoadedModel

_PART = 8
"""Windows of one part."""
GRID = 8
"""Places along a side; a window is two places wide."""
_BLUR = 0.15
"""Radius of the blur, as a share of the longer side."""


@dataclass(frozen=True, eq=False)
class Heat:
    """How much each part of a picture counts for an answer."""

    nats: np.ndarray
    """(G, G) float32: how far the answer's log-probability falls when that part is blurred; negative where it rises."""
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
        grid: places along a side, 2 or more; (grid + 1)^2 windows go through the model.
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
        return Heat(_spread(drops[1:], self._grid), float(drops[0]))


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


def _occluded(picture: Picture, grid: int) -> list[Picture]:
    """Return the picture all blurred, then with each window blurred."""
    from PIL import Image, ImageFilter

    height, width = picture.pixels.shape[:2]
    small = Image.fromarray(picture.pixels)
    blurred = np.asarray(small.filter(ImageFilter.GaussianBlur(_BLUR * max(height, width))))
    rows = np.linspace(0, height, grid + 1).round().astype(int)
    columns = np.linspace(0, width, grid + 1).round().astype(int)
    found = [replace(picture, pixels=blurred)]
    for row, column in _windows(grid):
        pixels = picture.pixels.copy()
        high = slice(rows[max(row, 0)], rows[min(row + 2, grid)])
        wide = slice(columns[max(column, 0)], columns[min(column + 2, grid)])
        pixels[high, wide] = blurred[high, wide]
        found.append(replace(picture, pixels=pixels))
    return found


def _spread(drops: np.ndarray, grid: int) -> np.ndarray:
    """Give each place the mean drop of the four windows that cover it: ((grid + 1)^2,) to (grid, grid)."""
    square = drops.reshape(grid + 1, grid + 1)
    return np.asarray((square[:-1, :-1] + square[1:, :-1] + square[:-1, 1:] + square[1:, 1:]) / 4, dtype=np.float32)
