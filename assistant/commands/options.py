"""The options of the larger commands, and the commands around them; nothing but `argparse` is imported here."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from assistant.errors import ConfigError

SERVE = (
    "keys",
    "page",
    "audit",
    "raw",
    "upstream",
    "upstream_model",
    "upstream_hosts",
    "upstream_key",
    "upstream_requests",
    "upstream_score_here",
)
"""Options of `serve`, each a field of its settings."""


def shared_options() -> argparse.ArgumentParser:
    """Return the options that every command has."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--model", metavar="M", help="starter, a model folder or a preset (default: starter)")
    shared.add_argument(
        "--index", metavar="I", help="default, an index folder, lance:FOLDER, postgresql://… or none (default: default)"
    )
    shared.add_argument(
        "--templates", action="append", metavar="DIR", help="a folder with report templates of your own, .yaml files"
    )
    shared.add_argument(
        "--encoding", metavar="E",
        help="encoder's numbers on a CPU: exact, float32, bfloat16, int8 or auto, the quickest that passes its gate "
        "(default: exact, and auto with a --precision of fewer bits)",
    )  # fmt: skip
    shared.add_argument(
        "--precision",
        choices=("exact", "bfloat16", "int8"),
        help="of the language model on a CPU: its own, or fewer bits, which is quicker (default: exact)",
    )
    shared.add_argument(
        "--pixels", choices=("clean", "written", "keep"),
        help="text burned into pictures: black it out wherever they are shown, written or sent on, and for models that "
        "can read; written: not for models; keep (default: clean)",
    )  # fmt: skip
    shared.add_argument("--config", metavar="FILE", help="YAML settings; the options here go before them")
    shared.add_argument("--verbose", action="store_true", help="log what is done, and show where an error arose")
    return shared


def add_listening_options(parser: argparse.ArgumentParser) -> None:
    """Add what `chat` and `serve` share."""
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1, this machine only)")
    parser.add_argument("--port", type=int, help="TCP port (default: 7860; 0 takes any free one)")
    parser.add_argument(
        "--login", metavar="FILE", help="who may see the page, from `users add`; needed to listen beyond this machine"
    )
    parser.add_argument(
        "--feedback", metavar="URL", help="where what people say of answers is kept: a file, postgresql://… or none "
        "(default: feedback.sqlite in the state folder)",
    )  # fmt: skip


def add_serve_options(parser: argparse.ArgumentParser) -> None:
    """Add what only `serve` has; each sets the field of its name under `serve:` of the settings."""
    parser.add_argument(
        "--keys", metavar="FILE", help="who may use the API, from `keys add`; needed beyond this machine"
    )
    parser.add_argument("--no-page", dest="page", action="store_const", const=False, help="serve the API alone")
    parser.add_argument("--audit", metavar="FILE", help="who asked when (default: audit.jsonl in the state folder)")
    parser.add_argument(
        "--raw", action="store_const", const=True, help="text without evidence and review, for a gateway"
    )
    parser.add_argument("--upstream", metavar="URL", help="an OpenAI-style server that writes the text instead")
    parser.add_argument("--upstream-model", metavar="NAME", help="the model's name there (default: the only one)")
    parser.add_argument(
        "--upstream-host", action="append", dest="upstream_hosts", metavar="HOST",
        help="a host beyond this machine that --upstream may name; images go there",
    )  # fmt: skip
    parser.add_argument("--upstream-key", metavar="FILE", help="file that holds the key of that server")
    parser.add_argument(
        "--upstream-requests", type=int, metavar="N", help="requests that server is sent at once (default: 32)"
    )
    parser.add_argument(
        "--upstream-score-here", action="store_const", const=True,
        help="work out its text's probabilities with the model here, where that server tells none",
    )  # fmt: skip


def add_access_commands(commands: Any, epilog: str) -> None:
    """Add `keys`, `users` and `audit`.

    Args:
        commands: the subparsers of the program.
        epilog: stands at the end of each help.
    """
    for kind, what in (("keys", "who may use the API"), ("users", "who may see the page")):
        access = commands.add_parser(kind, help=what, epilog=epilog)
        access.add_argument("action", choices=("add", "remove", "list"))
        access.add_argument("file", type=Path, metavar="FILE", help="holds names and hashes; made when missing")
        access.add_argument("name", nargs="?", metavar="NAME", help="up to 64 letters, digits and . _ @ -")
    audit = commands.add_parser("audit", help="check the audit log of `serve`", epilog=epilog)
    audit.add_argument("action", choices=("verify",))
    audit.add_argument("file", type=Path, metavar="LOG", help="audit.jsonl")
    audit.add_argument("--head", metavar="HASH", help="a last hash that was noted elsewhere; it must be in the log")


def add_feedback_command(commands: Any, epilog: str) -> None:
    """Add the command that lists, exports and deletes feedback.

    Args:
        commands: the subparsers of the program.
        epilog: stands at the end of its help.
    """
    command = commands.add_parser("feedback", help="list, export or delete what people said of answers", epilog=epilog)
    command.add_argument("action", choices=("list", "export", "purge"))
    command.add_argument(
        "--feedback", metavar="URL", default="default",
        help="a file or postgresql://… (default: feedback.sqlite in the state folder)",
    )  # fmt: skip
    command.add_argument("--json", action="store_true", help="list: one JSON object a line, with the texts")
    command.add_argument("--out", type=Path, metavar="DIR", help="export: a new folder for feedback.jsonl and pictures")
    command.add_argument("--older-than", type=int, metavar="DAYS", help="purge: what is older than this")
    command.add_argument("--id", action="append", default=[], dest="ids", metavar="ID", help="purge: this one")
    command.add_argument("--all", action="store_true", help="purge: everything")
    command.add_argument("--pictures", action="store_true", help="purge: the pictures alone; the texts stay")


def add_deidentify_command(commands: Any, epilog: str) -> None:
    """Add the command that takes names out of files.

    Args:
        commands: the subparsers of the program.
        epilog: stands at the end of its help.
    """
    command = commands.add_parser(
        "deidentify", help="take patients' names out of DICOM, pictures and texts", epilog=epilog
    )
    command.add_argument("inputs", nargs="+", metavar="IN", help="files and folders")
    command.add_argument("--out", required=True, type=Path, metavar="DIR", help="a new folder for the results")
    command.add_argument(
        "--retain", default="", metavar="LIST",
        help="let through, of PS3.15's options: uids,device,institution,patient,descriptors,structured (default: none)",
    )  # fmt: skip
    command.add_argument(
        "--dates", choices=("shift", "remove", "keep"), default="shift",
        help="shift all dates of a patient alike, remove or keep them (default: shift)",
    )  # fmt: skip
    command.add_argument(
        "--pixels", choices=("clean", "keep"), default="clean",
        help="black out text in pictures, or not (default: clean)",
    )  # fmt: skip
    command.add_argument("--salt", type=Path, metavar="FILE", help="secret for equal pseudonyms in several runs")
    command.add_argument("--key", type=Path, metavar="FILE", help="write which input became which output; keep it safe")
    command.add_argument("--dry-run", action="store_true", help="say what would be done, write nothing")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.add_argument("--verbose", action="store_true", help="show where an error arose")


def serve_values(args: argparse.Namespace) -> dict[str, Any]:
    """Return the fields under `serve:` that the command line sets."""
    given = {name: getattr(args, name, None) for name in SERVE}
    return {name: value for name, value in given.items() if value is not None}


def add_slice_options(parser: argparse.ArgumentParser) -> None:
    """Add which slices of a volume are read."""
    parser.add_argument(
        "--slices", type=int, metavar="N", help="most slices of a volume to read (default: the model's own, else 1)"
    )
    parser.add_argument(
        "--slice-choice",
        choices=("auto", "unusual", "relevant", "uniform"),
        help="how slices of a volume are chosen (default: auto)",
    )


def generation_values(args: argparse.Namespace) -> dict[str, object]:
    """Return what the command line says of slices, checks and precision, as `generation` of a settings file has it."""
    names = ("slices", "slice_choice", "precision")
    given = {name: value for name in names if (value := getattr(args, name, None)) is not None}
    return {**given, **({"check_reports": False} if getattr(args, "no_checks", False) else {})}


def add_ask_options(ask: argparse.ArgumentParser) -> None:
    """Add what `ask` takes."""
    ask.add_argument(
        "images",
        nargs="*",
        metavar="IMAGE",
        help="JPEG, PNG, WebP, TIFF, DICOM, .nii, .nii.gz, or a folder with a DICOM series; none for a text question",
    )
    ask.add_argument("--question", required=True, metavar="TEXT", help="what to answer")
    ask.add_argument("--json", action="store_true", help="print one JSON object")
    ask.add_argument(
        "--frame", type=int, metavar="N", help="frame of a multi-frame file, from 0 (default: the middle one)"
    )
    ask.add_argument(
        "--window", type=window, metavar="W", help="CENTRE,WIDTH in the file's units (HU for CT), or a name"
    )


def add_report_options(report: argparse.ArgumentParser) -> None:
    """Add what `report` takes."""
    report.add_argument("inputs", nargs="*", metavar="INPUT", help="files, folders, patterns, a DICOMDIR, a list")
    report.add_argument("--status", action="store_true", help="tell how far the run in --out is, and what failed")
    report.add_argument("--only-failed", action="store_true", help="try again what failed, quarantined studies too")
    report.add_argument("--out", type=Path, metavar="DIR", help="where reports go; a rerun goes on there")
    report.add_argument(
        "--formats",
        default="md",
        metavar="LIST",
        help="any of md,json,csv,html,docx,pdf,sr,dicom-pdf,sc,fhir,hl7 (default: md)",
    )
    report.add_argument(
        "--template", default="auto", metavar="T", help="a template's name, a .yaml file, or auto (default: auto)"
    )
    report.add_argument("--list-templates", action="store_true", help="tell which templates there are, and end")
    report.add_argument("--no-checks", action="store_true", help="do not ask a template's questions beside the report")
    report.add_argument("--no-priors", action="store_true", help="do not look for earlier studies among the inputs")
    report.add_argument("--review", action="store_true", help="tell which reports in --out to look at first, and end")
    report.add_argument("--watch", action="store_true", help="report on what comes into the INPUT folders, until ended")
    report.add_argument(
        "--every", type=duration, default=5.0, metavar="T", help="between two looks with --watch (default: 5s)"
    )
    report.add_argument(
        "--settled", type=duration, default=10.0, metavar="T",
        help="a file unchanged for so long is complete, with --watch (default: 10s)",
    )  # fmt: skip
    report.add_argument("--batch-size", type=int, metavar="N", help="studies a batch (default: 16)")
    report.add_argument("--window", type=window, metavar="W", help="for volumes: CENTRE,WIDTH or brain, lung, bone, …")
    report.add_argument(
        "--engine", choices=("local", "ray"), default="local", help="this process, or actors of Ray (default: local)"
    )
    report.add_argument("--actors", type=int, metavar="N", help="actors of Ray (default: one a GPU, else 1)")
    report.add_argument("--ray-address", metavar="A", help="HOST:PORT of a Ray cluster, or auto (default: begin one)")
    report.add_argument("--group", action="store_true", help="one report for all DICOM files of one study")
    report.add_argument(
        "--keep-names", action="store_true",
        help="write file names as they are, not as keys; with --status and --review show which files they are",
    )  # fmt: skip


def duration(text: str) -> float:
    """Read a time in seconds from "5", "5s", "2m" or "1h"."""
    unit = {"s": 1.0, "m": 60.0, "h": 3600.0}.get(text[-1:], 0.0)
    try:
        return float(text[:-1]) * unit if unit else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time, such as 5s, 2m or 1h") from None


def cluster_of(args: argparse.Namespace) -> tuple[int | None, str | None] | None:
    """Return how many actors report, and where their cluster is; None if this process reports itself.

    Args:
        args: of `report`.
    Returns:
        `--actors` and `--ray-address`.
    Raises:
        ConfigError: they are given without `--engine ray`, or there are no actors.
    """
    for option, given in (("--actors", args.actors), ("--ray-address", args.ray_address)):
        if given is not None and args.engine != "ray":
            raise ConfigError(f"{option} {given} says how Ray reports. Give --engine ray with it, or leave it out.")
    if args.actors is not None and args.actors < 1:
        raise ConfigError(f"--actors is {args.actors}; use 1 or more.")
    return (args.actors, args.ray_address) if args.engine == "ray" else None


def window(text: str) -> tuple[float, float] | str:
    """Read `--window`: two numbers with a comma between, or a name that the imaging door knows."""
    centre, comma, width = text.partition(",")
    if not comma:
        return text
    try:
        return float(centre), float(width)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not CENTRE,WIDTH, such as 40,400, nor a name") from None
