"""Reads studies ahead of the model: hashed, skipped if reported already, decoded, by a few threads, in order."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from assistant.conversation import ReportRequest
from assistant.errors import AssistantError, ConfigError
from assistant.exports.registry import check_formats
from assistant.imaging.picture import Picture
from assistant.ledger import Record
from assistant.studies import Study, shown

logger = logging.getLogger(__name__)

MAX_PICTURES = 4
"""Most pictures of one study that are shown to the model; more are thinned out evenly, and the report says so."""


LoadPicture = Callable[[Path], Picture]


@dataclass(frozen=True)
class RunSettings:
    """How one run reports, and who it is: all of it goes into the ids of its studies but `out` and the sizes."""

    out: Path
    """The run's folder."""
    model: str
    """Fingerprint of the model."""
    index: str | None = None
    """Fingerprint of the index, None when the run has none."""
    generation: str = ""
    """Fingerprint of the settings that shape a report's text."""
    template: str = "generic"
    """Report template of the studies that name none."""
    formats: tuple[str, ...] = ("md",)
    """Which pages each study gets, of `exports.registry.FORMATS`."""
    batch_size: int = 16
    """How many studies the model reports on at once."""
    loaders: int = 2
    """How many threads read pictures ahead."""

    def __post_init__(self) -> None:
        check_formats(self.formats)
        if self.batch_size < 1 or self.loaders < 1:
            raise ConfigError(f"batch_size is {self.batch_size} and loaders {self.loaders}; each is 1 or more.")


@dataclass(frozen=True)
class Prepared:
    """A study that is ready for the model, or known already, or failed at the door."""

    study: Study
    id: str
    key: str
    request: ReportRequest | None = None
    cautions: tuple[str, ...] = ()
    error: str | None = None

    def failure(self, error: str) -> Record:
        """Return the line that the ledger keeps of a failed study."""
        return {"study": self.id, "inputs": self.study.inputs, "error": error}


def read_ahead(
    studies: Iterable[Study], settings: RunSettings, load: LoadPicture, done: Mapping[str, Record]
) -> Iterator[Prepared]:
    """Yield the studies in order, at most two batches of them read and waiting.

    Args:
        studies: what to report on.
        settings: the run's.
        load: reads one file; called from several threads.
        done: reports of earlier runs, by study.
    Yields:
        Each study once; the second of two equal lines of a list comes as if it were done.
    """
    claimed: set[str] = set()
    for prepared in _in_order(studies, settings, load, done):
        yield prepared if prepared.id not in claimed else replace(prepared, request=None, error=None)
        claimed.add(prepared.id)


def _in_order(
    studies: Iterable[Study], settings: RunSettings, load: LoadPicture, done: Mapping[str, Record]
) -> Iterator[Prepared]:
    waiting: deque[Future[Prepared]] = deque()
    with ThreadPoolExecutor(settings.loaders, thread_name_prefix="load") as pool:
        try:
            for study in studies:
                waiting.append(pool.submit(_prepare, study, settings, load, done))
                if len(waiting) >= 2 * settings.batch_size:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _prepare(study: Study, settings: RunSettings, load: LoadPicture, done: Mapping[str, Record]) -> Prepared:
    """Hash one study's files and, unless it is reported already, read its pictures."""
    key = _study_key(study, settings)
    name = study.name or key[:16]
    before = done.get(name)
    if before is not None and before.get("key") == key:
        return Prepared(study, name, key)
    if before is not None:
        return Prepared(
            study,
            name,
            key,
            error=(
                f"The study {name!r} was reported in this folder from other files, or by another model, index or "
                "template. Give it another name in the list, or choose another --out."
            ),
        )
    try:
        chosen = _thinned(study.images)
        pictures = tuple(load(path) for path in chosen)
        priors = tuple(load(path) for path in _thinned(study.priors))
    except (AssistantError, OSError) as error:
        return Prepared(study, name, key, error=str(error))
    except Exception as error:  # a decoder's own fault must cost one study, not the run
        logger.exception("a picture could not be read")
        return Prepared(study, name, key, error=f"The image could not be read ({type(error).__name__}: {error}).")
    cautions: tuple[str, ...] = ()
    if len(chosen) < len(study.images):
        cautions = (f"The model saw {len(chosen)} of the study's {len(study.images)} images, evenly chosen.",)
    request = ReportRequest(pictures, priors, study.indication, study.template or settings.template)
    return Prepared(study, name, key, request, cautions)


def _study_key(study: Study, settings: RunSettings) -> str:
    """Return 64 hexadecimal digits that stand for the study's names and bytes and for who reports on it."""
    parts = {
        "images": [(shown(path), _file_digest(path)) for path in study.images],
        "priors": [(shown(path), _file_digest(path)) for path in study.priors],
        "indication": study.indication,
        "template": study.template or settings.template,
        "study": study.name,
        "model": settings.model,
        "index": settings.index,
        "generation": settings.generation,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _file_digest(path: Path) -> str:
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError:
        return "unreadable"


def _thinned(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return at most `MAX_PICTURES` paths, evenly spaced over all of them."""
    if len(paths) <= MAX_PICTURES:
        return tuple(paths)
    step = (len(paths) - 1) / (MAX_PICTURES - 1)
    return tuple(paths[round(place * step)] for place in range(MAX_PICTURES))
