"""The options of what stands beside a hospital's systems: archives, the service, the record's texts."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from assistant.commands.options import duration


def add_archive_options(parser: argparse.ArgumentParser) -> None:
    """Add what lets `report` take its studies from an archive."""
    parser.add_argument("--dicomweb", metavar="URL", help="take the studies from this archive instead of INPUT")
    parser.add_argument("--pacs", metavar="AE@HOST:PORT", help="the same over DIMSE: C-FIND, C-GET, C-STORE")
    parser.add_argument("--query", default="", metavar="Q", help="which: Modality=CR,StudyDate=20240101-20240131")
    parser.add_argument(
        "--store", default="", metavar="LIST", help="store reports back: any of sr,pdf,sc (default: none)"
    )
    parser.add_argument(
        "--calling", default="MEDASSIST", metavar="AE", help="our own AE title over DIMSE (default: MEDASSIST)"
    )
    parser.add_argument(
        "--receive", type=int, metavar="PORT", help="with --pacs: fetch by C-MOVE to this port instead of C-GET"
    )
    add_record_options(parser)
    add_way_options(parser)


def add_way_options(parser: argparse.ArgumentParser) -> None:
    """Add how an archive is spoken to."""
    parser.add_argument("--auth", type=Path, metavar="FILE", help="holds `Bearer TOKEN` or `name:password`")
    parser.add_argument("--tls", action="store_true", help="DIMSE over TLS; the options --tls-… mean it too")
    parser.add_argument("--tls-ca", type=Path, metavar="PEM", help="who may vouch for the other side")
    parser.add_argument("--tls-cert", type=Path, metavar="PEM", help="this side's certificate")
    parser.add_argument("--tls-key", type=Path, metavar="PEM", help="its private key, if it stands in another file")
    parser.add_argument("--plain", action="store_true", help="let DIMSE cross the network without encryption")


def add_record_options(parser: argparse.ArgumentParser) -> None:
    """Add where indications and earlier reports are asked for."""
    parser.add_argument("--fhir", metavar="WHERE", help="FHIR R4 bundle or server with indications and earlier reports")
    parser.add_argument("--fhir-auth", type=Path, metavar="FILE", help="login of that server, as for --auth")


def add_listen_options(parser: argparse.ArgumentParser) -> None:
    """Add what `listen` takes."""
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="spool and reports; a restart goes on")
    parser.add_argument(
        "--port",
        type=int,
        default=11112,
        dest="receive",
        metavar="PORT",
        help="TCP port (default: 11112; 0 takes any free one)",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", dest="address", metavar="HOST", help="address to listen on (default: 127.0.0.1)"
    )
    parser.add_argument("--aet", default="MEDASSIST", metavar="AE", help="our AE title (default: MEDASSIST)")
    parser.add_argument(
        "--allow", action="append", default=[], metavar="AE[@IP]",
        help="who may send, again for each; needed beyond this machine (default: everybody on it)",
    )  # fmt: skip
    parser.add_argument(
        "--stable", type=duration, default=30.0, metavar="T", help="report when nothing came for so long (default: 30s)"
    )
    parser.add_argument("--formats", default="md", metavar="LIST", help="pages of each report (default: md)")
    parser.add_argument("--template", default="auto", metavar="NAME", help="report template (default: auto)")
    parser.add_argument("--store-to", metavar="AE@HOST:PORT", help="send the reports there, by C-STORE")
    parser.add_argument("--dicomweb", metavar="URL", help="or store them there, by STOW-RS")
    parser.add_argument("--store", default="sr", metavar="LIST", help="what is sent: any of sr,pdf,sc (default: sr)")
    add_record_options(parser)
    parser.add_argument("--keep", action="store_true", help="keep the images when a study is reported and stored")
    parser.add_argument("--keep-names", action="store_true", help="write file names as they are, not as numbers")
    parser.add_argument("--max-gb", type=float, default=20.0, metavar="N", help="most of the spool (default: 20)")
    parser.add_argument(
        "--max-objects", type=int, default=5000, metavar="N", help="most objects of a study (default: 5000)"
    )
    add_way_options(parser)


def add_retell_commands(commands: Any, epilog: str) -> None:
    """Add `plain` and `summary`.

    Args:
        commands: the subparsers of the program.
        epilog: stands at the end of each help.
    """
    plain = commands.add_parser("plain", help="tell reports in plain words, by rules", epilog=epilog)
    short = commands.add_parser("summary", help="summarise reports of one patient, by rules", epilog=epilog)
    for command, what in ((plain, "reports"), (short, "two or more, oldest first")):
        command.add_argument("reports", nargs="+", metavar="REPORT", help=f"{what}: .jsonl, .json, .md, .txt, FHIR")
        command.add_argument("--json", action="store_true", help="print one JSON object")
        command.add_argument("--verbose", action="store_true", help="show where an error arose")
    short.add_argument("--most", type=int, default=12, metavar="N", help="sentences of earlier reports (default: 12)")
