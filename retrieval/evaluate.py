"""How often is the right document among the first? `python -m retrieval.evaluate INDEX PAIRS.jsonl`."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.errors import AssistantError, RetrievalError

if TYPE_CHECKING:
    from retrieval.retriever import IndexRetriever
    from retrieval.settings import SearchSettings

DEPTHS: tuple[int, ...] = (1, 3, 5)
MODES: dict[str, dict[str, float]] = {
    "dense": {"dense": 1.0, "lexical": 0.0},
    "lexical": {"dense": 0.0, "lexical": 1.0},
    "fused": {},
}
WEIGHT_GRID: tuple[float, ...] = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Pair:
    """A question, and the documents of which one should be found; none means that nothing should."""

    question: str
    expected: tuple[str, ...]
    modality: str | None = None


@dataclass(frozen=True)
class Recall:
    """How a retriever did on a list of pairs."""

    at: dict[int, float]
    """Depth → share of the questions whose document is among that many first."""
    mrr: float
    """Mean of 1 / rank of the right document, 0 where it is not found."""
    empty: float | None
    """Of the questions that should find nothing, the share that did; None if there are none."""
    milliseconds: float
    """Mean time of one search."""


def read_pairs(path: Path) -> list[Pair]:
    """Read a JSONL file of `{"question", "expected": id, [ids] or [], "modality"?}`.

    Args:
        path: the file.
    Returns:
        The pairs in the file's order.
    Raises:
        RetrievalError: a line is not of that form.
    """
    pairs: list[Pair] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            expected = record["expected"]
            expected = (expected,) if isinstance(expected, str) else tuple(expected)
            pairs.append(Pair(record["question"], expected, record.get("modality")))
        except (ValueError, KeyError, TypeError) as error:
            raise RetrievalError(
                f'{path}:{number}: {line[:40]!r} is no pair ({error}); write {{"question": …, "expected": id or list}}.'
            ) from error
    return pairs


def recall_at_k(retriever: IndexRetriever, pairs: Sequence[Pair], depths: Sequence[int] = DEPTHS) -> Recall:
    """Measure a retriever.

    Args:
        retriever: searched with each question.
        pairs: questions with what should be found.
        depths: the k of each recall.
    Returns:
        Recall at each depth, MRR and time.
    """
    ranks: list[int] = []
    empty: list[bool] = []
    started = time.perf_counter()
    for pair in pairs:
        found = retriever.search(pair.question, k=max(depths), modality=pair.modality)
        if not pair.expected:
            empty.append(not found)
            continue
        ranks.append(next((rank for rank, item in enumerate(found, start=1) if _is_one_of(item.id, pair.expected)), 0))
    milliseconds = 1000 * (time.perf_counter() - started) / max(1, len(pairs))
    count = max(1, len(ranks))
    return Recall(
        at={depth: sum(0 < rank <= depth for rank in ranks) / count for depth in depths},
        mrr=sum(1 / rank for rank in ranks if rank) / count,
        empty=sum(empty) / len(empty) if empty else None,
        milliseconds=milliseconds,
    )


def _is_one_of(found: str, documents: Sequence[str]) -> bool:
    """Whether a chunk's id is that of one of the documents or of a chunk of it."""
    return any(found == document or found.startswith(f"{document}#") for document in documents)


def best_dense_weight(retriever: IndexRetriever, pairs: Sequence[Pair]) -> float:
    """Choose the weight of the dense list, beside a lexical weight of 1.

    Args:
        retriever: over the index to tune.
        pairs: development questions.
    Returns:
        The weight of `WEIGHT_GRID` with the highest MRR, the smallest of equals; right silence counts a little too.
    """
    scored = []
    for weight in WEIGHT_GRID:
        settings = replace(retriever.settings, weights={**retriever.settings.weights, "dense": weight, "lexical": 1.0})
        result = recall_at_k(retriever.with_settings(settings), pairs)
        scored.append((round(result.mrr + (result.empty or 0.0) * 0.1, 6), -weight))
    return -max(scored)[1]


def table(retriever: IndexRetriever, pairs: Sequence[Pair], settings: SearchSettings) -> dict[str, Recall]:
    """Measure each of `MODES`.

    Args:
        retriever: over the index to measure.
        pairs: the questions.
        settings: everything but the weights.
    Returns:
        Name of the mode → its recall.
    """
    return {
        name: recall_at_k(retriever.with_settings(replace(settings, weights={**settings.weights, **weights})), pairs)
        for name, weights in MODES.items()
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exit code 0 done, 2 wrong usage or a broken index."""
    parser = argparse.ArgumentParser(prog="python -m retrieval.evaluate", description=__doc__)
    parser.add_argument("index", type=Path, help="index folder")
    parser.add_argument("pairs", type=Path, help='JSONL: {"question": …, "expected": document id or list of them}')
    parser.add_argument("--model", default="starter", help="model whose encoder made the index (default: starter)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        return _evaluate(arguments)
    except (AssistantError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2


def _evaluate(arguments: argparse.Namespace) -> int:
    from retrieval.encoder import FolderEncoder
    from retrieval.retriever import IndexRetriever

    pairs = read_pairs(arguments.pairs)
    retriever = IndexRetriever.open(arguments.index, FolderEncoder(arguments.model))
    results = table(retriever, pairs, retriever.settings)
    if arguments.json:
        sys.stdout.write(json.dumps({name: vars(result) for name, result in results.items()}, indent=2) + "\n")
        return 0
    sys.stdout.write(f"{'list':8} " + " ".join(f"R@{depth:<5}" for depth in DEPTHS) + " MRR    nothing ms\n")
    for name, result in results.items():
        shares = " ".join(f"{result.at[depth]:<7.3f}" for depth in DEPTHS)
        nothing = "-" if result.empty is None else f"{result.empty:.2f}"
        sys.stdout.write(f"{name:8} {shares} {result.mrr:<6.3f} {nothing:7} {result.milliseconds:.1f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
