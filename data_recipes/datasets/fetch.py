"""Fetching pictures from the links in a data set: in parallel, at a set rate, again after a stop, and checked.

Pictures land in `fetched/` of the data set's folder. `fetched.jsonl` there gets a line for each picture that came, with
its size and SHA-256; a later run checks what is there against it and fetches only the rest. `failed.jsonl` lists what
did not come and why: a dead link (404, 410) is not tried again within a run, a busy server is.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from http.client import HTTPException, InvalidURL
from pathlib import Path
from typing import Any

from assistant.errors import DataError
from data_recipes.datasets.pictures import FETCHED, SIZE_LIMIT, picture_ending
from data_recipes.jsonl import read_records, write_records
from data_recipes.schema_check import image_name_fault, show

logger = logging.getLogger(__name__)

NCBI_FTP = "ftp://ftp.ncbi.nlm.nih.gov/"
"""Served over HTTPS under the same paths; FTP itself is often blocked."""
USER_AGENT = "medassist data recipes"
ARCHIVE_LIMIT = 4 * 2**30
BUSY = (408, 425, 429, 500, 502, 503, 504)
"""Answers that may be better a little later."""
LONGEST_WAIT_S = 120.0
_BLOCK = 1 << 16


@dataclass(frozen=True)
class Job:
    """One picture and where it is."""

    picture: str
    """Name that records use, relative to the folder of fetched pictures."""
    url: str
    """http, https, or ftp of the NCBI."""
    member: str | None = None
    """File name in the tar archive at `url`; None where the picture itself is there."""


@dataclass(frozen=True)
class FetchSettings:
    """How to fetch."""

    rate: float = 3.0
    """Requests a second, over all workers. The NCBI asks for 3 at most."""
    workers: int = 4
    """Requests at a time."""
    tries: int = 5
    """How often a request is tried."""
    timeout_s: float = 60.0
    """Seconds without a byte after which a request has failed."""
    first_wait_s: float = 1.0
    """Seconds before the second try; doubled for each further one, with some chance in it."""

    def __post_init__(self) -> None:
        for name, value, least in (("rate", self.rate, 0.0), ("workers", self.workers, 0), ("tries", self.tries, 0)):
            if value <= least:
                raise DataError(f"--fetch-{name} is {value}; use more than 0.")


class DeadLinkError(Exception):
    """A link will not give its picture, however often it is tried."""


@dataclass
class _Ledger:
    """What came, on disk; written a line at a time, so that a stop loses nothing."""

    folder: Path
    lock: threading.Lock = field(default_factory=threading.Lock)
    known: dict[str, dict[str, Any]] = field(default_factory=dict)

    def open(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(
                f"{self.folder} cannot be made ({error.strerror}); --fetch writes into the data set's folder."
            ) from error
        path = self.folder / "fetched.jsonl"
        if path.exists():
            _mend_last_line(path)
            self.known = {record["picture"]: record for record in read_records(path, lambda record: record)}

    def holds(self, picture: str) -> bool:
        """Tell whether a picture is there as it came."""
        record, path = self.known.get(picture), self.folder / picture
        if record is None or not path.is_file() or path.stat().st_size != record["bytes"]:
            return False
        return bool(hashlib.sha256(path.read_bytes()).hexdigest() == record["sha256"])

    def add(self, job: Job, data: bytes) -> None:
        """Write a picture through a temporary file, then its line."""
        path = self.folder / job.picture
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as stream:
            stream.write(data)
        os.chmod(stream.name, 0o644)
        os.replace(stream.name, path)
        record = {
            "picture": job.picture,
            "url": job.url,
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        with self.lock:
            self.known[job.picture] = record
            with (self.folder / "fetched.jsonl").open("a", encoding="utf-8") as ledger:
                ledger.write(json.dumps(record, ensure_ascii=False) + "\n")


class _Pace:
    """Lets requests through at a rate."""

    def __init__(self, rate: float) -> None:
        self._gap = 1 / rate
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        with self._lock:
            now = time.monotonic()
            turn = max(self._next, now)
            self._next = turn + self._gap
        time.sleep(max(0.0, turn - now))


def fetch_pictures(jobs: Iterable[Job], source: Path, settings: FetchSettings) -> dict[str, str]:
    """Fetch pictures into the folder `fetched` of a data set.

    Args:
        jobs: what to fetch; pictures of the same archive are fetched at once.
        source: folder of the data set.
        settings: how.
    Returns:
        Picture to the reason why it did not come.
    Raises:
        DataError: the folder cannot be written, or a picture's name leaves it.
    """
    ledger = _Ledger(source / FETCHED)
    ledger.open()
    archives: dict[str, list[Job]] = {}
    there = 0
    for job in jobs:
        if fault := image_name_fault(job.picture):
            raise DataError(f"link to {show(job.url)}: {fault}")
        if ledger.holds(job.picture):
            there += 1
        else:
            archives.setdefault(job.url, []).append(job)
    wanted = sum(map(len, archives.values()))
    logger.info("fetch: %d pictures to fetch by %d requests, %d there already", wanted, len(archives), there)
    failed = _fetch_all(list(archives.values()), ledger, settings)
    links = {job.picture: job.url for group in archives.values() for job in group}
    write_records(
        ledger.folder / "failed.jsonl",
        ({"picture": name, "url": links[name], "reason": failed[name]} for name in sorted(failed)),
    )
    logger.info("fetch: %d pictures came, %d failed (%s)", wanted - len(failed), len(failed), ledger.folder)
    return failed


def _fetch_all(groups: Sequence[Sequence[Job]], ledger: _Ledger, settings: FetchSettings) -> dict[str, str]:
    """Fetch with several workers that draw the next link when they are free; returns the pictures that failed."""
    failed: dict[str, str] = {}
    waiting = iter(enumerate(groups, 1))
    lock, stop, pace = threading.Lock(), threading.Event(), _Pace(settings.rate)

    def work() -> None:
        while not stop.is_set():
            with lock:
                number, group = next(waiting, (0, None))
            if group is None:
                return
            lost = _fetch_one(group, ledger, pace, settings)
            with lock:
                failed.update(lost)
            if number % 100 == 0:
                logger.info("fetch: %d of %d requests, %d pictures failed", number, len(groups), len(failed))

    with ThreadPoolExecutor(settings.workers) as pool:
        workers = [pool.submit(work) for _ in range(settings.workers)]
        try:
            for done in as_completed(workers):
                done.result()
        finally:
            stop.set()
    return failed


def _fetch_one(group: Sequence[Job], ledger: _Ledger, pace: _Pace, settings: FetchSettings) -> dict[str, str]:
    """Fetch what one link holds; returns the pictures that failed with their reasons."""
    url = group[0].url.replace(NCBI_FTP, NCBI_FTP.replace("ftp://", "https://"), 1)
    reason = "not tried"
    for attempt in range(settings.tries):
        if attempt:
            time.sleep(min(LONGEST_WAIT_S, settings.first_wait_s * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)))
        pace.wait()
        try:
            with tempfile.TemporaryFile(dir=ledger.folder) as stream:
                _download(url, stream, settings)
                return _take_out(group, stream, ledger)
        except DeadLinkError as error:
            return {job.picture: str(error) for job in group}
        except urllib.error.HTTPError as error:
            reason = f"HTTP {error.code}"
            wait = error.headers.get("Retry-After", "") if error.headers else ""
            error.close()
            if error.code not in BUSY:
                return {job.picture: f"{reason}: dead link" for job in group}
            if wait.isdigit() and attempt + 1 < settings.tries:
                time.sleep(min(float(wait), LONGEST_WAIT_S))
        except (tarfile.TarError, EOFError, zlib.error) as error:
            reason = f"the archive is damaged ({error})"
        except (UnicodeError, InvalidURL) as error:
            return {job.picture: f"no link: {error}" for job in group}
        except (OSError, HTTPException) as error:
            reason = f"{type(error).__name__}: {error}"
    told = f"{reason}, tried {settings.tries} times"
    return {job.picture: told for job in group if not ledger.holds(job.picture)}


def _download(url: str, stream: Any, settings: FetchSettings) -> None:
    """Write what a link gives into `stream`, and go back to its start."""
    if not url.startswith(("http://", "https://")):
        raise DeadLinkError(f"link of a kind that is not fetched: {url[:80]}")
    request = urllib.request.Request(url, headers={"User-Agent": USER_AGENT})
    with urllib.request.urlopen(request, timeout=settings.timeout_s) as answer:
        promised = answer.headers.get("Content-Length")
        size = 0
        while block := answer.read(_BLOCK):
            size += len(block)
            if size > ARCHIVE_LIMIT:
                raise DeadLinkError(f"more than {ARCHIVE_LIMIT} bytes")
            stream.write(block)
    if promised is not None and promised.isdigit() and size != int(promised):
        raise OSError(f"{size} bytes came of {promised}")
    stream.seek(0)


def _take_out(group: Sequence[Job], stream: Any, ledger: _Ledger) -> dict[str, str]:
    """Keep the pictures that a download holds; returns those that it does not."""
    failed: dict[str, str] = {}
    if group[0].member is None:
        data = stream.read(SIZE_LIMIT)
        for job in group:
            _keep(job, data, ledger, failed)
        return failed
    wanted: dict[str, list[Job]] = {}
    for job in group:
        wanted.setdefault(Path(job.member or "").name, []).append(job)
    # Members are read one by one and never unpacked to a path of the archive's choice.
    with tarfile.open(fileobj=stream, mode="r:*") as archive:
        for member in archive:
            jobs = wanted.pop(Path(member.name).name, None) if member.isfile() else None
            if jobs is None:
                continue
            content = archive.extractfile(member)
            data = b"" if content is None or member.size > SIZE_LIMIT else content.read()
            for job in jobs:
                _keep(job, data, ledger, failed)
    for name, jobs in wanted.items():
        failed |= {job.picture: f"the archive holds no {name}" for job in jobs}
    return failed


def _keep(job: Job, data: bytes, ledger: _Ledger, failed: dict[str, str]) -> None:
    if picture_ending(data) is None:
        failed[job.picture] = f"what came is no picture: {data[:20]!r}"
    else:
        ledger.add(job, data)


def _mend_last_line(path: Path) -> None:
    """Cut off a line that a stop left half-written."""
    with path.open("rb+") as stream:
        data = stream.read()
        if data and not data.endswith(b"\n"):
            stream.truncate(data.rfind(b"\n") + 1)
