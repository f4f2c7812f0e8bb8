"""What a report run calls its inputs, so that a file name with a patient's name in it reaches no ledger and no page.

An input's own name is a salted one-way key of its path. Which name stands for which path is kept in one place,
`inputs.jsonl` in the run's folder, readable by its owner alone; it may be deleted, and then the names say nothing.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from assistant.errors import WorklistError

FILE = "inputs.jsonl"
_PREFIX = "image-"
_ENDINGS = (".nii.gz", ".nii", ".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".dcm")
_SHORTEST = 3


def shown(path: Path) -> str:
    """Return a path relative to the current folder when it lies inside, `/` between parts."""
    absolute = os.path.abspath(path)
    relative = os.path.relpath(absolute)
    name = absolute if relative.startswith("..") else relative
    return Path(name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")).as_posix()


def own_name(path: Path) -> str:
    """Return the name that stands for an input: `image-`, 16 hexadecimal digits, and what kind of file it is.

    Args:
        path: of the input; the same path gives the same name in one installation.
    Returns:
        a name that tells nothing of the path but a usual ending.
    """
    from assistant.imaging.identity import installation_salt, key

    ending = next((one for one in _ENDINGS if path.name.lower().endswith(one)), "")
    return f"{_PREFIX}{key(installation_salt(), 'input', shown(path))}{ending}"


def remember(folder: Path, paths: Iterable[Path]) -> None:
    """Note which names stand for which paths, those that are not noted yet.

    Args:
        folder: of the run.
        paths: its inputs.
    Raises:
        WorklistError: the file cannot be written.
    """
    file = folder / FILE
    known = _read(file)
    new = {name: shown(path) for path in paths if (name := own_name(path)) not in known}
    if not new:
        return
    lines = "".join(json.dumps({"name": name, "path": path}, ensure_ascii=False) + "\n" for name, path in new.items())
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as stream:
            if stream.tell() and not file.read_bytes().endswith(b"\n"):  # a kill left half a line
                stream.write("\n")
            stream.write(lines)
            stream.flush()
            os.fsync(descriptor)
    except OSError as error:
        raise WorklistError(
            f"{file} cannot be written ({error.strerror}). Choose another --out, or let names stand: --keep-names."
        ) from None


def paths_of(folder: Path, inputs: Sequence[str]) -> list[str]:
    """Return the paths of a record's inputs.

    Args:
        folder: of the run.
        inputs: as a record names them: own names, or the paths themselves as earlier versions wrote them.
    Returns:
        one path an input; a name that is noted nowhere comes back as it is.
    """
    known = _read(folder / FILE)
    return [known.get(one, one) for one in inputs]


def without_paths(text: str, paths: Sequence[Path], names: Sequence[str]) -> str:
    """Return a message with the names in place of the paths, and without the folders they lie in.

    Args:
        text: such as why an image could not be read.
        paths: that it may speak of.
        names: of those paths.
    Returns:
        the text.
    """
    replaced: dict[str, str] = {}
    for path, name in zip(paths, names, strict=True):
        folder = path.parent
        replaced |= {str(path): name, os.path.abspath(path): name, shown(path): name, path.name: name}
        replaced |= {str(folder): "its folder", os.path.abspath(folder): "its folder", shown(folder): "its folder"}
    for form in sorted(replaced, key=len, reverse=True):
        if len(form) >= _SHORTEST and any(one.isalnum() for one in form):
            text = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", replaced[form], text)
    return text


def _read(file: Path) -> dict[str, str]:
    try:
        status = file.stat()
        return _parsed(file, status.st_mtime_ns, status.st_size)
    except OSError:
        return {}


@lru_cache(maxsize=4)
def _parsed(file: Path, changed: int, size: int) -> dict[str, str]:
    """Read the file as it was at that time; a line that a kill left unfinished is noted again by the next run."""
    found = {}
    for line in file.read_text("utf-8").split("\n"):
        try:
            row = json.loads(line)
            found[str(row["name"])] = str(row["path"])
        except (ValueError, KeyError, TypeError):
            continue
    return found
