"""Files of one DICOM series to a `Volume`: sorted by place, checked for gaps, twins and mixtures.

Source: DICOM PS3.3 C.7.6.2 (Image Plane): a slice's place is its Image Position projected on the normal of its Image
Orientation; file names and instance numbers say nothing of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from assistant.errors import ImageError
from assistant.imaging import header as tags
from assistant.imaging.dicom import open_dicom
from assistant.imaging.given import Readable
from assistant.imaging.grey import GreyScale
from assistant.imaging.header import Header
from assistant.imaging.identity import installation_salt, key
from assistant.imaging.load import MAX_PIXELS
from assistant.imaging.pixels import read_frame, read_layout
from assistant.imaging.quiet import QUIET
from assistant.imaging.visit import Visit, visit_of
from assistant.imaging.volume import MAX_VOXELS, PLANES, Volume, check_affine, spacing_notes, upright

_SAME_PLACE_MM = 0.05
_PICTURES_OF_TEXT = "a scanner's screen, such as a dose sheet"


@dataclass(frozen=True, eq=False)
class SliceHead:
    """What the header of one file says of its place; no pixel is read for it."""

    path: Readable
    """The file."""
    series: str
    """Series Instance UID; stays in memory."""
    modality: str | None
    """As `Picture.modality`."""
    shape: tuple[int, int]
    """Rows and columns."""
    spacing: tuple[float, float] | None
    """Of rows and of columns, mm."""
    orientation: tuple[float, ...]
    """Direction cosines of rows and columns, 6 values; () if the header has none."""
    position: tuple[float, ...]
    """Patient coordinates of the first voxel, 3 values; () if the header has none."""
    number: int | None
    """Instance Number."""
    left_out: str | None
    """Why this is no slice of a volume: "a localizer", …; None for a slice."""
    visit: Visit
    """Whose it is and from when, as one-way keys and an order."""

    @property
    def place(self) -> float:
        """Where the slice lies along its own normal, mm."""
        row, column = np.array(self.orientation[:3]), np.array(self.orientation[3:])
        return float(np.cross(row, column) @ np.array(self.position))


def slice_head(path: Readable) -> SliceHead | None:
    """Read the head of one file.

    Args:
        path: any file.
    Returns:
        what it says; None for a file that is no single-frame DICOM image nor any other readable DICOM object.
    """
    try:
        with path.open("rb") as stream, QUIET:
            if stream.read(132)[128:] != b"DICM":
                return None
            stream.seek(0)
            _, dataset, element = open_dicom(stream, MAX_PIXELS)
            return _head(path, Header(dataset), element is not None)
    except (ImageError, OSError, ValueError, OverflowError):
        return None


def _head(path: Readable, header: Header, has_pixels: bool) -> SliceHead | None:
    if header.count("NumberOfFrames", 1) > 1:
        return None
    numbers = header.numbers("InstanceNumber")
    rows, columns = (header.numbers(name)[:1] or [0.0] for name in ("Rows", "Columns"))
    return SliceHead(
        path=path,
        series=header.identifier("SeriesInstanceUID"),  # goes into a one-way key before anybody sees it
        modality=tags.modality(header),
        shape=(int(rows[0]), int(columns[0])),
        spacing=tags.spacing_mm(header),
        orientation=_numbers(header, "ImageOrientationPatient", 6),
        position=_numbers(header, "ImagePositionPatient", 3),
        number=int(numbers[0]) if numbers else None,
        left_out=_why_left_out(header, has_pixels),
        visit=visit_of(header),
    )


def _numbers(header: Header, keyword: str, count: int) -> tuple[float, ...]:
    values = header.numbers(keyword)
    return tuple(values) if len(values) == count and bool(np.isfinite(values).all()) else ()


def _why_left_out(header: Header, has_pixels: bool) -> str | None:
    """Say why an object is no slice to report on."""
    kinds = [kind.upper() for kind in header.texts("ImageType")]
    if header.text("Modality") == "SR" or "DOSE_INFO" in kinds:
        return "a dose sheet" if "DOSE_INFO" in kinds else "a structured report"
    if not has_pixels:
        return "no image"
    if tags.is_localizer(header):
        return "a localizer"
    if "SCREEN SAVE" in kinds or str(header.get("SOPClassUID") or "").startswith("1.2.840.10008.5.1.4.1.1.7"):
        return _PICTURES_OF_TEXT
    return None


def read_series(paths: Sequence[Readable], *, salt: bytes | None = None, max_voxels: int = MAX_VOXELS) -> Volume:
    """Read the slices of one series.

    Args:
        paths: its files, in any order; other objects of the study among them are left out, and said so.
        salt: secret of the keys; this installation's own if None.
        max_voxels: the most voxels of the volume.
    Returns:
        the volume, upright, with cautions on what is missing or left out.
    Raises:
        ImageError: the files are of several series, differ in geometry, have no place in the patient, or two of them
            show different pictures in one place.
    """
    heads = [(path, slice_head(path)) for path in paths]
    unread = [path for path, head in heads if head is None]
    others = Counter(head.left_out for _, head in heads if head and head.left_out)
    slices = [head for _, head in heads if head and not head.left_out]
    where = str(paths[0].parent) if paths else "the series"
    if not slices:
        raise ImageError(
            f"{where}: {len(paths)} file(s), but none is a slice of a DICOM series. Name the folder that holds the "
            "slices; folders inside it are not looked into."
        )
    if unread:
        raise ImageError(
            f"{where}: {len(unread)} file(s) are no single-frame DICOM images, the first is {unread[0].name}. "
            "Keep them elsewhere, or send them again if they are slices."
        )
    try:
        _refuse_mixtures(slices)
        cautions = [f"Left out: {count} file(s), {what}." for what, count in others.items()]
        return _stacked(sorted(slices, key=lambda one: one.place), cautions, salt, max_voxels)
    except ImageError as error:
        raise ImageError(f"{where}: {error}") from None


def _refuse_mixtures(slices: Sequence[SliceHead]) -> None:
    """Refuse slices that cannot lie in one volume, and say what differs."""
    placeless = sum(not (one.orientation and one.position and one.spacing) for one in slices)
    if placeless:
        raise ImageError(
            f"{placeless} of {len(slices)} slices do not say where they lie (position, orientation or pixel spacing "
            "is missing). Give them as single images."
        )
    checks: tuple[tuple[str, Callable[[SliceHead], Hashable]], ...] = (
        ("series", lambda one: one.series),
        ("modalities", lambda one: one.modality),
        ("picture sizes", lambda one: one.shape),
        ("orientations", lambda one: tuple(round(v, 2) + 0.0 for v in one.orientation)),
        ("pixel spacings", lambda one: tuple(round(v, 3) for v in one.spacing or ())),
    )
    for what, of in checks:
        counts = Counter(of(one) for one in slices)
        if len(counts) > 1:
            sizes = ", ".join(str(count) for _, count in counts.most_common())
            raise ImageError(
                f"the files are a mixture of {len(counts)} {what} ({sizes} slices), which make no one volume. "
                "Give the files of one of them."
            )


def _stacked(heads: list[SliceHead], cautions: list[str], salt: bytes | None, max_voxels: int) -> Volume:
    """Read the pixels of slices that are sorted by place, and put them on each other."""
    rows, columns = heads[0].shape
    if rows * columns * len(heads) > max_voxels:
        raise ImageError(f"{len(heads)} slices of {columns} x {rows} are more than {max_voxels} voxels. Give fewer.")
    kept: list[SliceHead] = []
    layers: list[np.ndarray] = []
    twins = 0
    for head in heads:
        values, scale, header = _values(head.path)
        if kept and head.place - kept[-1].place < _SAME_PLACE_MM:
            if not np.array_equal(values, layers[-1]):
                raise ImageError(
                    f"two different slices lie in one place (numbers {kept[-1].number} and {head.number}): the series "
                    "holds several phases or echoes. Give the files of one of them."
                )
            twins += 1
            continue
        kept.append(head)
        layers.append(values)
    if twins:
        cautions.append(f"{twins} slice(s) were there twice and are taken once.")
    numbers = [one.number for one in kept]
    told = all(number is not None for number in numbers) and len(set(numbers)) == len(numbers)
    shown = tuple(number or 0 for number in numbers) if told else tuple(range(1, len(kept) + 1))
    steps = [after.place - before.place for before, after in zip(kept, kept[1:], strict=False)]
    cautions += [*spacing_notes(steps, shown), *_tilt_note(kept)]
    affine = _affine(kept)
    check_affine(affine)
    secret = installation_salt() if salt is None else salt
    study, patient = tags.identity_keys(header, secret)
    return upright(
        Volume(
            values=np.stack(layers),
            affine=affine,
            positions_mm=_middles(kept, affine),
            numbers=shown,
            series=key(secret, "series", kept[0].series) or "series",
            source_format="DICOM",
            hounsfield=scale.in_hounsfield,
            modality=kept[0].modality,
            anatomy=tags.anatomy(header),
            view=tags.view(header, kept[0].modality),
            study_key=study,
            patient_key=patient,
            cautions=tuple(cautions),
        )
    )


def _values(path: Readable) -> tuple[np.ndarray, GreyScale, Header]:
    """Read one slice's modality values, as int16 where that loses nothing."""
    try:
        with path.open("rb") as opened, QUIET:
            stream, dataset, element = open_dicom(opened, MAX_PIXELS)
            header = Header(dataset)
            if element is None:
                raise ImageError("the file has no pixel data")
            layout = read_layout(header, element, MAX_PIXELS)
            if layout.samples != 1 or layout.photometric == "PALETTE COLOR":
                raise ImageError("the slice is in colour; a volume takes grey slices")
            stored = read_frame(stream, header, element, layout, 0)
            scale = GreyScale(header, layout, tags.modality(header), dataset.original_encoding[1] is not False)
            values = scale.modality_values(stored)
    except ImageError as error:
        raise ImageError(f"slice {path.name}: {error}") from None
    if layout.photometric == "MONOCHROME1":
        raise ImageError(f"slice {path.name}: inverted greys (MONOCHROME1) make no volume. Give it as a single image.")
    whole = values.min() >= -32768 and values.max() <= 32767 and bool((values == np.rint(values)).all())
    return values.astype(np.int16 if whole else np.float32), scale, header


def _affine(kept: Sequence[SliceHead]) -> np.ndarray:
    """Return the affine of sorted slices (PS3.3 C.7.6.2.1.1); a single slice gets a depth of 1 mm."""
    row, column = np.array(kept[0].orientation[:3]), np.array(kept[0].orientation[3:])
    first, last = np.array(kept[0].position), np.array(kept[-1].position)
    down, right = kept[0].spacing or (1.0, 1.0)
    affine = np.eye(4)
    affine[:3, 0] = (last - first) / (len(kept) - 1) if len(kept) > 1 else np.cross(row, column)
    affine[:3, 1] = column * down  # the next row lies along the column's direction
    affine[:3, 2] = row * right
    affine[:3, 3] = first
    return affine


def _middles(kept: Sequence[SliceHead], affine: np.ndarray) -> tuple[float, ...]:
    """Return each slice's middle on the patient axis across the plane."""
    rows, columns = kept[0].shape
    middle = affine[:3, 1] * (rows - 1) / 2 + affine[:3, 2] * (columns - 1) / 2
    axis = PLANES.index(Volume(np.empty(0), affine, (), (), "", "").plane)
    return tuple(float(one.position[axis] + middle[axis]) for one in kept)


def _tilt_note(kept: Sequence[SliceHead]) -> list[str]:
    """Say when slices are shifted against each other, as with a tilted gantry."""
    if len(kept) < 2 or kept[0].spacing is None:
        return []
    normal = np.cross(kept[0].orientation[:3], kept[0].orientation[3:])
    step = (np.array(kept[-1].position) - np.array(kept[0].position)) / (len(kept) - 1)
    shift = float(np.linalg.norm(step - normal * (step @ normal)))
    if shift <= 0.5 * max(kept[0].spacing):
        return []
    return [f"Each slice is shifted by {shift:.1f} mm against the next (a tilted gantry); positions take it in."]
