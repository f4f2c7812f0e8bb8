"""`report --watch`: folders are looked at until the process is told to end; whatever is complete is reported once."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType

from assistant.commands.opened import Opener
from assistant.commands.report import run_settings, with_heat, with_priors, with_template
from assistant.config import AssistantConfig
from assistant.gather import Gathered
from assistant.imaging.load import load_picture
from assistant.imaging.window import WindowRequest
from assistant.json_lines import read_lines
from assistant.ledger import Ledger
from assistant.names import paths_of
from assistant.readahead import RunSettings, picture_loader
from assistant.report_template import AUTO
from assistant.studies import Study
from assistant.watch import Watcher, WatchPlan, watched_folders
from assistant.worklist import Reporter, grouped_by_study, run_worklist

logger = logging.getLogger(__name__)


@dataclass
class Totals:
    """What a watch has done so far."""

    reported: int = 0
    failed: int = 0


def run_watch(
    config: AssistantConfig,
    open_assistant: Opener,
    *,
    inputs: Sequence[str],
    out: Path,
    plan: WatchPlan,
    formats: tuple[str, ...] = ("md",),
    template: str = AUTO,
    group: bool = False,
    window: WindowRequest = None,
    priors: bool = True,
    keep_names: bool = False,
) -> int:
    """Report on what comes into folders until SIGINT or SIGTERM; the batch at work then is finished first.

    Args:
        config: which model and index, and the batch size.
        open_assistant: loads them.
        inputs: folders, searched to the bottom.
        out: the run's folder; a later watch or run goes on there.
        plan: how often to look, and when a file is complete.
        formats: which pages each study gets.
        template: a name, a `.yaml` file, or `auto`.
        group: files of one study, by their DICOM headers, get one report together.
        window: what volumes are shown in; None takes the organ's own.
        priors: look for earlier studies of the same patient in the folders.
        keep_names: let the ledger and the pages name files by their paths.
    Returns:
        0, or 1 when studies failed.
    Raises:
        AssistantError: the folders, the model, the index or the run's folder cannot be used.
    """
    config, template, templates = with_template(config, template)
    watcher = Watcher(watched_folders(inputs), out, plan)
    with Ledger(out):
        pass  # a folder that cannot be used is told before the model loads
    with _ended_by_signals() as ended:
        _tell(f"Loading {config.model} …")
        opened = open_assistant(with_heat(config, formats))
        settings = replace(
            run_settings(config, opened, out, formats, template, window), templates=templates, priors=priors
        )
        _tell(f"Watching {', '.join(inputs)}; Ctrl-C or SIGTERM ends it.")
        totals = Totals()
        while not ended.is_set():
            _round(watcher, opened.assistant, settings, group, ended, totals, keep_names)
            ended.wait(plan.every_s)
    sys.stdout.write(f"{totals.reported} reported, {totals.failed} failed → {out}\n")
    return 1 if totals.failed else 0


def _round(
    watcher: Watcher,
    reporter: Reporter,
    settings: RunSettings,
    group: bool,
    ended: threading.Event,
    totals: Totals,
    keep_names: bool,
) -> None:
    """Look once, and report on what is complete."""
    gathered = watcher.look()
    studies = watcher.fresh(_studies(gathered, settings, group)) if gathered else []
    if not studies:
        return
    running = (replace(study, keep_names=keep_names) for study in studies if not ended.is_set())
    summary = run_worklist(running, reporter, settings, load=picture_loader(settings))
    if summary.failed:
        with Ledger(settings.out) as ledger:
            lost = {tuple(paths_of(settings.out, inputs)) for inputs in ledger.to_retry()}
        watcher.failed(study for study in studies if tuple(study.inputs) in lost)
    if summary.elsewhere:
        watcher.failed(studies)  # whoever holds them may end without a report
    totals.reported += summary.reported
    totals.failed = len(read_lines(settings.out / "failures.jsonl"))
    _tell(
        f"{summary.reported} reported, {summary.failed} failed, {summary.already_done} done before; "
        f"{watcher.waiting} file(s) not complete yet"
    )


def _studies(gathered: Gathered, settings: RunSettings, group: bool) -> list[Study]:
    known = {path: visit.study for path, visit in gathered.visits.items()}
    studies = list(gathered.studies)
    if group:
        studies = grouped_by_study(studies, partial(load_picture, max_side=1), known)
    return with_priors(studies, gathered, told=False) if settings.priors else studies


@contextmanager
def _ended_by_signals() -> Iterator[threading.Event]:
    """Give an event that the first SIGINT or SIGTERM sets; a second one ends the process at once."""
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()
        for one in (signal.SIGINT, signal.SIGTERM):
            signal.signal(one, before[one])

    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    for one in before:
        signal.signal(one, end)
    try:
        yield ended
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
