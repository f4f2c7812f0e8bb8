"""Reads studies ahead of the model: hashed, skipped if reported already, decoded, by a few threads, in order."""

from __future__ import annotations

import hashlib
import json
import logging
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from assistant.conversation import ReportRequest
from assistant.errors import AssistantError, ConfigError, ImageError
from assistant.exports.registry import check_formats
from assistant.imaging.images import is_volume, load_images, load_volume, series_files
from assistant.imaging.load import load_picture
from assistant.imaging.picture import Picture
from assistant.imaging.window import WindowRequest
from assistant.json_lines import Record
from assistant.names import shown
from assistant.report_template import AUTO
from assistant.states import Claim
from assistant.studies import Study, told
from assistant.template_files import Templates, shipped

logger = logging.getLogger(__name__)

MAX_PICTURES = 4
"""Most pictures of one study that are shown to the model; more are thinned out evenly, and the report says so."""


VOLUMES_AHEAD = 3
"""Most studies that are read ahead where one of them is a volume."""

AHEAD = 16
"""Most studies that are read ahead beyond the next batch."""

LoadPicture = Callable[[Path], Picture]
AskFor = Callable[[str, str, Sequence[str]], tuple[Claim, str | None]]


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
    template: str = AUTO
    """Report template of the studies that name none."""
    templates: Templates = field(default_factory=shipped)
    """What template names stand for."""
    priors: bool = True
    """Whether priors are found in the list."""
    formats: tuple[str, ...] = ("md",)
    """Which pages each study gets, of `exports.registry.FORMATS`."""
    batch_size: int = 16
    """How many studies the model reports on at once."""
    loaders: int = 2
    """How many threads read pictures ahead."""
    again: bool = False
    """Try quarantined studies once more."""
    backoff: float = 0.5
    """Seconds before a study on which the model failed is tried again; the second wait is four times as long."""
    picture_side: int | None = None
    """Pictures are read at no less than this side, None at all their pixels; see `GenerationConfig.picture_side`."""
    window: WindowRequest = None
    """Window that volumes are shown in; None takes the organ's own."""

    def __post_init__(self) -> None:
        check_formats(self.formats)
        if self.batch_size < 1 or self.loaders < 1:
            raise ConfigError(f"batch_size is {self.batch_size} and loaders {self.loaders}; each is 1 or more.")


def picture_loader(settings: RunSettings) -> LoadPicture:
    """Return what reads one picture as the run's settings ask for it."""
    return partial(load_picture, max_side=settings.picture_side)


@dataclass(frozen=True)
class Prepared:
    """A study that is ready for the model, or known already, or failed at the door."""

    study: Study
    id: str
    key: str
    request: ReportRequest | None = None
    cautions: tuple[str, ...] = ()
    error: str | None = None
    for_good: bool = False
    """The error lies in the files: trying again could not help."""
    elsewhere: bool = False
    """Another process is at work on it."""
    waiting: bool = False
    """It is ours to report on, and its pictures are still to be read."""

    def failure(self, error: str) -> Record:
        """Return the line that the ledger keeps of a failed study."""
        return {"study": self.id, "inputs": self.study.names, "error": self.study.told(error)}


def holds_volume(study: Study) -> bool:
    """Tell whether a study's images or priors hold a volume."""
    return study.volume or study.prior_volume or any(is_volume(path) for path in (*study.images, *study.priors))


def read_ahead(studies: Iterable[Study], settings: RunSettings, load: LoadPicture, claim: AskFor) -> Iterator[Prepared]:
    """Yield the studies in order, at most two batches of them read and waiting.

    Args:
        studies: what to report on.
        settings: the run's.
        load: reads one file; called from several threads.
        claim: asks the ledger for a study; called from several threads.
    Yields:
        Each study once; the second of two equal lines of a list comes as if it were done.
    """
    claimed: set[str] = set()
    for prepared in _in_order(studies, settings, load, claim):
        yield prepared if prepared.id not in claimed else replace(prepared, request=None, error=None)
        claimed.add(prepared.id)


def _in_order(studies: Iterable[Study], settings: RunSettings, load: LoadPicture, claim: AskFor) -> Iterator[Prepared]:
    waiting: deque[Future[Prepared]] = deque()
    with ThreadPoolExecutor(settings.loaders, thread_name_prefix="load") as pool:
        try:
            for study in studies:
                waiting.append(pool.submit(_prepare, study, settings, load, claim))
                # A volume in memory weighs as much as many pictures: few of them are read ahead.
                room = VOLUMES_AHEAD if holds_volume(study) else settings.batch_size + min(settings.batch_size, AHEAD)
                while len(waiting) >= room:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _prepare(study: Study, settings: RunSettings, load: LoadPicture, claim: AskFor) -> Prepared:
    """Hash one study's files and, unless it is reported already, read its pictures."""
    return with_pictures(claimed(study, study_key(study, settings), claim), settings, load)


def claimed(study: Study, key: str, claim: AskFor) -> Prepared:
    """Ask the ledger for a study.

    Args:
        study: what to report on.
        key: from `study_key`.
        claim: asks the ledger.
    Returns:
        the study without its pictures; `waiting` if it is ours to report on.
    """
    name = study.name or key[:16]
    verdict, reason = claim(name, key, study.names)
    if verdict in ("done", "elsewhere"):
        return Prepared(study, name, key, elsewhere=verdict == "elsewhere")
    if verdict == "quarantined":
        return Prepared(study, name, key, error=reason, for_good=True)
    if verdict == "other":
        return Prepared(
            study,
            name,
            key,
            error=(
                f"The study {name!r} was reported in this folder from other files, or by another model, index or "
                "template. Give it another name in the list, or choose another --out."
            ),
        )
    return Prepared(study, name, key, waiting=True)


def with_pictures(prepared: Prepared, settings: RunSettings, load: LoadPicture) -> Prepared:
    """Read the pictures of a claimed study.

    Args:
        prepared: from `claimed`; what is not `waiting` comes back as it is.
        settings: the run's.
        load: reads one file.
    Returns:
        the study with its request, or with the reason why it has none.
    """
    if not prepared.waiting:
        return prepared
    study, name, key = prepared.study, prepared.id, prepared.key
    try:
        chosen = study.images if study.volume else _thinned(study.images)
        pictures = load_volume(chosen, window=settings.window) if study.volume else _loaded(chosen, settings, load)
        priors, cautions = _priors(study, settings, load)
    except (AssistantError, OSError) as error:
        return Prepared(study, name, key, error=str(error), for_good=isinstance(error, AssistantError))
    except Exception as error:  # a decoder's own fault must cost one study, not the run
        # Neither path nor header: a library's message may quote them.
        where = traceback.extract_tb(error.__traceback__)[-1]
        logger.error("a picture could not be read (%s, %s line %s)", type(error).__name__, where.name, where.lineno)
        return Prepared(study, name, key, error=f"The image could not be read ({type(error).__name__}).")
    if len(chosen) < len(study.images):
        cautions += (f"The model saw {len(chosen)} of the study's {len(study.images)} images, evenly chosen.",)
    template = study.template or settings.template
    request = ReportRequest(
        pictures, priors, study.indication, history=study.history, earlier=_earlier(study), template=template
    )
    return Prepared(study, name, key, request, cautions)


def _earlier(study: Study) -> str | None:
    """Return what the record's earlier reports said, newest first, each with its days before the study."""
    lines = []
    for one in (study.clinical or {}).get("earlier", ()):
        days = "before" if one.get("days_before") is None else f"{one['days_before']} days before"
        lines.append(
            f"Earlier report, {days}: {' '.join((one.get('impression') or one.get('findings') or '').split())}"
        )
    return told(" ".join(lines)) if lines else None


def _priors(study: Study, settings: RunSettings, load: LoadPicture) -> tuple[tuple[Picture, ...], tuple[str, ...]]:
    """Read a study's priors; one that was found and cannot be read costs the comparison, not the report."""
    try:
        if study.prior_volume:
            return load_volume(study.priors, window=settings.window), ()
        return _loaded(_thinned(study.priors), settings, load), ()
    except (AssistantError, OSError):
        if not study.priors_found:
            raise
        return (), ("An earlier study of this patient is in the list, but cannot be read: nothing was compared.",)


def _loaded(paths: Sequence[Path], settings: RunSettings, load: LoadPicture) -> tuple[Picture, ...]:
    """Read pictures, and all slices of what is a volume."""
    found: list[Picture] = []
    for path in paths:
        found += load_images(path, window=settings.window) if is_volume(path) else (load(path),)
    return tuple(found)


def study_key(study: Study, settings: RunSettings) -> str:
    """Return 64 hexadecimal digits that stand for the study's names and bytes and for who reports on it."""
    parts: dict[str, Any] = {
        "images": [(shown(path), _file_digest(path)) for path in study.images],
        "priors": [(shown(path), _file_digest(path)) for path in study.priors if not study.priors_found],
        "indication": study.indication,
        "template": settings.templates.key(study.template or settings.template),
        "study": study.name,
        "model": settings.model,
        "index": settings.index,
        "generation": settings.generation,
    }
    if settings.window is not None:
        parts["window"] = settings.window
    if study.history is not None:
        parts["history"] = study.history
    if not settings.priors:
        parts["find priors"] = False
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _file_digest(path: Path) -> str:
    try:
        if path.is_dir():
            inside = [(one.name, _file_digest(one)) for one in series_files(path)]
            return hashlib.sha256(json.dumps(inside).encode()).hexdigest()
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except (OSError, ImageError):
        return "unreadable"


def _thinned(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return at most `MAX_PICTURES` paths, evenly spaced over all of them."""
    if len(paths) <= MAX_PICTURES:
        return tuple(paths)
    step = (len(paths) - 1) / (MAX_PICTURES - 1)
    return tuple(paths[round(place * step)] for place in range(MAX_PICTURES))
