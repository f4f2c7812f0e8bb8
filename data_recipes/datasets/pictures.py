"""Pictures of a data set: found inside its folder or its zip files, never outside, and put beside the examples.

A picture that is asked for by a name that leaves the folder is a fault. One that is not there is missing: its record is
left out or the build refused, with the count of every missing picture told.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any

from assistant.errors import DataError
from data_recipes.datasets.row import LFS_MARK
from data_recipes.instruct import place_image
from data_recipes.schema_check import image_name_fault, show

FETCHED = "fetched"
"""Folder in a data set's own where fetched pictures lie."""
SIZE_LIMIT = 256 * 2**20
"""Bytes of a picture in a zip file; more is refused unread."""
ENDINGS = (".jpg", ".png", ".jpeg")
"""Tried in turn where a data set names pictures without their endings."""
_POINTER_SIZE = 400


class MissingPicture(Exception):
    """A record needs a picture that is not there."""


class Pictures:
    """Finds pictures by the names that a data set uses, and places those of the records that are kept.

    Args:
        source: folder of the data set.
        out: folder of the examples; pictures go into `images/` there.
        roots: folders in `source` where pictures may lie, in the order they are tried. A root may itself be a link to
            another disk; a picture may not lead out of its root.
        link: put symbolic links instead of hard links or copies.
    """

    def __init__(self, source: Path, out: Path, *, roots: Sequence[str] = ("images", ""), link: bool = False) -> None:
        self.source = source
        self.out = out
        self.link = link
        self.missing: Counter[str] = Counter()
        """Name of each missing picture, with the number of records that need it."""
        self.collecting = False
        """Whether names are only noted down as missing, without leaving their records out."""
        self._roots = [(source / name, (source / name).resolve()) for name in dict.fromkeys((*roots, FETCHED))]
        self._blobs = _hub_blobs(source)
        self._zips: dict[str, list[tuple[Path, str]]] | None = None
        self._archives: dict[Path, zipfile.ZipFile] = {}
        self._waiting: list[tuple[Path, Callable[[Path], None]]] = []

    def __enter__(self) -> Pictures:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for archive in self._archives.values():
            archive.close()

    def find(self, *names: str, field: str = "image") -> str:
        """Return the path that a picture will have beside the examples, once `keep` is called.

        Args:
            *names: what the picture may be called, relative to one of the roots; the first that is there is taken.
            field: of the record, for messages.
        Returns:
            `images/` and the name.
        Raises:
            DataError: a name leaves the folder, or is none.
            MissingPicture: no file has any of these names.
        """
        for name in names:
            if fault := image_name_fault(name):
                raise DataError(f"field {field!r}: {fault}")
            for candidate in [name] if PurePosixPath(name).suffix else [name, *(name + end for end in ENDINGS)]:
                if target := self._wait_for(candidate):
                    return target
        self.missing[names[0]] += 1
        if self.collecting:
            return names[0]
        raise MissingPicture(names[0])

    def take(self, cell: object, field: str = "image") -> str:
        """Return the path of a picture that a field names or holds, as `find` does.

        Args:
            cell: a name; or bytes, or an object with `bytes` and `path` as the `datasets` library writes pictures.
            field: of the record, for messages.
        Returns:
            `images/` and the name; for bytes their hash, so that a picture met twice is one.
        Raises:
            DataError: the field holds no picture, or a name that leaves the folder.
            MissingPicture: no file has the name.
        """
        if isinstance(cell, str):
            return self.find(cell, field=field)
        data = cell.get("bytes") if isinstance(cell, dict) else cell
        if data is None and isinstance(cell, dict) and isinstance(cell.get("path"), str):
            return self.find(cell["path"], field=field)
        ending = picture_ending(data) if isinstance(data, bytes) else None
        if not ending or not isinstance(data, bytes):
            held = f"bytes that begin {data[:12]!r}" if isinstance(data, bytes) else show(cell)
            raise DataError(f"field {field!r} is {held}; it takes a PNG, JPEG, TIFF, GIF, BMP or WebP.")
        target = f"images/{hashlib.sha256(data).hexdigest()[:20]}{ending}"
        self._waiting.append((self.out / target, partial(_write, data)))
        return target

    def optional(self, name: str) -> str | None:
        """Return the path that a picture will have, as `find` does; None if it is not there, which is no fault."""
        return None if image_name_fault(name) else self._wait_for(name)

    def read(self, name: str) -> bytes | None:
        """Return the content of another file that lies by the pictures, in a folder or a zip file; None for none."""
        if image_name_fault(name):
            return None
        if path := self._path(name):
            return path.read_bytes()
        found = self._in_zips(name)
        return self._archive(found[0]).read(found[1]) if found else None

    def places(self) -> str:
        """Return where pictures are looked for, in words."""
        folders = ", ".join(str(root) for root, _ in self._roots)
        return f"{folders} and zip files in {self.source}"

    def keep(self) -> None:
        """Place the pictures that were found since the last call: their record is kept."""
        for target, place in self._waiting:
            if not target.exists():
                place(target)
        self._waiting.clear()

    def drop(self) -> None:
        """Forget the pictures that were found since the last call: their record is left out."""
        self._waiting.clear()

    def _wait_for(self, name: str) -> str | None:
        target = name if name.startswith("images/") else f"images/{name}"
        if path := self._path(name):
            self._waiting.append((self.out / target, partial(self._place, path)))
        elif found := self._in_zips(name):
            self._waiting.append((self.out / target, partial(self._unzip, *found)))
        else:
            return None
        return target

    def _path(self, name: str) -> Path | None:
        """Return the file of a name in the first root that has it; empty files and Git LFS pointers are none."""
        for root, bound in self._roots:
            path = root / name
            if not path.is_file():
                continue
            real = path.resolve()
            if not real.is_relative_to(bound) and not (self._blobs and real.is_relative_to(self._blobs)):
                raise DataError(f"picture {show(name)} is a link that leaves {root}; put the file itself there.")
            size = real.stat().st_size
            if size and not (size < _POINTER_SIZE and real.read_bytes().startswith(LFS_MARK)):
                return path
        return None

    def _place(self, path: Path, target: Path) -> None:
        place_image(path, target, link=self.link)

    def _in_zips(self, name: str) -> tuple[Path, str] | None:
        """Return the zip file and member whose path ends with `name`."""
        if self._zips is None:
            self._zips = {}
            for path in sorted([*self.source.glob("*.zip"), *self.source.glob("*/*.zip")]):
                for member in self._archive(path).infolist():
                    if not member.is_dir() and member.file_size:
                        tail = member.filename.rpartition("/")[2]
                        self._zips.setdefault(tail, []).append((path, member.filename))
        found = [
            (path, member)
            for path, member in self._zips.get(PurePosixPath(name).name, ())
            if f"/{member}".endswith(f"/{name}") and "__MACOSX" not in member
        ]
        if len(found) > 1:
            places = ", ".join(f"{path.name}:{member}" for path, member in found[:3])
            raise DataError(
                f"picture {show(name)} is in the zip files {len(found)} times ({places}); unpack the right one."
            )
        return found[0] if found else None

    def _archive(self, path: Path) -> zipfile.ZipFile:
        """Return a zip file that stays open: opening one of a million members takes seconds."""
        if path not in self._archives:
            try:
                self._archives[path] = zipfile.ZipFile(path)
            except zipfile.BadZipFile as error:
                raise DataError(
                    f"{path} is no zip file ({error}); download it again, or unpack it yourself."
                ) from error
        return self._archives[path]

    def _unzip(self, path: Path, member: str, target: Path) -> None:
        size = self._archive(path).getinfo(member).file_size
        if size > SIZE_LIMIT:
            raise DataError(f"{path}: {member} would unpack to {size} bytes; that is no picture. Unpack it yourself.")
        try:
            _write(self._archive(path).read(member), target)
        except zipfile.BadZipFile as error:
            raise DataError(f"{path}: {member} is damaged ({error}); download the file again.") from error


def picture_ending(data: bytes) -> str | None:
    """Return the ending of the picture format that the first bytes show, or None."""
    for mark, ending in (
        (b"\x89PNG\r\n", ".png"),
        (b"\xff\xd8\xff", ".jpg"),
        (b"GIF8", ".gif"),
        (b"II*\0", ".tif"),
        (b"MM\0*", ".tif"),
        (b"BM", ".bmp"),
    ):
        if data.startswith(mark):
            return ending
    return ".webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def _hub_blobs(source: Path) -> Path | None:
    """Return the folder that the links of a Hugging Face snapshot lead to, where `source` is one."""
    folder = source.resolve()
    blobs = folder.parent.parent / "blobs"
    return blobs if folder.parent.name == "snapshots" and blobs.is_dir() else None


def _write(data: bytes, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)


def missing_text(missing: Counter[str], limit: int = 20) -> str:
    """Return the missing pictures as lines: those that most records need first, then how many more there are."""
    lines = [f"{name} ({count} record{'s' if count > 1 else ''})" for name, count in missing.most_common(limit)]
    more = len(missing) - limit
    return "\n  ".join(lines + ([f"… and {more} more"] if more > 0 else []))


def missing_records(missing: Counter[str]) -> list[dict[str, Any]]:
    """Return the missing pictures as JSON objects, in the order of the alphabet."""
    return [{"picture": name, "records": missing[name]} for name in sorted(missing)]
