"""How often is the right document among the first? `python -m retrieval.evaluate INDEX PAIRS.jsonl`.

With `--cases DIR` in place of pairs: how many of the first five cases that a picture finds are of its own modality and
region? DIR holds `manifest.jsonl` with image, modality, anatomy and split in each line.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.ending import in_words, run_command
from assistant.errors import AssistantError, RetrievalError
from retrieval.scores import ndcg

if TYPE_CHECKING:
    import numpy as np

    from retrieval.encoder import Encoder
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
    image: str | None = None
    """Path of a picture to search by; with an empty question by the picture alone."""

    @property
    def direction(self) -> str:
        """What is searched by: "text", "image" or "both"."""
        return "text" if self.image is None else "both" if self.question.strip() else "image"


@dataclass(frozen=True)
class Recall:
    """How a retriever did on a list of pairs."""

    at: dict[int, float]
    """Depth → share of the questions whose document is among that many first."""
    mrr: float
    """Mean of 1 / rank of the right document, 0 where it is not found."""
    ndcg: float
    """Mean discounted gain among the deepest k, 1 for all right documents first."""
    empty: float | None
    """Of the questions that should find nothing, the share that did; None if there are none."""
    milliseconds: float
    """Mean time of one search."""


def read_pairs(path: Path) -> list[Pair]:
    """Read a JSONL file of `{"question", "expected": id, [ids] or [], "modality"?, "image"?}`.

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
            image = str(path.parent / record["image"]) if record.get("image") else None
            pairs.append(Pair(record.get("question", "") if image else record["question"], expected,
                              record.get("modality"), image))  # fmt: skip
        except (ValueError, KeyError, TypeError) as error:
            raise RetrievalError(
                f'{path}:{number}: {line[:40]!r} is no pair ({error}); write {{"question": …, "expected": id or list}}.'
            ) from error
    return pairs


def recall_at_k(
    retriever: IndexRetriever,
    pairs: Sequence[Pair],
    depths: Sequence[int] = DEPTHS,
    joints: Mapping[str, np.ndarray] | None = None,
) -> Recall:
    """Measure a retriever.

    Args:
        retriever: searched with each question.
        pairs: questions with what should be found.
        depths: the k of each recall.
        joints: embedding (E,) of each picture that a pair names.
    Returns:
        Recall at each depth, MRR, nDCG and time.
    """
    joints = joints or {}
    ranks: list[int] = []
    gains: list[float] = []
    empty: list[bool] = []
    started = time.perf_counter()
    for pair in pairs:
        joint = joints.get(pair.image) if pair.image else None
        found = retriever.search(pair.question, image_embedding=joint, k=max(depths), modality=pair.modality)
        if not pair.expected:
            empty.append(not found)
            continue
        relevant = [_is_one_of(item.id, pair.expected) for item in found]
        ranks.append(relevant.index(True) + 1 if True in relevant else 0)
        gains.append(ndcg(relevant, len(pair.expected), max(depths)))
    milliseconds = 1000 * (time.perf_counter() - started) / max(1, len(pairs))
    count = max(1, len(ranks))
    return Recall(
        at={depth: sum(0 < rank <= depth for rank in ranks) / count for depth in depths},
        mrr=sum(1 / rank for rank in ranks if rank) / count,
        ndcg=sum(gains) / count,
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


def table(
    retriever: IndexRetriever,
    pairs: Sequence[Pair],
    settings: SearchSettings,
    joints: Mapping[str, np.ndarray] | None = None,
) -> dict[str, Recall]:
    """Measure each of `MODES`, and each direction of search where there is more than one.

    Args:
        retriever: over the index to measure.
        pairs: the questions.
        settings: everything but the weights.
        joints: embedding (E,) of each picture that a pair names.
    Returns:
        Name of the mode, or "fused, DIRECTION" → its recall.
    """
    results = {
        name: recall_at_k(
            retriever.with_settings(replace(settings, weights={**settings.weights, **weights})), pairs, joints=joints
        )
        for name, weights in MODES.items()
    }
    directions = sorted({pair.direction for pair in pairs})
    for direction in directions if len(directions) > 1 else ():
        part = [pair for pair in pairs if pair.direction == direction]
        results[f"fused, {direction}"] = recall_at_k(retriever.with_settings(settings), part, joints=joints)
    return results


def embed_pictures(encoder: Encoder, pairs: Sequence[Pair]) -> dict[str, np.ndarray]:
    """Return the embedding (E,) of every picture that pairs name; a picture that cannot be read is an ImageError."""
    from assistant.imaging.load import load_picture

    paths = sorted({pair.image for pair in pairs if pair.image})
    return {path: encoder.embed_images([load_picture(path)])[0] for path in paths}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exit code 0 done, 2 wrong usage or a broken index."""
    parser = argparse.ArgumentParser(
        prog="python -m retrieval.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("index", type=Path, help="index folder")
    parser.add_argument(
        "pairs", type=Path, nargs="?", help='JSONL: {"question": …, "expected": document id or list of them}'
    )
    parser.add_argument("--cases", type=Path, metavar="DIR", help="manifest folder whose pictures search for cases")
    parser.add_argument("--split", default="dev", help="of the pictures; not one that was indexed (default: dev)")
    parser.add_argument("--case-source", metavar="NAME", help="only pictures of this source, such as VQA-RAD")
    parser.add_argument(
        "--alike", nargs="+", default=[], metavar="A=B", help="regions that count as one, such as brain=head"
    )
    parser.add_argument("--model", default="starter", help="model whose encoder made the index (default: starter)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args(argv)
    if (arguments.pairs is None) == (arguments.cases is None):
        parser.error("give either PAIRS or --cases DIR")
    if wrong := [one for one in arguments.alike if not all(one.partition("="))]:
        parser.error(f"--alike is {wrong[0]!r}; write two regions as brain=head")
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        return _evaluate(arguments) if arguments.cases is None else _evaluate_cases(arguments)
    except (AssistantError, OSError) as error:
        sys.stderr.write(f"error: {in_words(error)}\n")
        return 2


def _evaluate(arguments: argparse.Namespace) -> int:
    from retrieval.encoder import FolderEncoder
    from retrieval.retriever import IndexRetriever

    pairs = read_pairs(arguments.pairs)
    encoder = FolderEncoder(arguments.model)
    retriever = IndexRetriever.open(arguments.index, encoder)
    results = table(retriever, pairs, retriever.settings, embed_pictures(encoder, pairs))
    if arguments.json:
        sys.stdout.write(json.dumps({name: vars(result) for name, result in results.items()}, indent=2) + "\n")
        return 0
    sys.stdout.write(f"{'list':12} " + " ".join(f"R@{depth:<5}" for depth in DEPTHS) + " MRR    nDCG   nothing ms\n")
    for name, result in results.items():
        shares = " ".join(f"{result.at[depth]:<7.3f}" for depth in DEPTHS)
        nothing = "-" if result.empty is None else f"{result.empty:.2f}"
        ranked = f"{result.mrr:<6.3f} {result.ndcg:<6.3f}"
        sys.stdout.write(f"{name:12} {shares} {ranked} {nothing:7} {result.milliseconds:.1f}\n")
    return 0


def _evaluate_cases(arguments: argparse.Namespace) -> int:
    from retrieval.encoder import FolderEncoder
    from retrieval.labelled import labelled
    from retrieval.retriever import IndexRetriever
    from retrieval.similar_cases import precision_of_cases, shown

    encoder = FolderEncoder(arguments.model)
    retriever = IndexRetriever.open(arguments.index, encoder)
    if not retriever.index.manifest.counts.get("case"):
        raise RetrievalError(f"{arguments.index} holds no case; build it with the cases of another split.")
    asked = labelled(arguments.cases, arguments.split, encoder, source=arguments.case_source)
    result = precision_of_cases(retriever, asked, alike=dict(one.split("=", 1) for one in arguments.alike))
    sys.stdout.write(json.dumps(result, indent=2, ensure_ascii=False) + "\n" if arguments.json else shown(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
