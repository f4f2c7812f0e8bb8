"""Draws answers from a model and pairs the best with the worst of each question: preferences with no human in the loop.

The judge is one of the rewards that can be checked, or a reward model. The pairs are for `training.dpo`.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from assistant.errors import AssistantError


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m training.self_pairs --model M --data FILE.jsonl --judge J --out DIR`.

    Args:
        argv: arguments, by default those of the process.
    Returns:
        Exit code: 0 done, 2 wrong usage or input that must be mended.
    """
    parser = argparse.ArgumentParser(prog="python -m training.self_pairs", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--model", required=True, help="`starter`, a model folder or an adapter folder")
    parser.add_argument("--data", type=Path, required=True, metavar="FILE.jsonl", help="examples to answer")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to make")
    parser.add_argument(
        "--judge", default="answer_match", help="a reward of training.grpo, or a folder of training.reward"
    )
    parser.add_argument("--samples", type=int, default=6, help="answers drawn for each question (default 6)")
    parser.add_argument("--gap", type=float, default=0.3, help="least difference of a pair, of 0 to 1 (default 0.3)")
    parser.add_argument("--temperature", type=float, default=1.0, help="how freely answers are drawn (default 1.0)")
    parser.add_argument("--max-new-tokens", type=int, default=160, help="longest answer, in tokens (default 160)")
    parser.add_argument("--limit", type=int, help="at most so many examples (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the drawing (default 0)")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("bitsandbytes.backends").setLevel(logging.ERROR)
    try:
        from training.best_of import Drawing, write_pairs

        drawing = Drawing(arguments.samples, arguments.temperature, arguments.max_new_tokens, arguments.seed)
        pairs, asked = write_pairs(
            arguments.model,
            arguments.data,
            arguments.out,
            judge=arguments.judge,
            drawing=drawing,
            gap=arguments.gap,
            limit=arguments.limit,
        )
    except AssistantError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(f"{pairs} pairs of {asked} questions in {arguments.out / 'preferences.jsonl'}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
