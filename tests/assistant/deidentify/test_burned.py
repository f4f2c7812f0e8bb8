"""Text in pixels is found; shapes that look like a letter are not taken for one."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from assistant.deidentify.burned import TextFinder
from assistant.imaging.load import load_picture
from assistant.model.folder import starter_folder


@pytest.fixture(scope="module")
def finder() -> TextFinder:
    return TextFinder()


def written(text: str, size: tuple[int, int], height: int) -> np.ndarray:
    """Return a dark picture, (H, W, 3), with white letters of about that height."""
    image = Image.new("RGB", size, (20, 20, 20))
    ImageDraw.Draw(image).text((12, 8), text, fill="white", font=ImageFont.load_default(size=1.3 * height))
    return np.asarray(image)


@pytest.mark.parametrize(
    ("text", "size", "height"),
    [("DOE JANE", (256, 256), 14), ("JD", (256, 256), 14), ("JD", (400, 48), 26), ("JANE", (256, 256), 60)],
    ids=["a name", "small initials", "initials on a narrow strip", "a name in large letters"],
)
def test_text_is_found(finder: TextFinder, text: str, size: tuple[int, int], height: int) -> None:
    assert finder.find(written(text, size, height))


@pytest.mark.parametrize("name", ["abdomen-us", "brain-mr", "chest-xray", "head-ct"])
def test_anatomy_that_looks_like_a_letter_stays(finder: TextFinder, name: str) -> None:
    assert finder.find(load_picture(starter_folder() / "examples" / f"{name}.png").pixels) == []
