"""Reports for many studies: pictures are read ahead, the model works in batches, every batch is safe on the disk.

    studies ─► threads: hash, known already?, decode ─► batches ─► reporter ─► pages, then lines of the ledger

A study's id is made from its inputs' names and bytes, the model, the index and the settings, so a second run in the
same folder goes on where the first one ended, and the same file under two names gets two reports.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from assistant.conversation import Report, ReportRequest
from assistant.errors import AssistantError, ExportError, WorklistError
from assistant.exports.registry import ending, render
from assistant.ledger import Ledger, Record, page_name, write_atomically
from assistant.readahead import LoadPicture, Prepared, RunSettings, holds_volume, read_ahead
from assistant.review_queue import ReviewQueue
from assistant.studies import Study, shown

__all__ = ["Reporter", "Summary", "grouped_by_study", "page_name", "run_worklist"]

logger = logging.getLogger(__name__)

_TRIES = 3
"""So often is the model put to a study in one run; what fails may be a full memory that empties again."""


class Reporter(Protocol):
    """What writes reports. `assistant.chat.MedicalAssistant` is the one that ships."""

    def reports(self, requests: Iterable[ReportRequest], batch_size: int) -> Iterator[Report]:
        """Yield one report a request, in their order."""
        ...


@dataclass(frozen=True)
class Summary:
    """What a run did."""

    reported: int
    failed: int
    already_done: int
    images: int
    """Pictures reported on in this run."""
    seconds: float
    report_seconds: tuple[float, ...]
    """Time of each report of this run, as the reporter measured it."""
    elsewhere: int = 0
    """Studies that another process was at work on."""

    @property
    def studies_per_hour(self) -> float:
        """Reports an hour, reading and writing included."""
        return 3600 * self.reported / self.seconds if self.seconds else 0.0

    @property
    def images_per_second(self) -> float:
        """Pictures a second, reading and writing included."""
        return self.images / self.seconds if self.seconds else 0.0

    def percentile(self, share: float) -> float:
        """Return the report time in seconds that `share` of the reports stay under; 0 without reports."""
        ranked = sorted(self.report_seconds)
        return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else 0.0


def run_worklist(
    studies: Iterable[Study],
    reporter: Reporter,
    settings: RunSettings,
    *,
    load: LoadPicture,
    on_progress: Callable[[str], None] = lambda outcome: None,
) -> Summary:
    """Report on every study that the folder has no report on yet; earlier failures are tried again.

    Args:
        studies: from `collect_studies`.
        reporter: writes the reports.
        settings: where to, and as whom.
        load: reads one file; called from several threads.
        on_progress: told "reported", "failed" or "done before" once a study.
    Returns:
        Counts and times of this run.
    Raises:
        WorklistError: the folder is in use, cannot be written, or holds files that are not ours.
    """
    started = time.perf_counter()
    counts = {"reported": 0, "failed": 0, "done before": 0, "elsewhere": 0}
    images = 0
    times: list[float] = []
    with Ledger(settings.out, again=settings.again) as ledger:
        _restore_pages(ledger, settings)
        queue = ReviewQueue(settings.out)
        for batch in _batches(read_ahead(studies, settings, load, ledger.claim), settings.batch_size):
            ready = [one for one in batch if one.request is not None]
            failures = [one.failure(one.error) for one in batch if one.error is not None]
            records: list[Record] = []
            for prepared, outcome in zip(ready, _report(reporter, ready, settings.backoff), strict=True):
                if isinstance(outcome, str):
                    failures.append(prepared.failure(outcome))
                    continue
                records.append(_record(prepared, outcome, settings))
                images += len(prepared.study.images)
                times.append(outcome.seconds)
            for record in records:
                _write_pages(record, settings)
            ledger.add_reports(records)
            ledger.add_failures(failures, for_good=[one.id for one in batch if one.for_good])
            queue.refresh()
            elsewhere = sum(one.elsewhere for one in batch)
            known = len(batch) - len(records) - len(failures) - elsewhere
            found = {"reported": len(records), "failed": len(failures), "done before": known, "elsewhere": elsewhere}
            for name, count in found.items():
                counts[name] += count
                for _ in range(count):
                    on_progress(name)
        queue.refresh(now=True)
    seconds = time.perf_counter() - started
    done, failed, before, elsewhere = counts.values()
    return Summary(done, failed, before, images, seconds, tuple(times), elsewhere)


def _batches(stream: Iterable[Prepared], size: int) -> Iterator[list[Prepared]]:
    batch: list[Prepared] = []
    for prepared in stream:
        batch.append(prepared)
        # Volumes go by themselves: a batch of them would fill the memory.
        if len(batch) == size or (prepared.request is not None and holds_volume(prepared.study)):
            yield batch
            batch = []
    if batch:
        yield batch


def _report(reporter: Reporter, ready: Sequence[Prepared], backoff: float, tries: int = 1) -> list[Report | str]:
    """Return a report or a reason for each; when a batch fails, its studies are tried one by one, with longer waits."""
    requests = [one.request for one in ready if one.request is not None]
    if not requests:
        return []
    try:
        reports = list(reporter.reports(requests, len(requests)))
        if len(reports) != len(requests):
            raise WorklistError(f"{len(reports)} reports came back for {len(requests)} studies.")
    except Exception as error:  # whatever it was: one study must not cost the others their reports
        if len(requests) > 1:
            logger.warning("a batch of %d failed (%s); trying its studies one by one", len(ready), type(error).__name__)
            return [outcome for one in ready for outcome in _report(reporter, [one], backoff)]
        if isinstance(error, AssistantError):
            return [str(error)]
        if tries < _TRIES:
            time.sleep(backoff * 4 ** (tries - 1))
            return _report(reporter, ready, backoff, tries + 1)
        return [f"{type(error).__name__}: {error}"]
    return list(reports)


def _record(prepared: Prepared, report: Report, settings: RunSettings) -> Record:
    """Return the line that the ledger keeps."""
    body = report.to_dict()
    body["cautions"] = [*body["cautions"], *prepared.cautions]
    record: dict[str, Any] = {"study": prepared.id, "inputs": prepared.study.inputs}
    study = prepared.study
    if study.priors and prepared.request is not None and prepared.request.priors:
        record["priors"] = [shown(path) for path in study.priors]
        record |= {"priors_found": True} if study.priors_found else {}
    record |= {name: told for name in ("indication", "history") if (told := getattr(study, name))}
    return {**record, **body, "index": settings.index, "key": prepared.key}


def _write_pages(record: Record, settings: RunSettings) -> None:
    """Write a study's pages, whole or not at all."""
    for name in settings.formats:
        try:
            content = render(name, record)
        except ExportError as error:  # the report is there all the same, and the other formats too
            logger.error("study %s has no %s: %s", record["study"], name, error)
            continue
        write_atomically(settings.out / "studies" / f"{page_name(record)}.{ending(name)}", content)


def _restore_pages(ledger: Ledger, settings: RunSettings) -> None:
    """Write the pages that reported studies lack: deleted ones, or a format not asked for before."""
    folder = settings.out / "studies"
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    for record in ledger.records():
        missing = tuple(one for one in settings.formats if f"{page_name(record)}.{ending(one)}" not in there)
        if missing:
            _write_pages(record, replace(settings, formats=missing))


def grouped_by_study(studies: Sequence[Study], load: LoadPicture) -> list[Study]:
    """Join single files that the header says are of one study; files without a study in the header stay alone.

    Args:
        studies: from `collect_studies`; those from a list are left as they are.
        load: reads one file.
    Returns:
        Studies in the order of their first file.
    """
    groups: dict[str, Study] = {}
    for number, study in enumerate(studies):
        key = f"alone {number}"
        if study.name is None and len(study.images) == 1 and not study.priors and not holds_volume(study):
            try:
                key = load(study.images[0]).study_key or key
            except (AssistantError, OSError):
                logger.info("a file that cannot be read stays a study of its own")
        first = groups.get(key)
        groups[key] = replace(first, images=first.images + study.images) if first else study
    return list(groups.values())
