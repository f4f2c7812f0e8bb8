"""Fit how many pieces a search shows: `python -m retrieval.tune INDEX PAIRS.jsonl`.

Floor and drop of the support are chosen on development questions, of which some should find nothing
(`"expected": []`), and stored in the index's manifest. A question gains what its document is worth among the pieces
shown, less a little for each piece beside it; one that should find nothing gains if nothing is shown.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import AssistantError, RetrievalError
from assistant.words import content_words
from retrieval.adaptive import worth_keeping

if TYPE_CHECKING:
    from retrieval.evaluate import Pair
    from retrieval.retriever import IndexRetriever

FLOORS: tuple[float, ...] = tuple(round(0.2 + 0.05 * step, 2) for step in range(14))
DROPS: tuple[float, ...] = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
PIECES = 3
_BESIDE = 0.1


@dataclasses.dataclass(frozen=True)
class _Seen:
    """What one question's search weighed."""

    supports: list[float]
    right: list[bool]
    should_find: bool


def fit_adaptive(retriever: IndexRetriever, pairs: Sequence[Pair], pieces: int = PIECES) -> dict[str, Any]:
    """Choose floor and drop.

    Args:
        retriever: over the index to tune.
        pairs: development questions; some should find nothing.
        pieces: the most pieces that are shown.
    Returns:
        `floor`, `drop`, their `value` and the `value_before` of the settings in force.
    Raises:
        RetrievalError: all questions should find something, or none should.
    """
    kinds = {bool(pair.expected) for pair in pairs}
    if len(kinds) < 2:
        lacking = "should find nothing" if True in kinds else "should find something"
        raise RetrievalError(f"None of the {len(pairs)} questions {lacking}; give some, or the floor cannot be judged.")
    seen = [_look(retriever, pair) for pair in pairs]
    grid = [(floor, drop) for floor in FLOORS for drop in DROPS]
    values = {point: _value(seen, *point, pieces) for point in grid}
    # Of equal ones the middle floor: it errs least when new questions are a little different.
    best = max(values.values())
    equal = sorted(point for point, value in values.items() if value >= best - 1e-9)
    floor, drop = equal[len(equal) // 2]
    before = _value(seen, retriever.settings.floor, retriever.settings.drop, pieces)
    return {"floor": floor, "drop": drop, "value": best, "value_before": before, "questions": len(pairs)}


def _look(retriever: IndexRetriever, pair: Pair) -> _Seen:
    found = retriever.weighed(pair.question, modality=pair.modality)
    asked = bool(content_words(pair.question))
    return _Seen(
        [one.support(asked=asked) for one in found],
        [one.passage.document in pair.expected or one.passage.id in pair.expected for one in found],
        bool(pair.expected),
    )


def _value(seen: Sequence[_Seen], floor: float, drop: float, pieces: int) -> float:
    """Return the mean gain of both kinds of question, each kind weighing half."""
    gains: dict[bool, list[float]] = {True: [], False: []}
    for one in seen:
        kept = worth_keeping(one.supports, floor=floor, drop=drop, most=pieces)
        if one.should_find:
            right = any(one.right[place] for place in kept)
            gains[True].append(right - _BESIDE * sum(not one.right[place] for place in kept) / pieces)
        else:
            gains[False].append(float(not kept))
    return sum(sum(some) / len(some) for some in gains.values()) / len(gains)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exit code 0 done, 2 wrong usage or a broken index."""
    parser = argparse.ArgumentParser(
        prog="python -m retrieval.tune", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("index", type=Path, help="index folder, whose manifest keeps the fit")
    parser.add_argument("pairs", type=Path, help='JSONL: {"question": …, "expected": document id, list of them, or []}')
    parser.add_argument("--model", default="starter", help="model whose encoder made the index (default: starter)")
    parser.add_argument("--dry-run", action="store_true", help="fit and print, store nothing")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    try:
        result = _tune(arguments)
    except (AssistantError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 0


def _tune(arguments: argparse.Namespace) -> dict[str, Any]:
    from retrieval.encoder import FolderEncoder
    from retrieval.evaluate import read_pairs
    from retrieval.manifest import replace_manifest
    from retrieval.retriever import IndexRetriever

    pairs = read_pairs(arguments.pairs)
    retriever = IndexRetriever.open(arguments.index, FolderEncoder(arguments.model))
    result = fit_adaptive(retriever, pairs)
    if not arguments.dry_run:
        fitted = {"floor": result["floor"], "drop": result["drop"]}
        replace_manifest(arguments.index, dataclasses.replace(retriever.index.manifest, search=fitted))
    return {**result, "stored": not arguments.dry_run}


if __name__ == "__main__":
    sys.exit(main())
