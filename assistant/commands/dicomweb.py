"""`report --dicomweb`: studies of an archive are fetched, reported on, and their reports stored back."""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from assistant.commands.opened import Opener
from assistant.commands.report import run_report
from assistant.config import AssistantConfig
from assistant.errors import ConfigError
from assistant.exports.registry import ending
from assistant.ledger import page_name, read_lines
from assistant.pacs import Archive
from assistant.report_template import AUTO

STORABLE = ("sr", "dicom-pdf")


def run_from(args: argparse.Namespace, config: AssistantConfig, open_assistant: Opener) -> int:
    """Run with the words of the command line; see `run_dicomweb`."""
    if args.inputs:
        raise ConfigError(f"--dicomweb takes the studies from an archive, and {args.inputs[0]} is given too. Use one.")
    return run_dicomweb(
        config,
        open_assistant,
        url=args.dicomweb,
        out=args.out,
        query=args.query,
        store=_listed(args.store),
        auth=args.auth,
        formats=_listed(args.formats),
        template=args.template,
        priors=not args.no_priors,
    )


def _listed(text: str) -> tuple[str, ...]:
    return tuple(one.strip() for one in text.split(",") if one.strip())


def run_dicomweb(
    config: AssistantConfig,
    open_assistant: Opener,
    *,
    url: str,
    out: Path,
    query: str = "",
    store: Sequence[str] = (),
    auth: Path | None = None,
    formats: tuple[str, ...] = ("md",),
    template: str = AUTO,
    priors: bool = True,
) -> int:
    """Report on the studies of an archive.

    Args:
        config: which model and index.
        open_assistant: loads them.
        url: of the DICOMweb service.
        out: the run's folder; images lie in `incoming` in it, and a rerun goes on there.
        query: see `Archive.studies`.
        store: of `STORABLE`, what is stored back; nothing if empty.
        auth: see `Archive`.
        formats: which pages each study gets.
        template: of the reports: a name, a `.yaml` file, or `auto`.
        priors: look for earlier studies of the same patient among those fetched.
    Returns:
        0 when every study has its report, 1 when some failed.
    Raises:
        AssistantError: the archive, the model, the index or the folder cannot be used.
    """
    unknown = [one for one in store if one not in STORABLE]
    if unknown:
        raise ConfigError(f"store has {unknown[0]!r}; an archive takes {' and '.join(STORABLE)}.")
    archive = Archive(url, auth)
    fetched = found = 0
    for study in archive.studies(query):
        found += 1
        fetched += archive.fetch(study, out / "incoming" / hashlib.sha256(study.encode()).hexdigest()[:16])
    sys.stderr.write(f"{found} studies match, {fetched} fetched now.\n")
    if not (out / "incoming").is_dir():
        sys.stdout.write("No study with images matches: nothing to report on.\n")
        return 0
    wanted = tuple(dict.fromkeys((*formats, *store)))
    code = run_report(
        config, open_assistant, inputs=[str(out / "incoming")], out=out / "reports", formats=wanted,
        template=template, group=True, priors=priors,
    )  # fmt: skip
    if store:
        sys.stdout.write(f"{_store(archive, out / 'reports', store)} objects stored in {url}\n")
    return code


def _store(archive: Archive, folder: Path, formats: Sequence[str]) -> int:
    """Send each study's reports; those that the archive has are left."""
    from pydicom import dcmread

    sent = 0
    for record in read_lines(folder / "reports.jsonl"):
        paths = [folder / "studies" / f"{page_name(record)}.{ending(one)}" for one in formats]
        sent += archive.store([dcmread(path) for path in paths if path.exists()])
    return sent
