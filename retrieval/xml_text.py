"""The text of an XML element."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


def inner_text(element: Element | None) -> str:
    """Return the text below an element with single spaces; "" for None."""
    return " ".join("".join(element.itertext()).split()) if element is not None else ""
