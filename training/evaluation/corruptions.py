"""Pictures made worse in the ways that clinics make them worse, at five strengths each.

The kinds follow ImageNet-C (Hendrycks and Dietterich, ICLR 2019); the strengths are scaled to the picture's size.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from assistant.imaging.picture import Picture

STRENGTHS = (1, 2, 3, 4, 5)
_NOISE = (8, 16, 26, 38, 55)
_BLUR = (0.004, 0.008, 0.014, 0.022, 0.034)
_CONTRAST = (0.75, 0.55, 0.4, 0.28, 0.18)
_QUALITY = (45, 25, 14, 8, 4)
_ANGLE = (4, 9, 16, 25, 40)
_WATERMARK = (0.12, 0.2, 0.3, 0.42, 0.55)


def _noise(image: Image.Image, strength: int, seed: int) -> Image.Image:
    """Gaussian noise, standard deviation 8 to 55 grey levels."""
    pixels = np.asarray(image, dtype=np.float32)
    noisy = pixels + np.random.default_rng(seed).normal(0, _NOISE[strength - 1], pixels.shape[:2])[..., None]
    return Image.fromarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))


def _blur(image: Image.Image, strength: int, seed: int) -> Image.Image:
    """Gaussian blur, radius 0.4 to 3.4 % of the shorter side."""
    del seed
    return image.filter(ImageFilter.GaussianBlur(_BLUR[strength - 1] * min(image.size)))


def _contrast(image: Image.Image, strength: int, seed: int) -> Image.Image:
    """Contrast lowered to 75 to 18 %."""
    del seed
    return ImageEnhance.Contrast(image).enhance(_CONTRAST[strength - 1])


def _jpeg(image: Image.Image, strength: int, seed: int) -> Image.Image:
    """Saved and read again as JPEG of quality 45 to 4."""
    del seed
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY[strength - 1])
    with Image.open(buffer) as again:
        return again.convert("RGB")


def _rotation(image: Image.Image, strength: int, seed: int) -> Image.Image:
    """Turned by 4 to 40 degrees, to either side; corners filled with black."""
    angle = _ANGLE[strength - 1] * (1 if seed % 2 else -1)
    return image.rotate(angle, resample=Image.Resampling.BILINEAR)


def _watermark(image: Image.Image, strength: int, seed: int) -> Image.Image:
    """A bright bar with a made-up label over 12 to 55 % of the width, in one of the corners."""
    marked, (width, height) = image.copy(), image.size
    across, tall = max(2, int(width * _WATERMARK[strength - 1])), max(2, int(height * 0.09))
    left = 0 if seed % 2 else width - across
    top = 0 if seed // 2 % 2 else height - tall
    draw = ImageDraw.Draw(marked)
    draw.rectangle((left, top, left + across - 1, top + tall - 1), fill=(235, 235, 235))
    draw.text((left + 1, top), "SAMPLE", fill=(15, 15, 15), font_size=max(6.0, tall * 0.8))
    return marked


CORRUPTIONS: dict[str, Callable[[Image.Image, int, int], Image.Image]] = {
    "noise": _noise,
    "blur": _blur,
    "contrast": _contrast,
    "jpeg": _jpeg,
    "rotation": _rotation,
    "watermark": _watermark,
}


def corrupt(picture: Picture, name: str, strength: int, seed: int = 0) -> Picture:
    """Return a picture made worse.

    Args:
        picture: any.
        name: a key of `CORRUPTIONS`.
        strength: 1 to 5.
        seed: of the noise, the side of the turn and the corner of the mark; equal seeds give equal pixels.

    Returns:
        A picture of the same size, with nothing that its header told.

    Raises:
        ValueError: the name or the strength is unknown.
    """
    if name not in CORRUPTIONS or strength not in STRENGTHS:
        raise ValueError(f"corruption {name!r} at {strength!r}; use one of {', '.join(CORRUPTIONS)} and 1 to 5.")
    worse = CORRUPTIONS[name](Image.fromarray(picture.pixels).convert("RGB"), strength, seed)
    return Picture(np.asarray(worse, dtype=np.uint8))
