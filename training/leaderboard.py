"""Shows a leaderboard of training.evaluate: a table for each data set, the best run first, with every command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from assistant.ending import in_words, run_command
from assistant.errors import AssistantError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exit code 0 done, 2 wrong usage or input that must be mended."""
    parser = argparse.ArgumentParser(prog="python -m training.leaderboard", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE.jsonl", help="leaderboard.jsonl that runs have written")
    arguments = parser.parse_args(argv)
    try:
        from training.evaluation.leaderboard import read_lines, render

        text = render(read_lines(arguments.file))
    except (AssistantError, OSError) as error:
        sys.stderr.write(f"error: {in_words(error)}\n")
        return 2
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
