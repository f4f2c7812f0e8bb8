"""Compares two runs of training.evaluate on the same questions: paired bootstrap intervals and McNemar's test."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from assistant.ending import in_words, run_command
from assistant.errors import AssistantError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exit code 0 done, 2 wrong usage or input that must be mended."""
    parser = argparse.ArgumentParser(prog="python -m training.compare", description=__doc__)
    parser.add_argument("ours", type=Path, metavar="PREDICTIONS.jsonl", help="predictions.jsonl of one run")
    parser.add_argument("theirs", type=Path, metavar="OTHER.jsonl", help="predictions.jsonl of the other")
    parser.add_argument("--json", action="store_true", help="print all numbers as one object")
    arguments = parser.parse_args(argv)
    try:
        from training.evaluation.comparison import compare_lines, read_predictions
        from training.evaluation.comparison_table import comparison_table

        ours, theirs = read_predictions(arguments.ours), read_predictions(arguments.theirs)
        found = compare_lines(ours, theirs, name=str(arguments.theirs))
    except (AssistantError, OSError) as error:
        sys.stderr.write(f"error: {in_words(error)}\n")
        return 2
    text = json.dumps(found, indent=2) if arguments.json else f"{comparison_table(found)}\n{found['verdict']}"
    sys.stdout.write(text + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
