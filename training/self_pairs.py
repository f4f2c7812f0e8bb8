"""Lets a model answer questions and makes pairs of its own answers: preferences with no human in the loop.

With `--judge` the best of several answers is paired with the worst; the judge is a reward that can be checked,
or a reward model. With `--mend priors` an answer that speaks of a prior examination is paired with itself without that
sentence, and as many answers with themselves made shorter. The pairs are for `training.dpo`.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from assistant.ending import run_command
from assistant.errors import AssistantError
from data_recipes.schema import TASKS


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
    way = parser.add_mutually_exclusive_group()
    way.add_argument(
        "--judge", default="answer_match", help="a reward of training.grpo, or a folder of training.reward"
    )
    way.add_argument("--mend", choices=("priors",), help="what to take out of answers in place of judging them")
    parser.add_argument("--samples", type=int, help="answers drawn for each question (default 6; with --mend 1)")
    parser.add_argument("--gap", type=float, default=0.3, help="least difference of a judged pair (default 0.3)")
    parser.add_argument(
        "--temperature", type=float, help="how freely answers are drawn (default 1.0; with --mend 0, the likeliest)"
    )
    parser.add_argument("--max-new-tokens", type=int, default=160, help="longest answer, in tokens (default 160)")
    parser.add_argument("--task", choices=TASKS, help="only examples of this task, such as report for finding_f1")
    parser.add_argument("--limit", type=int, help="at most so many examples (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the drawing (default 0)")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("bitsandbytes.backends").setLevel(logging.ERROR)
    try:
        pairs, asked = _make(arguments)
    except AssistantError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(f"{pairs} pairs of {asked} questions in {arguments.out / 'preferences.jsonl'}\n")
    return 0


def _make(arguments: argparse.Namespace) -> tuple[int, int]:
    """Write the pairs; returns their number and that of the questions."""
    from training.best_of import Drawing, write_pairs
    from training.mended import write_mended

    samples, temperature = (1, 0.0) if arguments.mend else (6, 1.0)
    samples = samples if arguments.samples is None else arguments.samples
    temperature = temperature if arguments.temperature is None else arguments.temperature
    drawing = Drawing(samples, temperature, arguments.max_new_tokens, arguments.seed)
    files = (arguments.model, arguments.data, arguments.out)
    if arguments.mend:
        return write_mended(*files, drawing=drawing, limit=arguments.limit, task=arguments.task)
    return write_pairs(
        *files, judge=arguments.judge, drawing=drawing, gap=arguments.gap, limit=arguments.limit, task=arguments.task
    )


if __name__ == "__main__":
    raise SystemExit(run_command(main))
