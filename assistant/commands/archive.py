"""`report --dicomweb` and `report --pacs`: an archive's studies, reported on and the reports stored back."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from assistant.commands.opened import Opener
from assistant.commands.report import run_report
from assistant.config import AssistantConfig
from assistant.errors import ConfigError, PacsError
from assistant.exports.registry import ending
from assistant.json_lines import read_lines
from assistant.ledger import page_name
from assistant.pacs.archive import Archive, study_folder
from assistant.pacs.peer import Tls
from assistant.report_template import AUTO

STORABLE = ("sr", "dicom-pdf", "sc")
_ALSO = {"pdf": "dicom-pdf"}
_GIVE_UP_AFTER = 3
"""So many studies in a row that cannot be fetched or stored, and the archive is taken for down."""


def run_from(args: argparse.Namespace, config: AssistantConfig, open_assistant: Opener) -> int:
    """Run with the words of the command line; see `run_archive`."""
    named = "--dicomweb" if args.dicomweb else "--pacs"
    if args.dicomweb and args.pacs:
        raise ConfigError("--dicomweb and --pacs are given; a run takes its studies from one archive.")
    if args.inputs:
        raise ConfigError(f"{named} takes the studies from an archive, and {args.inputs[0]} is given too. Use one.")
    return run_archive(
        config,
        open_assistant,
        archive=opened_archive(args),
        out=args.out,
        query=args.query,
        store=listed(args.store),
        formats=listed(args.formats),
        template=args.template,
        priors=not args.no_priors,
        keep_names=args.keep_names,
        fhir=args.fhir,
        fhir_auth=args.fhir_auth,
    )


def opened_archive(args: argparse.Namespace) -> Archive:
    """Return the archive that the command line names."""
    if args.dicomweb:
        from assistant.pacs.dicomweb import WebArchive

        return WebArchive(args.dicomweb, args.auth)
    from assistant.pacs.dimse import DimseArchive
    from assistant.pacs.peer import parsed_peer

    return DimseArchive(
        parsed_peer(args.pacs), args.calling, tls=tls_of(args), plain=args.plain, receive=args.receive
    )  # fmt: skip


def tls_of(args: argparse.Namespace) -> Tls | None:
    """Return the certificates that the command line names; any of the options means TLS."""
    if args.tls or args.tls_ca or args.tls_cert or args.tls_key:
        return Tls(args.tls_ca, args.tls_cert, args.tls_key)
    return None


def listed(text: str) -> tuple[str, ...]:
    """Split a list with commas."""
    return tuple(one.strip() for one in text.split(",") if one.strip())


def storable(names: Sequence[str]) -> tuple[str, ...]:
    """Check what is to be stored in an archive.

    Args:
        names: formats; `pdf` means the PDF as a DICOM object.
    Returns:
        names of `STORABLE`.
    Raises:
        ConfigError: an archive does not take one of them.
    """
    meant = tuple(dict.fromkeys(_ALSO.get(one, one) for one in names))
    unknown = [one for one in meant if one not in STORABLE]
    if unknown:
        raise ConfigError(f"store has {unknown[0]!r}; an archive takes {', '.join(STORABLE)}.")
    return meant


def run_archive(
    config: AssistantConfig,
    open_assistant: Opener,
    *,
    archive: Archive,
    out: Path,
    query: str = "",
    store: Sequence[str] = (),
    formats: tuple[str, ...] = ("md",),
    template: str = AUTO,
    priors: bool = True,
    keep_names: bool = False,
    fhir: str | None = None,
    fhir_auth: Path | None = None,
) -> int:
    """Report on the studies of an archive.

    Args:
        config: which model and index.
        open_assistant: loads them.
        archive: where the studies are, and where reports go.
        out: the run's folder; images lie in `incoming` in it, and a rerun goes on there.
        query: `Keyword=value,…` of study level; "" for all.
        store: of `STORABLE`, what is stored back; nothing if empty.
        formats: which pages each study gets.
        template: of the reports: a name, a `.yaml` file, or `auto`.
        priors: look for earlier studies of the same patient among those fetched.
        keep_names: see `run_report`.
        fhir: see `run_report`.
        fhir_auth: see `run_report`.
    Returns:
        0 when every study has its report and every report its place, 1 when some failed.
    Raises:
        AssistantError: the archive, the model, the index or the folder cannot be used.
    """
    store = storable(store)
    failed = _fetch(archive, query, out / "incoming")
    if not (out / "incoming").is_dir() or not any(out.glob("incoming/[!.]*")):
        sys.stdout.write("No study with images matches: nothing to report on.\n")
        return 1 if failed else 0
    wanted = tuple(dict.fromkeys((*formats, *store)))
    code = run_report(
        config, open_assistant, inputs=[str(out / "incoming")], out=out / "reports", formats=wanted,
        template=template, group=True, priors=priors, keep_names=keep_names, fhir=fhir, fhir_auth=fhir_auth,
    )  # fmt: skip
    if store:
        sent, unsent = _store(archive, out / "reports", store)
        sys.stdout.write(f"{sent} objects stored in {archive.name}\n")
        failed += unsent
    return 1 if failed else code


def _fetch(archive: Archive, query: str, incoming: Path) -> int:
    """Fetch what is not there yet; return how many studies could not be fetched."""
    fetched = found = failed = in_a_row = 0
    for study in archive.studies(query):
        found += 1
        try:
            fetched += archive.fetch(study, incoming / study_folder(study))
            in_a_row = 0
        except PacsError as error:
            failed, in_a_row = failed + 1, in_a_row + 1
            if in_a_row >= _GIVE_UP_AFTER:
                raise
            sys.stderr.write(f"A study was not fetched: {error}\n")
    sys.stderr.write(f"{found} studies match, {fetched} fetched now, {failed} could not be fetched.\n")
    return failed


def _store(archive: Archive, folder: Path, formats: Sequence[str]) -> tuple[int, int]:
    """Send each study's reports but those that are there; return how many went, and studies that did not."""
    from pydicom import dcmread

    sent = failed = in_a_row = 0
    for record in read_lines(folder / "reports.jsonl"):
        paths = [folder / "studies" / f"{page_name(record)}.{ending(one)}" for one in formats]
        try:
            sent += archive.store([dcmread(path) for path in paths if path.exists()])
            in_a_row = 0
        except PacsError as error:
            failed, in_a_row = failed + 1, in_a_row + 1
            if in_a_row >= _GIVE_UP_AFTER:
                raise
            sys.stderr.write(f"A study's reports were not stored: {error}\n")
    return sent, failed
