"""Scores answers with a reward model that `training.reward` wrote; of preferences, tells how many are put in order."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assistant.ending import run_command
from assistant.errors import AssistantError


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m training.judge MODEL FILE.jsonl`.

    Args:
        argv: arguments, by default those of the process.
    Returns:
        Exit code: 0 done, 2 wrong usage or input that must be mended.
    """
    parser = argparse.ArgumentParser(prog="python -m training.judge", description=__doc__)
    parser.add_argument("model", help="folder of a reward model, such as runs/reward/model")
    parser.add_argument("file", type=Path, help="JSONL of examples, of answers judged one by one, or of preferences")
    parser.add_argument(
        "--predictions",
        type=Path,
        metavar="FILE",
        help="predictions.jsonl of training.evaluate, to be scored",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the scores go (default: stdout)")
    parser.add_argument("--limit", type=int, help="score so many lines only (default: all)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("bitsandbytes.backends").setLevel(logging.ERROR)
    try:
        from training.judging import score_file

        lines, told = score_file(
            arguments.model,
            arguments.file,
            predictions=arguments.predictions,
            limit=arguments.limit,
            device=arguments.device,
        )
        _write(lines, arguments.out)
    except AssistantError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    (sys.stdout if arguments.out else sys.stderr).write(told)
    return 0


def _write(lines: Sequence[dict[str, Any]], out: Path | None) -> None:
    if out is not None:
        from data_recipes.jsonl import write_records

        out.parent.mkdir(parents=True, exist_ok=True)
        write_records(out, lines)
        return
    for line in lines:
        sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    raise SystemExit(run_command(main))
