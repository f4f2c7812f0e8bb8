"""A folder such as a department's: pydicom's own test files, phantoms as series, NIfTI and PNG, and broken files."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data_recipes.phantom_volume import PhantomVolume

SEED = 990007
"""Of the phantoms; none of this series is trained on."""
SLICES, SIDE = 10, 96
"""Of a phantom volume."""

BROKEN: dict[str, str] = {
    "an empty file": ".png",
    "text": ".dcm",
    "a PNG cut off": ".png",
    "a DICOM file cut off": ".dcm",
    "a DICOM file of a header alone": ".dcm",
    "a ZIP archive": ".jpg",
    "a NIfTI file cut off": ".nii.gz",
    "a series of two pixel spacings": "",
    "unknown bytes": ".tif",
}
"""What is wrong with a broken study → the ending of its name; a folder has none."""
_BYTES = {
    "an empty file": b"",
    "text": b"no picture ",
    "a ZIP archive": b"PK\3\4",
    "unknown bytes": b"\xfe\xed\xbe\xef",
}
_APART = 10_000
"""Numbers of the volumes that are broken; their series must not be told as part of a sound one."""


@dataclass
class Mixture:
    """What was laid down."""

    folder: Path
    good: Counter[str] = field(default_factory=Counter)
    """Studies that can be reported on, by where they come from."""
    broken: dict[str, str] = field(default_factory=dict)
    """Name in the folder of each study that cannot be read → what is wrong with it."""
    unused: Counter[str] = field(default_factory=Counter)
    """pydicom's files that are no study of their own, by what they are."""

    @property
    def studies(self) -> int:
        """How many studies a run must find."""
        return self.good.total() + len(self.broken)


def make_mixture(folder: Path, *, studies: int = 500, broken: int = 25) -> Mixture:
    """Lay down studies.

    Args:
        folder: new.
        studies: how many in all.
        broken: how many of them cannot be read.
    Returns:
        What lies there.
    """
    mixture = Mixture(folder)
    folder.mkdir(parents=True)
    for index, what in zip(range(broken), itertools.cycle(BROKEN), strict=False):
        mixture.broken[_write_broken(folder, index, what)] = what
    _copy_pydicom(mixture, most=(studies - broken) // 2)
    _draw(mixture, studies - broken - mixture.good.total())
    return mixture


def _copy_pydicom(mixture: Mixture, most: int) -> None:
    """Copy those of pydicom's test files that hold a picture; series of theirs become one study each."""
    import pydicom.data

    from assistant.errors import ImageError
    from assistant.gather import gather_series
    from assistant.imaging.images import load_volume
    from assistant.imaging.load import load_picture
    from assistant.studies import Study

    there = sorted(Path(pydicom.data.__file__).parent.joinpath("test_files").rglob("*"))
    gathered = gather_series([Study(images=(one,), found=True) for one in there if one.is_file()])
    mixture.unused.update(gathered.left_out)
    for number, study in enumerate(gathered.studies):
        try:
            if study.volume:
                load_volume(study.images)
            else:
                load_picture(study.images[0])
        except ImageError:
            mixture.unused["no picture that can be read"] += len(study.images)
            continue
        kind = "pydicom series" if study.volume else "pydicom files"
        if mixture.good.total() >= most:
            mixture.unused["not needed"] += len(study.images)
            continue
        mixture.good[kind] += 1
        for place, path in enumerate(study.images):
            shutil.copyfile(path, mixture.folder / f"pydicom-{number:03d}-{place:02d}{path.suffix or '.dcm'}")


def _draw(mixture: Mixture, count: int) -> None:
    """Draw phantoms: of eight studies one is a DICOM series, one NIfTI, six are pictures."""
    from PIL import Image

    from data_recipes.phantom import make_phantom
    from data_recipes.phantom_volume import write_nifti, write_series

    for index in range(count):
        if index % 8 == 0:
            write_series(_volume(index), mixture.folder / f"series-{index:03d}")
            mixture.good["phantom DICOM series"] += 1
        elif index % 8 == 1:
            write_nifti(_volume(index), mixture.folder / f"nifti-{index:03d}.nii.gz")
            mixture.good["phantom NIfTI"] += 1
        else:
            Image.fromarray(make_phantom(SEED, index).pixels).save(mixture.folder / f"picture-{index:03d}.png")
            mixture.good["phantom PNG"] += 1


def _volume(index: int) -> PhantomVolume:
    from data_recipes.phantom_volume import make_phantom_volume

    return make_phantom_volume(SEED, index, slices=SLICES, size=SIDE)


def _write_broken(folder: Path, index: int, what: str) -> str:
    """Write one study that cannot be read; return its name."""
    path = folder / f"broken-{index:02d}{BROKEN[what]}"
    if what == "a series of two pixel spacings":
        _mixed_series(path, index)
    elif what == "a NIfTI file cut off":
        from data_recipes.phantom_volume import write_nifti

        write_nifti(_volume(_APART + index), path)
        path.write_bytes(path.read_bytes()[: 2000 + index])
    elif what.startswith("a DICOM file"):
        _cut_dicom(path, index, header_only="header" in what)
    elif what == "a PNG cut off":
        whole = (files("assistant") / "starter" / "examples" / "chest-xray.png").read_bytes()
        path.write_bytes(whole[: len(whole) // 2 + index])
    else:
        path.write_bytes(_BYTES[what] and _BYTES[what] + str(index).encode())
    return path.name


def _cut_dicom(path: Path, index: int, *, header_only: bool) -> None:
    """Write a slice whose pixels end early, or are missing."""
    import pydicom

    from data_recipes.phantom_volume import write_series

    with tempfile.TemporaryDirectory() as folder:
        whole = write_series(_volume(_APART + index), Path(folder))[SLICES // 2]
        if header_only:
            data = pydicom.dcmread(whole)
            del data.PixelData
            data.save_as(path)
        else:
            path.write_bytes(whole.read_bytes()[: -SIDE * SIDE])


def _mixed_series(folder: Path, index: int) -> None:
    import pydicom

    from data_recipes.phantom_volume import write_series

    for path in write_series(_volume(_APART + index), folder)[:2]:
        data = pydicom.dcmread(path)
        data.PixelSpacing = [9, 9]
        data.save_as(path)
