"""A picture with colour over the parts that an answer rests on, and the words that belong to it."""

from __future__ import annotations

import io
import math
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from assistant.imaging.heatmap import FAINT, MEANING, coloured
from assistant.imaging.picture import Picture
from assistant.ui.session import preview

if TYPE_CHECKING:
    from PIL.Image import Image

    from assistant.engine.occlusion import Heat


def overlay(picture: Picture, heat: Heat) -> Image:
    """Lay the heat over a picture as a colour that grows stronger from yellow to red.

    Args:
        picture: that the heat is of.
        heat: of any grid; only what makes the answer less likely when hidden is coloured.
    Returns:
        RGB, as large as the picture's preview.
    """
    return coloured(preview(picture), heat.nats)


def heat_html(picture: Picture, heat: Heat | None) -> str:
    """Return the overlay as a figure with a legend, or why there is none.

    Args:
        picture: that the heat is of.
        heat: None where the model was not asked.
    Returns:
        HTML with the picture inside; nothing is fetched for it.
    """
    if heat is None:
        return note_html("The model wrote no answer about a picture here, so there is nothing to show.")
    if float(heat.nats.max()) < FAINT:
        return note_html(f"No single part of the picture stands out. {_whole(heat)}")
    buffer = io.BytesIO()
    overlay(picture, heat).save(buffer, "JPEG", quality=88)
    encoded = b64encode(buffer.getvalue()).decode()
    return (
        f"<figure class='ma-heat'><img alt='{escape(_alt(heat), quote=True)}' "
        f"src='data:image/jpeg;base64,{encoded}'><figcaption>"
        "<div class='ma-legend' aria-hidden='true'><span>counts less</span><i></i><span>counts more</span></div>"
        f"<strong>{MEANING}</strong> {escape(_whole(heat))}</figcaption></figure>"
    )


def pair_html(pictures: Sequence[Picture], *, compared: bool) -> str:
    """Return two pictures side by side.

    Args:
        pictures: the earlier one first.
        compared: whether they are prior and current, not just two of one question.
    Returns:
        HTML with both inside; empty unless there are two.
    """
    if len(pictures) != 2:
        return ""
    names = ("Earlier image", "Current image") if compared else ("First of the last two", "Last image")
    sides = []
    for name, picture in zip(names, pictures, strict=True):
        buffer = io.BytesIO()
        preview(picture).save(buffer, "JPEG", quality=88)
        encoded = b64encode(buffer.getvalue()).decode()
        sides.append(f"<figure><img alt='{name}' src='data:image/jpeg;base64,{encoded}'>"
                     f"<figcaption>{name}</figcaption></figure>")  # fmt: skip
    return f"<div class='ma-pair' role='group' aria-label='Side by side'>{''.join(sides)}</div>"


def note_html(text: str) -> str:
    """Return a sentence in the overlay's place."""
    return f"<p class='ma-empty' role='status'>{escape(text)}</p>"


def _alt(heat: Heat) -> str:
    row, column = heat.peak
    high = "upper" if row < 1 / 3 else "lower" if row > 2 / 3 else "middle"
    wide = "left" if column < 1 / 3 else "right" if column > 2 / 3 else "centre"
    where = "the centre" if (high, wide) == ("middle", "centre") else f"the {high} {wide}"
    return f"The picture with colour over the parts the answer rests on, strongest in {where} of it. {MEANING}"


def _whole(heat: Heat) -> str:
    """Say what the picture counts for at all."""
    if heat.whole < FAINT:
        return "With the whole picture blurred the answer is as likely as before: it does not rest on the picture."
    times = math.exp(min(heat.whole, 20.0))
    much = f"{times:.1f} times" if times < 10 else f"{times:.0f} times" if times < 1000 else "over 1000 times"
    return f"With the whole picture blurred the answer is {much} less likely."
