"""Drawing tools for phantoms: a millimetre grid, soft shapes, smooth noise, blur, and the look of a site."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
"""Grey values or millimetres; float32 throughout, for speed."""


@dataclass(frozen=True)
class Grid:
    """Pixel centres in millimetres from the middle of the picture; x to the right, y down."""

    x: Array
    """(1, W), mm."""
    y: Array
    """(H, 1), mm."""
    mm: float
    """Millimetres a pixel."""

    @property
    def size(self) -> int:
        """Side of the picture in pixels."""
        return int(self.x.shape[1])


@dataclass(frozen=True)
class Look:
    """How a site's machines show the same anatomy."""

    gain: float
    """Contrast: the grey values are stretched by it around their middle."""
    offset: float
    """Added to every grey value in [0, 1]."""
    gamma: float
    """Grey values are raised to it: below 1 brightens the dark parts, above 1 darkens them."""
    blur_mm: float
    """Blur as a share of the field of view, in thousandths; the same on every picture size."""
    noise: float
    """Standard deviation of the noise, in grey values of [0, 1]."""


LOOKS: dict[str, Look] = {
    "A": Look(gain=1.0, offset=0.0, gamma=1.0, blur_mm=3.0, noise=0.015),
    "B": Look(gain=0.85, offset=0.03, gamma=0.8, blur_mm=6.5, noise=0.01),
    "C": Look(gain=1.12, offset=-0.02, gamma=1.2, blur_mm=3.5, noise=0.035),
    "D": Look(gain=0.72, offset=0.08, gamma=0.7, blur_mm=5.0, noise=0.022),
}


@lru_cache(maxsize=16)
def make_grid(size: int, field_mm: float) -> Grid:
    """Return the grid of a square picture of `size` pixels that shows `field_mm` millimetres."""
    mm = field_mm / size
    axis = ((np.arange(size, dtype=np.float32) + 0.5) * mm - field_mm / 2).astype(np.float32)
    return Grid(x=axis[None, :], y=axis[:, None], mm=mm)


@lru_cache(maxsize=64)
def _blur_matrix(size: int, sigma: float) -> Array:
    """(size, size): multiplying by it blurs one axis with a Gaussian of `sigma` pixels."""
    position = np.arange(size, dtype=np.float32)
    weights = np.exp(-0.5 * ((position[:, None] - position[None, :]) / np.float32(max(sigma, 0.05))) ** 2)
    weights[weights < 1e-6] = 0  # denormal tails make the product ten times as slow
    matrix: Array = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return matrix


def blur(image: Array, sigma_y: float, sigma_x: float | None = None) -> Array:
    """Blur with a Gaussian; standard deviations in pixels, rounded to a tenth."""
    rows = _blur_matrix(image.shape[0], round(sigma_y, 1))
    columns = _blur_matrix(image.shape[1], round(sigma_y if sigma_x is None else sigma_x, 1))
    return _product(_product(rows, image), columns.T)


def _product(left: Array, right: Array) -> Array:
    """Multiply two square matrices, a few rows at a time.

    A product this small gains nothing from BLAS threads, and on a busy machine waiting for them costs ten times the
    work. OpenBLAS keeps to one thread up to 2**18 multiplications a call; these blocks stay under half of that.
    """
    size = left.shape[0]
    rows = next(count for count in (8, 4, 2, 1) if size % count == 0 and (count * size * size <= 2**17 or count == 1))
    blocks: Array = left.reshape(-1, rows, size) @ right
    return blocks.reshape(size, size)


def smooth_noise(rng: np.random.Generator, size: int, sigma: float) -> Array:
    """Return (size, size) noise with mean 0 and standard deviation 1, smooth over about `sigma` pixels."""
    noise = blur(rng.standard_normal((size, size), dtype=np.float32), sigma)
    noise -= noise.mean()
    scaled: Array = noise / (noise.std() + np.float32(1e-6))
    return scaled


def step(distance: Array, softness: float) -> Array:
    """Return 1 well inside (distance > 0), 0 well outside, a ramp of `softness` on each side of the edge."""
    ramp: Array = np.clip(distance * np.float32(0.5 / softness) + np.float32(0.5), 0, 1)
    return ramp


def ellipse(grid: Grid, x: float, y: float, rx: float, ry: float, angle: float = 0.0) -> Array:
    """Measure how far each pixel lies inside the edge of an ellipse: about right, negative outside.

    Args:
        grid: where to draw.
        x: centre, mm.
        y: centre, mm.
        rx: half-axis along x before turning, mm.
        ry: half-axis along y before turning, mm.
        angle: turn in radians.
    Returns:
        (H, W), mm.
    """
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    dx, dy = grid.x - np.float32(x), grid.y - np.float32(y)
    u = (dx * cos + dy * sin) * np.float32(1 / rx)
    v = (dy * cos - dx * sin) * np.float32(1 / ry)
    distance: Array = (1 - np.sqrt(u * u + v * v)) * np.float32(min(rx, ry))
    return distance


def blob(grid: Grid, rng: np.random.Generator, x: float, y: float, diameter: float, wobble: float) -> Array:
    """Measure how far each pixel lies inside an uneven round shape whose mean diameter is exact.

    Args:
        grid: where to draw.
        rng: decides the outline.
        x: centre, mm.
        y: centre, mm.
        diameter: mean diameter, mm.
        wobble: depth of the unevenness as a share of the radius; 0 gives a disc.
    Returns:
        (H, W), mm, negative outside.
    """
    dx, dy = grid.x - np.float32(x), grid.y - np.float32(y)
    radius = np.sqrt(dx * dx + dy * dy)
    if wobble == 0:
        disc: Array = np.float32(diameter / 2) - radius
        return disc
    angle = np.arctan2(dy, dx)
    phases = rng.uniform(0, 2 * np.pi, 3)
    edge = (
        np.float32(0.6) * np.cos(2 * angle + np.float32(phases[0]))
        + np.float32(0.5) * np.cos(3 * angle + np.float32(phases[1]))
        + np.float32(0.4) * np.cos(5 * angle + np.float32(phases[2]))
    )
    distance: Array = np.float32(diameter / 2) * (1 + np.float32(wobble) * edge) - radius
    return distance


def develop(image: Array, site: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Turn grey values in about [0, 1] into the 8-bit RGB picture that a site would give, (H, W, 3)."""
    look = LOOKS[site]
    size = image.shape[0]
    picture = blur(image, look.blur_mm / 1000 * size)
    picture += np.float32(look.noise) * rng.standard_normal(picture.shape, dtype=np.float32)
    picture = (picture - np.float32(0.45)) * np.float32(look.gain) + np.float32(0.45 + look.offset)
    np.clip(picture, 0, 1, out=picture)
    grey = _gamma_table(look.gamma)[(picture * np.float32(4095)).astype(np.int16)]
    picture_rgb: NDArray[np.uint8] = np.repeat(grey[:, :, None], 3, axis=2)
    return picture_rgb


@lru_cache(maxsize=8)
def _gamma_table(gamma: float) -> NDArray[np.uint8]:
    """Return the 8-bit grey of each of 4096 levels: a look-up is five times as fast as the power."""
    levels: NDArray[np.uint8] = (np.linspace(0, 1, 4096) ** gamma * 255 + 0.5).astype(np.uint8)
    return levels
