"""Merges an adapter that `training.sft` wrote into its base: one plain model folder that needs no PEFT."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from assistant.ending import print_what, run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m training.merge ADAPTER --out DIR`.

    Args:
        argv: arguments, by default those of the process.
    Returns:
        Exit code: 0 done, 2 wrong usage or a folder that cannot be merged.
    """
    parser = argparse.ArgumentParser(prog="python -m training.merge", description=__doc__)
    parser.add_argument("adapter", type=Path, help="adapter folder, such as runs/sft/model")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="model folder to make")
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16"), help="of the weights on disk (default: as the base's are)"
    )
    parser.add_argument("--name", help="what the model is called in answers (default: the adapter's name)")
    arguments = parser.parse_args(argv)

    def merge() -> Path:
        from assistant.model.merge import merge_adapter

        changes = {"name": arguments.name} if arguments.name else {}
        return merge_adapter(arguments.adapter, arguments.out, dtype=arguments.dtype, **changes)

    return print_what(merge)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
