"""`listen`: studies that are sent here are reported on when they are whole, and the reports are sent on."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from assistant.commands.archive import listed, opened_archive, storable, tls_of
from assistant.commands.opened import Opened, Opener
from assistant.commands.report import run_report, with_heat
from assistant.config import AssistantConfig
from assistant.ehr.attach import open_record
from assistant.errors import AssistantError, ConfigError, PacsError
from assistant.exports.registry import check_formats, ending
from assistant.json_lines import read_lines
from assistant.ledger import locked, page_name
from assistant.names import paths_of
from assistant.pacs.archive import Archive
from assistant.pacs.peer import LOOPBACK, Tls, checked_aet
from assistant.pacs.receiver import Receiver, Sender, parsed_sender
from assistant.pacs.spool import Spool
from assistant.report_template import AUTO

SENT = "sent.jsonl"
_TICK_S = 0.5
_STORE_AGAIN_S = 30.0


@dataclass(frozen=True)
class Listening:
    """How one service listens and what it does with what comes."""

    out: Path
    """Its folder: `incoming` is the spool, `reports` the run, `sent.jsonl` what was sent on."""
    aet: str = "MEDASSIST"
    host: str = "127.0.0.1"
    port: int = 11112
    allow: tuple[Sender, ...] = ()
    """Who may send; nobody named lets everybody on this machine."""
    tls: Tls | None = None
    plain: bool = False
    """Let images cross the network readable."""
    stable_s: float = 30.0
    """A study is reported when nothing has come to it for so long."""
    formats: tuple[str, ...] = ("md",)
    template: str = AUTO
    store: tuple[str, ...] = ()
    """Formats that are sent on; none without a destination."""
    keep: bool = False
    """Keep the images of reported studies."""
    keep_names: bool = False
    fhir: str | None = None
    """Bundle or server that knows indications and earlier reports; see `ehr.attach`."""
    fhir_auth: Path | None = None
    """File with that server's login."""
    most_bytes: int = 20_000_000_000
    most_objects: int = 5000

    def __post_init__(self) -> None:
        checked_aet(self.aet)
        check_formats((*self.formats, *self.store))
        if not 0 < self.stable_s < 1e6:
            raise ConfigError(f"stable is {self.stable_s:g} s; use a time above 0, such as 30s.")
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port is {self.port}; use 1 to 65535, or 0 for any free one.")
        if self.most_bytes < 1 or self.most_objects < 1:
            raise ConfigError("max-gb and max-objects are limits of the spool; give more than 0.")
        if self.host in LOOPBACK:
            return
        if not self.allow:
            raise ConfigError(f"{self.host} is open to the network. Say who may send: --allow AE or --allow AE@IP.")
        if self.tls is None and not self.plain:
            raise ConfigError(
                f"{self.host} is open to the network, and images would cross it readable. Use --tls-cert, or --plain "
                "inside a network that is closed to others."
            )


def run_from(args: argparse.Namespace, config: AssistantConfig, open_assistant: Opener) -> int:
    """Run with the words of the command line; see `run_listen`."""
    if args.dicomweb and args.store_to:
        raise ConfigError("--dicomweb and --store-to are given; reports are sent to one place.")
    args.pacs, receive, args.receive, args.calling = args.store_to, args.receive, None, args.aet
    destination = opened_archive(args) if args.dicomweb or args.store_to else None
    settings = Listening(
        out=args.out, aet=args.aet, host=args.address, port=receive,
        allow=tuple(parsed_sender(one) for one in args.allow), tls=tls_of(args) if args.tls_cert else None,
        plain=args.plain, stable_s=args.stable, formats=listed(args.formats), template=args.template,
        store=storable(listed(args.store)) if destination else (), keep=args.keep, keep_names=args.keep_names,
        fhir=args.fhir, fhir_auth=args.fhir_auth, most_bytes=int(args.max_gb * 1e9),
        most_objects=args.max_objects,
    )  # fmt: skip
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    return run_listen(config, open_assistant, settings, destination, stop)


def run_listen(
    config: AssistantConfig,
    open_assistant: Opener,
    settings: Listening,
    destination: Archive | None,
    stop: threading.Event,
    on_ready: Callable[[int], None] = lambda port: None,
) -> int:
    """Receive studies and report on them until told to stop.

    Args:
        config: which model and index.
        open_assistant: loads them, once.
        settings: how to listen.
        destination: where reports are sent; None leaves them in the folder.
        stop: ends the service after the study at hand; objects that were acknowledged stay in the spool.
        on_ready: told the port.
    Returns:
        0.
    Raises:
        AssistantError: the model, the port or the folder cannot be used.
    """
    if settings.fhir:
        open_record(settings.fhir, settings.fhir_auth)  # a wrong address or login is told before the model loads
    spool = Spool(settings.out / "incoming", most_bytes=settings.most_bytes, most_objects=settings.most_objects)
    opened = open_assistant(with_heat(config, (*settings.formats, *settings.store)))
    desk = _Desk(config, lambda _: opened, settings, destination, spool)
    receiver = Receiver(settings.aet, settings.host, settings.port, spool.take, settings.allow, settings.tls)
    with receiver:
        if settings.host not in LOOPBACK and settings.tls is None:
            _tell(f"WARNING: {settings.host} is open to the network without encryption; who listens there sees images.")
        who = ", ".join(one.aet for one in settings.allow) or "everybody on this machine"
        waiting = len(spool.stable(0))
        _tell(f"{settings.aet} listens on {settings.host} port {receiver.port} for {who}; {waiting} studies waiting.")
        on_ready(receiver.port)
        while not stop.wait(_TICK_S):
            for study in spool.stable(settings.stable_s):
                desk.work(study)
                if stop.is_set():
                    break
    refused = f", {receiver.refused} objects refused" if receiver.refused else ""
    _tell(f"Stopped; {len(spool.stable(0))} studies wait in {spool.folder}{refused}. The same command goes on.")
    return 0


@dataclass
class _Desk:
    """Works on the studies of the spool, one by one."""

    config: AssistantConfig
    open_assistant: Callable[[AssistantConfig], Opened]
    settings: Listening
    destination: Archive | None
    spool: Spool
    _tried: dict[str, float] = field(default_factory=dict)
    """Studies that were reported on or could not be, by when their last object had come."""
    _next: dict[str, float] = field(default_factory=dict)
    """When a study whose report could not be sent is due again."""
    _asked_again: dict[str, float] = field(default_factory=dict)
    """When a study whose patient the record's server could not be asked for is due again."""

    def __post_init__(self) -> None:
        self._reports = _Reports(self.settings.out / "reports")
        self._sent = _Sent(self.settings.out / SENT)

    def work(self, study: Path) -> None:
        """Report on a study and send its reports, as far as that is not done."""
        name, touched = study.name, self.spool.touched(study)
        files = self.spool.files(study)
        if time.monotonic() < self._asked_again.get(name, 0.0):
            return
        if self._tried.get(name) != touched:
            self._tried[name] = touched
            if not self._report(study):
                self._next.pop(name, None)
                return
            self._next[name] = 0.0
        if name not in self._next or time.monotonic() < self._next[name]:
            return
        if not self._send(study):
            self._next[name] = time.monotonic() + _STORE_AGAIN_S
            return
        self._next.pop(name)
        if not self.settings.keep and self.spool.remove(study, files):
            self._tried.pop(name, None)

    def _report(self, study: Path) -> bool:
        """Report; what cannot be reported on stays in the spool, and is tried again after a restart."""
        try:
            code = run_report(
                self.config, self.open_assistant, inputs=[str(study)], out=self.settings.out / "reports",
                formats=tuple(dict.fromkeys((*self.settings.formats, *self.settings.store))),
                template=self.settings.template, group=True, keep_names=self.settings.keep_names,
                fhir=self.settings.fhir, fhir_auth=self.settings.fhir_auth,
            )  # fmt: skip
        except PacsError as error:  # the record's server; nothing else is asked while a report is made
            self._tried.pop(study.name, None)
            self._asked_again[study.name] = time.monotonic() + _STORE_AGAIN_S
            _tell(f"Study {study.name} waits for the record, which is asked again in {_STORE_AGAIN_S:.0f} s: {error}")
            return False
        except AssistantError as error:
            _tell(f"Study {study.name} was not reported on: {error}")
            return False
        sys.stdout.flush()
        return code == 0

    def _send(self, study: Path) -> bool:
        """Send the reports of a study that were not sent before."""
        if self.destination is None:
            return True
        from pydicom import dcmread

        objects = []
        for page in self._reports.of(study.name):
            paths = [self._reports.folder / "studies" / f"{page}.{ending(one)}" for one in self.settings.store]
            objects += [dcmread(path) for path in paths if path.exists()]
        waiting = [one for one in objects if str(one.SOPInstanceUID) not in self._sent.known]
        try:
            self.destination.store(waiting)
        except PacsError as error:
            _tell(f"The reports of study {study.name} wait, and are sent again in {_STORE_AGAIN_S:.0f} s: {error}")
            return False
        self._sent.add([str(one.SOPInstanceUID) for one in waiting])
        return True


class _Reports:
    """Which reports belong to which study of the spool."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read = 0
        self._pages: dict[str, list[str]] = {}

    def of(self, study: str) -> Sequence[str]:
        """Return the names of a study's pages, less their endings."""
        file = self.folder / "reports.jsonl"
        with locked(self.folder):
            found = read_lines(file, start=self._read, mend=True)
            self._read = file.stat().st_size if file.exists() else 0
        for record in found:
            parents = {Path(one).parent.name for one in paths_of(self.folder, record["inputs"])}
            for parent in parents:
                self._pages.setdefault(parent, []).append(page_name(record))
        return self._pages.get(study, ())


class _Sent:
    """The instance UIDs of reports that were sent, kept over restarts."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.known = {str(one["uid"]) for one in read_lines(file, mend=True)}

    def add(self, uids: Sequence[str]) -> None:
        """Note that objects were sent."""
        self.known.update(uids)
        with self._file.open("a", encoding="utf-8") as stream:
            stream.writelines(json.dumps({"uid": one}) + "\n" for one in uids)
            stream.flush()
            os.fsync(stream.fileno())


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
