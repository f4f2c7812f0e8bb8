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

from assistant.ending import in_words, run_command
from assistant.errors import AssistantError, RetrievalError
from assistant.words import content_words
from retrieval.adaptive import worth_keeping
from retrieval.form import form_fit, title_fit
from retrieval.scores import reciprocal_rank

if TYPE_CHECKING:
    from retrieval.evaluate import Pair
    from retrieval.retriever import IndexRetriever

FLOORS: tuple[float, ...] = tuple(round(0.2 + 0.05 * step, 2) for step in range(14))
DROPS: tuple[float, ...] = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
FORMS: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.5, 0.8)
TITLES: tuple[float, ...] = (0.0, 0.1, 0.2, 0.4)
PIECES = 3
_WORTH_IT = 0.005
"""Least gain in MRR for which wording is looked at, which takes time at every search."""
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


def fit_wording(retriever: IndexRetriever, pairs: Sequence[Pair]) -> dict[str, float]:
    """Choose how much the form of a passage and the fit of its title count.

    Args:
        retriever: over the index to tune, its fusion chosen.
        pairs: development questions; those that should find nothing are passed over.
    Returns:
        `form` and `title` of `SearchSettings`, both 0 where they gain next to nothing, and the MRR with and without.
    """
    import numpy as np

    plain = retriever.with_settings(dataclasses.replace(retriever.settings, form=0.0, title=0.0))
    tables = []
    for pair in pairs:
        if pair.expected:
            found = plain.weighed(pair.question, modality=pair.modality)
            right = [one.passage.document in pair.expected or one.passage.id in pair.expected for one in found]
            forms = [one.weight * form_fit(pair.question, one.passage.text) for one in found]
            titles = [one.weight * title_fit(pair.question, one.passage.title) for one in found]
            tables.append((np.array([one.rank_score for one in found]), np.array(forms), np.array(titles), right))

    def mrr(form: float, title: float) -> float:
        total = 0.0
        for scores, forms, titles, right in tables:
            order = np.argsort(-(scores + form * forms + title * titles), kind="stable")
            total += reciprocal_rank([right[place] for place in order])
        return total / max(1, len(tables))

    before = mrr(0.0, 0.0)
    # Of equal ones the smallest.
    best = max((round(mrr(form, title), 6), -form, -title) for form in FORMS for title in TITLES)
    worth = best[0] >= before + _WORTH_IT
    form, title = (-best[1], -best[2]) if worth else (0.0, 0.0)
    return {"form": form, "title": title, "mrr": best[0] if worth else before, "mrr_before": before}


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
        sys.stderr.write(f"error: {in_words(error)}\n")
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
        manifest = retriever.index.manifest
        replace_manifest(arguments.index, dataclasses.replace(manifest, search={**manifest.search, **fitted}))
    return {**result, "stored": not arguments.dry_run}


if __name__ == "__main__":
    raise SystemExit(run_command(main))
