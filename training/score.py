"""Scores a file of predictions, ours or another model's, by our rules and by other projects'. No model is asked.

Each line is an object with `prediction`, `truth` and `answer_type` (closed, open, choice or report); `choices`, `task`
and `group` (whose answers stand or fall together) are used where they are given.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assistant.ending import in_words, run_command
from assistant.errors import AssistantError, DataError

_NEEDED = ("prediction", "truth", "answer_type")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a file of predictions.

    Args:
        path: JSON Lines.

    Returns:
        The lines.

    Raises:
        DataError: it cannot be read or is empty, or a line lacks a field or has one of the wrong kind; names the line.
    """
    from data_recipes.schema import ANSWER_TYPES

    try:
        texts = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}). Give JSON Lines with {', '.join(_NEEDED)}.") from error
    lines = []
    for number, text in enumerate(texts, start=1):
        try:
            line = json.loads(text)
        except ValueError as error:
            raise DataError(f"{path}:{number} is no JSON ({error}). Each line is one prediction.") from error
        for name in _NEEDED:
            if not isinstance(line, dict) or not isinstance(line.get(name), str):
                raise DataError(f"{path}:{number} has no text under {name!r}. Each line needs {', '.join(_NEEDED)}.")
        if line["answer_type"] not in ANSWER_TYPES:
            known = ", ".join(ANSWER_TYPES)
            raise DataError(f"{path}:{number}: answer_type is {line['answer_type']!r}; use one of {known}.")
        # The two questions that every picture is asked have numbers of their own.
        if not line.get("standard"):
            lines.append(line)
    if not lines:
        raise DataError(f"{path} holds no prediction. Give JSON Lines with {', '.join(_NEEDED)}.")
    return lines


def score_lines(lines: Sequence[dict[str, Any]], names: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """Score predictions.

    Args:
        lines: as `read_lines` gives them.
        names: scorers, by name or by the part before the dot; none takes all.

    Returns:
        For each scorer with something to count {"value", "low", "high", "n", "rule", "source"}.
    """
    from training.evaluation.scorer import Pair, score_all
    from training.evaluation.scorers import built_in, find_scorers

    pairs = [
        Pair(
            line["prediction"],
            line["truth"],
            line["answer_type"],
            str(line.get("task") or ("report" if line["answer_type"] == "report" else "vqa")),
            tuple(line.get("choices") or ()),
            int(line.get("images") or 1) > 1,
            str(line.get("written") or ""),
        )
        for line in lines
    ]
    groups = [str(line.get("group") or number) for number, line in enumerate(lines)]
    scorers = find_scorers(names) if names else list(built_in())
    found = score_all(scorers, pairs, groups)
    rules = {scorer.name: scorer for scorer in scorers}
    return {
        name: {**one.to_dict(), "rule": rules[name].rule, "source": rules[name].source} for name, one in found.items()
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exit code 0 done, 2 wrong usage or input that must be mended."""
    parser = argparse.ArgumentParser(
        prog="python -m training.score", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("predictions", type=Path, metavar="PREDICTIONS.jsonl", help="what to score")
    parser.add_argument("--scorers", nargs="+", default=[], metavar="NAME", help="only these (default: all)")
    parser.add_argument("--json", action="store_true", help="print one object, with each rule and its source")
    arguments = parser.parse_args(argv)
    try:
        from training.evaluation.table import markdown_table, percent

        found = score_lines(read_lines(arguments.predictions), arguments.scorers)
    except (AssistantError, OSError) as error:
        sys.stderr.write(f"error: {in_words(error)}\n")
        return 2
    rows = [(name, str(one["n"]), percent(one), one["rule"]) for name, one in found.items()]
    text = json.dumps(found, indent=2) if arguments.json else markdown_table(("Scorer", "n", "Score", "Rule"), rows)
    sys.stdout.write(text.rstrip("\n") + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
