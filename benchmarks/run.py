"""The benchmark suite: `python -m benchmarks.run [NAME…] [--json] [--device cuda]`.

Every row times this project's way against another, side by side, behind a gate that the result must pass. Without
names all rows run. The exit code is 1 when a gate is not kept; a ratio that is missed is told and does not fail.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict

from benchmarks.suite import Measured

ROWS: dict[str, str] = {
    "sft_step": "benchmarks.training_rows:sft_step",
    "dpo_step": "benchmarks.training_rows:dpo_step",
    "vqa_exact": "benchmarks.engine_rows:vqa_exact",
    "vqa_fast": "benchmarks.engine_rows:vqa_fast",
    "vqa_varlen": "benchmarks.engine_rows:vqa_varlen",
    "decode_attention": "benchmarks.engine_rows:decode_row",
    "scale": "benchmarks.engine_rows:scale",
}
"""Name of a row → `module:function` that measures it: given the device's name, it returns its lines."""


def measure(name: str, device: str) -> Sequence[Measured]:
    """Run one row.

    Args:
        name: of `ROWS`.
        device: "cpu" or "cuda".
    Returns:
        Its lines.
    """
    module, function = ROWS[name].split(":")
    run: Callable[[str], Sequence[Measured]] = getattr(importlib.import_module(module), function)
    return run(device)


def line(one: Measured) -> str:
    """Return a line of the table."""
    share = "" if one.limit is None else f"{100 * one.limit:.0f} %"
    asked = "" if one.wanted is None else f"{one.wanted:g}×"
    cells = (
        one.name,
        one.peer,
        f"{1e3 * one.theirs:,.2f}",
        f"{1e3 * one.ours:,.2f}",
        f"{one.ratio:.1f}×",
        asked,
        share,
        f"{'kept' if one.kept else 'BROKEN'}: {one.gate}",
        one.note,
    )
    return f"| {' | '.join(cells)} |"


HEAD = """| row | against | theirs, ms | ours, ms | ratio | asked | of the limit | gate | note |
|---|---|---|---|---|---|---|---|---|"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; None takes those of the process.
    Returns:
        0, or 1 when a gate is not kept.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ROWS)} (default: all)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, in place of the table")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where the model runs (default: cpu)")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in ROWS]
    if unknown:
        parser.error(f"no row is named {', '.join(unknown)}; there are {', '.join(ROWS)}")
    if not options.json:
        print(HEAD)
    kept = True
    for name in options.names or ROWS:
        for one in measure(name, options.device):
            kept = kept and one.kept
            extra = {"ratio": one.ratio, "reached": one.reached}
            print(json.dumps({**asdict(one), **extra}) if options.json else line(one), flush=True)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
