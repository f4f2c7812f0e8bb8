"""Pictures for training: decoded once into a memory-mapped store, then augmented in batches as tensors."""

from __future__ import annotations

import hashlib
import logging
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from assistant.imaging.load import load_picture
from training.augment_settings import AugmentSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)


def build_store(paths: Sequence[Path], side: int, cache: Path) -> NDArray[np.uint8]:
    """Decode pictures once into a memory-mapped array.

    Args:
        paths: picture files, any kind the imaging door reads.
        side: pixels a side; pictures are padded to a square, then resized with bicubic interpolation.
        cache: folder of the array's file, named by the pictures' paths, sizes and dates, so that it is used again.
    Returns:
        uint8 (N, 3, side, side), in the order of `paths`, opened for reading.
    """
    digest = hashlib.sha256(str(side).encode())
    for path in paths:
        status = path.stat()
        digest.update(f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}\n".encode())
    target = cache / f"pictures-{digest.hexdigest()[:16]}.npy"
    if not target.exists():
        cache.mkdir(parents=True, exist_ok=True)
        # Another run may be decoding the same pictures: each writes its own file, and the last rename counts.
        partial = target.with_suffix(f".{os.getpid()}.partial")
        store = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=(len(paths), 3, side, side))
        for number, path in enumerate(paths):
            store[number] = square_pixels(path, side)
            if number % 500 == 499:
                logger.info("decoded %d of %d pictures", number + 1, len(paths))
        store.flush()
        del store
        partial.rename(target)
    opened: NDArray[np.uint8] = np.load(target, mmap_mode="r")
    return opened


def square_pixels(path: Path, side: int) -> NDArray[np.uint8]:
    """Return one picture padded to a square and resized: uint8 (3, side, side)."""
    from PIL import Image

    resized = load_picture(path).squared().resize((side, side), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))


def _spread(count: int, limit: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(count, generator=generator) * 2 - 1) * limit


def augment(
    pixels: Tensor,
    size: int,
    settings: AugmentSettings,
    generator: torch.Generator,
    *,
    mirror: Tensor,
    turn: Tensor,
    still: Tensor,
) -> Tensor:
    """Resize a batch to the model's input, each picture changed at random.

    Args:
        pixels: uint8 (B, 3, H, H).
        size: side of the result in pixels.
        settings: how much may change.
        generator: source of chance, so that a resumed run repeats itself.
        mirror: bool (B,), which pictures may be mirrored left to right (never where a side is asked about).
        turn: bool (B,), which pictures have no up or down and may be turned by any angle.
        still: bool (B,), which pictures keep their geometry, because labels of their patches depend on it.
    Returns:
        float (B, 3, size, size), about 0 to 1, not yet normalised.
    """
    count = len(pixels)
    angle = _spread(count, math.radians(settings.rotate_degrees), generator)
    whole = turn & (torch.rand(count, generator=generator) < 0.7)
    angle = torch.where(whole, _spread(count, math.pi, generator), angle)
    flip = torch.where(mirror & (torch.rand(count, generator=generator) < 0.5), -1.0, 1.0)
    scale = torch.exp(_spread(count, settings.scale, generator)) / (1 + settings.scale / 5)
    stretch = torch.exp(_spread(count, settings.stretch, generator))
    shift_x, shift_y = _spread(count, settings.shift, generator), _spread(count, settings.shift, generator)
    moving = (~still).float()
    angle, shift_x, shift_y = angle * moving, shift_x * moving, shift_y * moving
    flip = torch.where(still, torch.ones_like(flip), flip)
    scale, stretch = scale**moving, stretch**moving
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = [torch.stack([cos * stretch * flip, -sin, shift_x], 1), torch.stack([sin * stretch * flip, cos, shift_y], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), [count, 3, size, size], align_corners=False)
    image = _coarser(F.grid_sample(pixels.float() / 255, grid, align_corners=False), settings.coarse, generator)
    image = image.clamp(1e-4, 1) ** torch.exp(_spread(count, settings.gamma, generator)).view(-1, 1, 1, 1)
    image = image * (1 + _spread(count, settings.contrast, generator).view(-1, 1, 1, 1))
    image = image + _spread(count, settings.brightness, generator).view(-1, 1, 1, 1)
    image = image * (1 + _spread(count * 3, settings.colour, generator).view(count, 3, 1, 1))
    if settings.noise:
        amount = torch.rand(count, 1, 1, 1, generator=generator) * settings.noise
        image = image + torch.randn(image.shape, generator=generator) * amount
    # A covered finding would make what is said of it wrong; drawn pictures are exact, so they are spared.
    return _erase(image, settings.erase * moving, generator)


def _coarser(image: Tensor, chance: float, generator: torch.Generator) -> Tensor:
    if not chance:
        return image
    size = image.shape[-1]
    chosen = torch.rand(len(image), generator=generator) < chance
    # One number of pixels for all that are chosen: pictures of several sizes make no batch.
    fewer = int(size * (0.5 + 0.5 * torch.rand(1, generator=generator).item()))
    if chosen.any():
        image[chosen] = resized(resized(image[chosen], fewer), size)
    return image


def _erase(image: Tensor, chance: Tensor, generator: torch.Generator) -> Tensor:
    size = image.shape[-1]
    for index in torch.nonzero(torch.rand(len(image), generator=generator) < chance)[:, 0].tolist():
        share, left, top, grey = torch.rand(4, generator=generator).tolist()
        side = max(1, int(size * (0.1 + 0.2 * share)))
        x, y = int(left * (size - side)), int(top * (size - side))
        image[index, :, y : y + side, x : x + side] = grey
    return image


def plain(pixels: Tensor, size: int) -> Tensor:
    """Resize a batch without any change: uint8 (B, 3, H, H) to float (B, 3, size, size), 0 to 1."""
    return resized(pixels.float() / 255, size).clamp(0, 1)


def resized(images: Tensor, size: int) -> Tensor:
    """Resize pictures (B, 3, H, H) to (B, 3, size, size), with bicubic interpolation and without aliasing."""
    if images.shape[-1] == size:
        return images
    return F.interpolate(images, size=(size, size), mode="bicubic", antialias=True, align_corners=False)
