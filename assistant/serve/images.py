"""Images in requests: data URLs become pictures; an address of another machine is refused, never fetched."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from assistant.errors import ImageError
from assistant.imaging.picture import Picture
from assistant.serve.errors import ApiError

_SHOWN = 24


@dataclass(frozen=True)
class ImageSource:
    """One image of a request, not yet read."""

    address: str
    """A data URL, or bare base64."""
    place: str
    """The field that it came in, for messages."""
    frame: int | None = None
    window: str | None = None


def data_of(source: ImageSource) -> bytes:
    """Return the bytes of a data URL.

    Args:
        source: as it came.
    Returns:
        The file's bytes; what kind of file they are is told from themselves.
    Raises:
        ApiError: it is an address, or no base64.
    """
    head, comma, body = source.address.partition(",")
    scheme = head[:_SHOWN].partition(":")[0].lower().strip()
    if scheme != "data":
        if "://" in source.address[:64] or scheme in ("http", "https", "file", "ftp"):
            raise ApiError(
                400,
                "Images are not fetched from addresses: nothing that is asked here leaves this machine. Send the file "
                "itself as a data URL, data:image/png;base64,…",
                code="remote_image_refused",
                param=source.place,
            )
        raise ApiError(400, "This is no data URL; it begins with data:image/png;base64, and the file in base64.",
                       code="invalid_image_url", param=source.place)  # fmt: skip
    if not comma or not head.lower().rstrip().endswith(";base64"):
        raise ApiError(400, "The data URL is not in base64; it begins with data:image/png;base64, and the file.",
                       code="invalid_image_url", param=source.place)  # fmt: skip
    try:
        return base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ApiError(400, "The base64 of the data URL is broken. Encode the file again.",
                       code="invalid_base64", param=source.place) from None  # fmt: skip


def read_images(sources: list[ImageSource]) -> tuple[Picture, ...]:
    """Read the images of one request, in order.

    Args:
        sources: as they came.
    Returns:
        One picture each.
    Raises:
        ApiError: one of them cannot be used; it names the field.
    """
    from assistant.imaging.load import load_picture

    pictures = []
    for source in sources:
        try:
            pictures.append(load_picture(data_of(source), frame=source.frame, window=source.window))
        except ImageError as error:
            raise ApiError(400, str(error), code="invalid_image", param=source.place) from error
    return tuple(pictures)
