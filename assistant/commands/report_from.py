"""`report` as the command line has it: a run, its standing, its review queue, the templates, or a watched folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from assistant.commands.opened import Opener
from assistant.commands.options import cluster_of
from assistant.config import AssistantConfig
from assistant.errors import ConfigError, WorklistError


def run_from(args: argparse.Namespace, config: AssistantConfig, open_assistant: Opener) -> int:
    """Do what the words of the command line ask for.

    Args:
        args: of `report`.
        config: which model, index and templates.
        open_assistant: loads them.
    Returns:
        The exit code: 0 done, 1 some studies failed.
    Raises:
        AssistantError: something that was named cannot be used.
    """
    if args.list_templates:
        return run_list_templates(config)
    _check(args)
    if args.review:
        return run_review(args.out, keep_names=args.keep_names)
    if args.dicomweb or args.pacs:
        from assistant.commands.archive import run_from as run_archive

        return run_archive(args, config, open_assistant)
    formats = tuple(one.strip() for one in args.formats.split(",") if one.strip())
    if args.watch:
        from assistant.commands.watch import run_watch
        from assistant.watch import WatchPlan

        return run_watch(
            config, open_assistant, inputs=args.inputs, out=args.out, plan=WatchPlan(args.every, args.settled),
            formats=formats, template=args.template, group=args.group, window=args.window, priors=not args.no_priors,
            keep_names=args.keep_names,
        )  # fmt: skip
    from assistant.commands.report import run_report, run_status

    if args.status:
        return run_status(args.out, keep_names=args.keep_names)
    return run_report(
        config, open_assistant, inputs=args.inputs, out=args.out, template=args.template, group=args.group,
        window=args.window, only_failed=args.only_failed, priors=not args.no_priors, formats=formats,
        cluster=cluster_of(args),
        keep_names=args.keep_names, fhir=args.fhir, fhir_auth=args.fhir_auth,
    )  # fmt: skip


def _check(args: argparse.Namespace) -> None:
    """Refuse words that do not go together, all at once."""
    faults = []
    if args.out is None:
        faults.append("--out is missing; name the folder for the reports, --out DIR.")
    asked = [
        f"--{name.replace('_', '-')}"
        for name in ("status", "review", "watch", "dicomweb", "pacs")
        if getattr(args, name)
    ]
    if len(asked) > 1:
        faults.append(f"{' and '.join(asked)} are given; use one of them.")
    if args.watch and args.only_failed:
        faults.append("--watch tries again by itself what failed; leave --only-failed out.")
    if args.engine == "ray" and (args.watch or args.dicomweb):
        faults.append("--engine ray reports on what INPUT names; leave --watch and --dicomweb out.")
    if faults:
        raise ConfigError(" ".join(faults))


def run_list_templates(config: AssistantConfig) -> int:
    """Write which report templates there are.

    Args:
        config: names folders of a person's own.
    Returns:
        0.
    Raises:
        ConfigError: a template has mistakes.
    """
    from assistant.template_files import listing, load_templates

    sys.stdout.write(listing(load_templates(config.templates)))
    return 0


def run_review(out: Path, *, keep_names: bool = False) -> int:
    """Write which reports of a run's folder to look at first, and bring the queue's files up to date.

    Args:
        out: the folder.
        keep_names: write which files the studies are, as far as `inputs.jsonl` knows; the queue's files name none.
    Returns:
        0.
    Raises:
        WorklistError: there is no run in the folder.
    """
    from assistant.review_queue import ReviewQueue, queue_text

    if not (out / "reports.jsonl").exists():
        raise WorklistError(f"{out} holds no report run. Name the folder that was given to report as --out.")
    queue = ReviewQueue(out)
    queue.refresh(now=True)
    rows = queue.rows()
    if keep_names:
        from dataclasses import replace

        from assistant.names import paths_of

        rows = [replace(one, inputs=tuple(paths_of(out, one.inputs))) for one in rows]
    sys.stdout.write(queue_text(rows))
    return 0
