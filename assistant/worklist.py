"""Reports for many studies: pictures are read ahead, the model works in batches, every batch goes to the disk.

    studies ─► threads: hash, known already?, decode ─► batches ─► reporter ─► pages, then lines of the ledger

A study's id is made from its inputs' names and bytes, the model, the index and the settings, so a second run in the
same folder goes on where the first one ended, and the same file under two names gets two reports.
"""

from __future__ import annotations

import logging
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from assistant.conversation import Report, ReportRequest
from assistant.errors import AssistantError, WorklistError
from assistant.json_lines import Record
from assistant.ledger import Ledger
from assistant.pages import restore_pages, write_pages
from assistant.readahead import LoadPicture, Prepared, RunSettings, holds_volume, read_ahead
from assistant.review_queue import ReviewQueue
from assistant.studies import Study

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
    report_seconds: Sequence[float]
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


@dataclass
class Outcome:
    """What came of one batch of studies, before it is written down."""

    records: list[Record] = field(default_factory=list)
    failures: list[Record] = field(default_factory=list)
    for_good: list[str] = field(default_factory=list)
    """Ids of the failures that no other try could help."""
    done: int = 0
    """Studies that had their report before."""
    elsewhere: int = 0
    """Studies that another process is at work on."""
    images: int = 0
    """Pictures that were reported on."""
    seconds: list[float] = field(default_factory=list)
    """Time of each report, as the reporter measured it."""


Engine = Callable[[Ledger], Iterator[Outcome]]
"""Claims studies in the ledger and reports on them; what came of each batch is written down before the next."""


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

    def reported_here(ledger: Ledger) -> Iterator[Outcome]:
        stream = read_ahead(ledger.adopted(studies), settings, load, ledger.claim)
        return (report_batch(batch, reporter, settings) for batch in _batches(stream, settings.batch_size))

    return keep(reported_here, settings, on_progress)


def keep(engine: Engine, settings: RunSettings, on_progress: Callable[[str], None]) -> Summary:
    """Write down what an engine reports, batch by batch, until it ends.

    Args:
        engine: given the open ledger, yields what came of each batch of studies that it claimed there.
        settings: where to, and which pages.
        on_progress: told "reported", "failed", "done before" or "elsewhere" once a study.
    Returns:
        Counts and times of this run.
    Raises:
        WorklistError: the folder is in use, cannot be written, or holds files that are not ours.
    """
    started = time.perf_counter()
    counts = {"reported": 0, "failed": 0, "done before": 0, "elsewhere": 0}
    images = 0
    times = array("d")
    with Ledger(settings.out, again=settings.again) as ledger:
        restore_pages(ledger, settings)
        queue = ReviewQueue(settings.out)
        for outcome in _written(engine(ledger), ledger, queue, settings):
            images += outcome.images
            times.extend(outcome.seconds)
            found = {"reported": len(outcome.records), "failed": len(outcome.failures)}
            for name, count in {**found, "done before": outcome.done, "elsewhere": outcome.elsewhere}.items():
                counts[name] += count
                for _ in range(count):
                    on_progress(name)
        queue.refresh(now=True)
    seconds = time.perf_counter() - started
    done, failed, before, elsewhere = counts.values()
    return Summary(done, failed, before, images, seconds, times, elsewhere)


def _written(
    outcomes: Iterator[Outcome], ledger: Ledger, queue: ReviewQueue, settings: RunSettings
) -> Iterator[Outcome]:
    """Yield each outcome once it is on the disk; while the disk writes one, the model is at work on the next."""
    with ThreadPoolExecutor(1, thread_name_prefix="ledger") as writer:
        before: tuple[Outcome, Future[None]] | None = None
        for outcome in outcomes:
            if before is not None:
                yield _settled(*before)
            before = outcome, writer.submit(_write, outcome, ledger, queue, settings)
        if before is not None:
            yield _settled(*before)


def _settled(outcome: Outcome, writing: Future[None]) -> Outcome:
    """Wait until an outcome is on the disk."""
    writing.result()
    return outcome


def _write(outcome: Outcome, ledger: Ledger, queue: ReviewQueue, settings: RunSettings) -> None:
    for record in outcome.records:
        write_pages(record, settings)
    ledger.add_reports(outcome.records)
    ledger.add_failures(outcome.failures, for_good=outcome.for_good)
    queue.refresh()


def report_batch(batch: Sequence[Prepared], reporter: Reporter, settings: RunSettings) -> Outcome:
    """Report on one batch; what cannot be reported on costs itself alone. The ledger is not asked.

    Args:
        batch: studies that were claimed, with their pictures.
        reporter: writes the reports.
        settings: the run's.
    Returns:
        What is to be written down.
    """
    outcome = Outcome(failures=[one.failure(one.error) for one in batch if one.error is not None])
    outcome.for_good = [one.id for one in batch if one.for_good]
    ready = [one for one in batch if one.request is not None]
    for prepared, report in zip(ready, _report(reporter, ready, settings.backoff), strict=True):
        if isinstance(report, str):
            outcome.failures.append(prepared.failure(report))
            continue
        outcome.records.append(_record(prepared, report, settings))
        outcome.images += len(prepared.study.images)
        outcome.seconds.append(report.seconds)
    outcome.elsewhere = sum(one.elsewhere for one in batch)
    outcome.done = len(batch) - len(outcome.records) - len(outcome.failures) - outcome.elsewhere
    return outcome


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
    study = prepared.study
    record: dict[str, Any] = {"study": prepared.id, "inputs": study.names}
    if study.priors and prepared.request is not None and prepared.request.priors:
        record["priors"] = study.named(study.priors)
        record |= {"priors_found": True} if study.priors_found else {}
    record |= {name: told for name in ("indication", "history", "clinical") if (told := getattr(study, name))}
    return {**record, **body, "index": settings.index, "key": prepared.key}


def grouped_by_study(
    studies: Sequence[Study], load: LoadPicture, known: Mapping[Path, str | None] | None = None
) -> list[Study]:
    """Join single files that the header says are of one study; files without a study in the header stay alone.

    Args:
        studies: from `collect_studies`; those from a list are left as they are.
        load: reads one file.
        known: study keys of files that need not be read for it.
    Returns:
        Studies in the order of their first file.
    """
    groups: dict[str, Study] = {}
    for number, study in enumerate(studies):
        key = f"alone {number}"
        if study.name is None and len(study.images) == 1 and not study.priors and not holds_volume(study):
            try:
                first_file = study.images[0]
                told = known[first_file] if known and first_file in known else load(first_file).study_key
                key = told or key
            except (AssistantError, OSError):
                logger.info("a file that cannot be read stays a study of its own")
        first = groups.get(key)
        groups[key] = replace(first, images=first.images + study.images) if first else study
    return list(groups.values())
