"""Build an index folder from corpora: `python -m retrieval.build CORPUS... --out DIR`.

A CORPUS is a folder of Markdown cards, a JSONL file of passages or cases, or the word `knowledge` for the cards that
ship with the project.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import AssistantError

if TYPE_CHECKING:
    from retrieval.corpus import Corpus
    from retrieval.encoder import Encoder
    from retrieval.manifest import Manifest

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exit code 0 done, 2 wrong usage or a broken corpus."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        result = _build(arguments)
    except (AssistantError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    shown = json.dumps(result, indent=2, ensure_ascii=False) if arguments.json else _summary(result)
    sys.stdout.write(f"{shown}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m retrieval.build", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", nargs="+", metavar="CORPUS", help="folder of cards, .jsonl file, or knowledge")
    parser.add_argument("--out", type=Path, required=True, help="index folder to write; an older index is replaced")
    parser.add_argument("--model", default="starter", help="model whose encoder to use: starter or a folder")
    parser.add_argument("--words", type=int, default=180, help="longest chunk, in words (default: 180)")
    parser.add_argument("--split", default="train", help="split of cases to take, or all (default: train)")
    parser.add_argument("--questions", type=Path, help="JSONL of question and expected document: sets the dense weight")
    parser.add_argument("--dry-run", action="store_true", help="read and check the corpora, write nothing")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    return parser


def _build(arguments: argparse.Namespace) -> dict[str, Any]:
    from retrieval.corpus import read_corpora

    started = time.perf_counter()
    corpus = read_corpora(arguments.corpus, budget=arguments.words, split=arguments.split)
    result: dict[str, Any] = {
        "out": str(arguments.out),
        "records": len(corpus.passages),
        "documents": len({passage.document for passage in corpus.passages}),
        "duplicates": corpus.duplicates,
        "other_split": corpus.skipped,
        "licences": dict(Counter(passage.licence for passage in corpus.passages)),
        "dry_run": arguments.dry_run,
    }
    if arguments.dry_run:
        return result
    manifest, weights = _write(arguments, corpus)
    return {
        **result,
        "encoder": manifest.encoder,
        "fingerprint": manifest.fingerprint,
        "weights": weights,
        "megabytes": round(sum(entry["bytes"] for entry in manifest.files.values()) / 1e6, 3),
        "seconds": round(time.perf_counter() - started, 2),
    }


def _write(arguments: argparse.Namespace, corpus: Corpus) -> tuple[Manifest, dict[str, float]]:
    from retrieval.encoder import FolderEncoder
    from retrieval.write import build_index

    encoder = FolderEncoder(arguments.model)
    manifest = build_index(
        corpus, encoder, arguments.out, sources=arguments.corpus, model=arguments.model, progress=_report_progress
    )
    if arguments.questions:
        manifest = tune(arguments.out, encoder, arguments.questions)
    return manifest, manifest.weights


def tune(folder: Path, encoder: Encoder, questions: Path) -> Manifest:
    """Choose the dense list's weight on development questions and note it in the manifest.

    Args:
        folder: an index folder.
        encoder: the one it was built with.
        questions: JSONL of pairs, as `retrieval.evaluate` reads it.
    Returns:
        The new manifest.
    Raises:
        RetrievalError: the index or the questions cannot be read.
    """
    from retrieval.evaluate import best_dense_weight, read_pairs
    from retrieval.retriever import IndexRetriever

    pairs = read_pairs(questions)
    retriever = IndexRetriever.open(folder, encoder)
    weight = best_dense_weight(retriever, pairs)
    manifest = retriever.index.manifest
    manifest = dataclasses.replace(manifest, weights={**manifest.weights, "dense": weight, "lexical": 1.0})
    manifest.write(folder)
    logger.info("dense weight %.2f, chosen on %d questions", weight, len(pairs))
    return manifest


def _report_progress(done: int, total: int) -> None:
    if done == total or done % 1024 == 0:
        logger.info("embedded %d of %d records", done, total)


def _summary(result: dict[str, Any]) -> str:
    licences = ", ".join(f"{name}: {count}" for name, count in result["licences"].items())
    lines = [
        f"{result['records']} records of {result['documents']} documents ({licences}); "
        f"{result['duplicates']} duplicates and {result['other_split']} of other splits left out"
    ]
    if result["dry_run"]:
        lines.append(f"dry run: nothing written to {result['out']}")
    else:
        lines.append(
            f"wrote {result['out']}: {result['megabytes']} MB, fingerprint {result['fingerprint']}, "
            f"in {result['seconds']} s"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
