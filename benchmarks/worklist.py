"""Worklists under load: `python -m benchmarks.worklist mixed | throughput | many [options]`.

mixed       500 studies of many kinds, 25 of them broken, killed again and again: each is reported once
throughput  studies an hour against a loop that takes one study at a time and encodes the image for each section
many        10,000 small studies in one worklist: memory, and what the ledger costs
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from assistant.ending import run_command


def mixed(args: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Run the killed worklist."""
    from benchmarks.worklist_killed import Plan, run_killed
    from benchmarks.worklist_mixture import make_mixture

    mixture = make_mixture(work / "in", studies=args.studies, broken=args.broken)
    options = ["--model", args.model, "--index", args.index, "--engine", args.engine]
    if args.engine == "ray":
        options += ["--actors", str(args.actors)]
    actor_kills = args.actor_kills if args.engine == "ray" else 0
    result = run_killed(mixture, work / "out", Plan(args.kills, actor_kills, tuple(options), args.seed))
    return {"good": mixture.good, "broken": len(mixture.broken), "unused pydicom files": mixture.unused, **result}


def throughput(args: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Time the worklist against a plain loop, with the starter and with a random model."""
    from benchmarks.worklist_throughput import worklist

    rows = [{**asdict(one), "ratio": round(one.ratio, 2), "reached": one.reached} for one in worklist("cpu")]
    return {"rows": rows, "right": all(row["kept"] for row in rows)}


def many(args: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Report on many small studies."""
    from assistant.model.load import load_model
    from benchmarks.worklist_many import run_many, small_model

    model = small_model() if args.model == "small" else load_model(args.model)
    return {"model": args.model, **run_many(model, work, count=args.studies, tokens=args.tokens)}


def parser() -> argparse.ArgumentParser:
    """Return the parser of all parts."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.worklist", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = made.add_subparsers(dest="part", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--model", default="starter", help="starter or a model folder (default: starter)")
    one = parts.add_parser("mixed", parents=[shared], help="killed again and again")
    one.add_argument("--index", default="default", help="as report takes it (default: default)")
    one.add_argument("--studies", type=int, default=500, help="in all (default: 500)")
    one.add_argument("--broken", type=int, default=25, help="of them (default: 25)")
    one.add_argument("--kills", type=int, default=5, help="of the whole program (default: 5)")
    one.add_argument("--engine", choices=("local", "ray"), default="local", help="as report takes it (default: local)")
    one.add_argument("--actors", type=int, default=2, help="of Ray (default: 2)")
    one.add_argument("--actor-kills", type=int, default=2, help="of single actors of Ray (default: 2)")
    one.add_argument("--seed", type=int, default=0, help="of where it is killed (default: 0)")
    parts.add_parser("throughput", help="against a plain loop")
    one = parts.add_parser("many", help="memory and the ledger's cost")
    one.add_argument("--model", default="small", help="small (random weights), starter or a folder (default: small)")
    one.add_argument("--studies", type=int, default=10_000, help="how many (default: 10000)")
    one.add_argument("--tokens", type=int, default=256, help="most of one report (default: 256)")
    made.epilog = "".join(part.format_usage() for part in parts.choices.values())
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the result goes to standard output as JSON.

    Args:
        argv: without the program's name; None takes those of the process.
    Returns:
        0, or 1 when a result is not what it must be.
    """
    args = parser().parse_args(argv)
    with tempfile.TemporaryDirectory() as work:
        result = {"mixed": mixed, "throughput": throughput, "many": many}[args.part](args, Path(work).resolve())
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 0 if result["right"] else 1


if __name__ == "__main__":
    raise SystemExit(run_command(main))
