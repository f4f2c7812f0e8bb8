"""Images in requests: data URLs become pictures; an address of another machine is refused, never fetched.

A NIfTI file, and DICOM files of one series, become one volume, whose slices are pictures. All of it stays in memory.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from assistant.errors import ImageError
from assistant.imaging.given import Given
from assistant.imaging.picture import Picture
from assistant.imaging.several import Sent, pictures_of, sort_sent
from assistant.serve.errors import ApiError

MOST_FILES = 1000
"""Most files of one request, the slices of a series among them."""
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


def read_images(sources: list[ImageSource], most: int | None = None) -> tuple[Picture, ...]:
    """Read the images of one request, in order.

    Args:
        sources: as they came.
        most: how many images there may be, a volume counted as one; None reads each file as a picture.
    Returns:
        One picture each, and all slices of a volume.
    Raises:
        ApiError: one of them cannot be used; it names the field. Or there are too many.
    """
    if most is None:
        return tuple(picture for one in sources for picture in _pictures(Sent(0, Given("", data_of(one))), [one]))
    check_count(len(sources), MOST_FILES, sources[0].place if sources else "")
    files = [Given(f"image {number}", data_of(one)) for number, one in enumerate(sources, start=1)]
    try:
        found = sort_sent(files, frames=[one.frame for one in sources], most_single=most)
    except ImageError as error:
        raise ApiError(400, str(error), code="invalid_image", param=_place(sources, str(error))) from error
    check_count(len(found), most, sources[0].place if sources else "")
    return tuple(picture for one in found for picture in _pictures(one, sources))


def check_count(count: int, most: int, place: str) -> None:
    """Refuse too many images.

    Args:
        count: of the request.
        most: that it may hold.
        place: the field, for the error.
    Raises:
        ApiError: says how many may be sent.
    """
    if count > most:
        raise ApiError(400, f"{count} images were sent. Send at most {most} with one request.",
                       code="too_many_images", param=place)  # fmt: skip


def _pictures(one: Sent, sources: list[ImageSource]) -> tuple[Picture, ...]:
    """Read one image, in the window that was wished for it or, for a series, for any of its slices."""
    source = sources[one.first]
    wished = {each.window for each in sources if each.window} if one.is_series else {source.window}
    try:
        if len(wished) > 1:
            raise ImageError(f"{len(wished)} windows were wished for the slices of one series. Name one.")
        return pictures_of(one, frame=source.frame, window=next(iter(wished), None))
    except ImageError as error:
        raise ApiError(400, str(error), code="invalid_image", param=source.place) from error


def _place(sources: list[ImageSource], message: str) -> str:
    """Return the field of the image that a message is about; the first where it is about several."""
    named = message.partition(":")[0].removeprefix("image ")
    return sources[int(named) - 1 if named.isdecimal() else 0].place
