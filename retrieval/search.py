"""Search an index folder from the command line: `python -m retrieval.search INDEX "query"`.

By words, by a picture, or by both; for passages, figures or cases. Filters say what may be returned at all; --modality
only prefers.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.ending import in_words, run_command
from assistant.errors import AssistantError
from assistant.vocabulary import MODALITIES

if TYPE_CHECKING:
    from assistant.evidence import Evidence
    from retrieval.encoder import Encoder
    from retrieval.retriever import IndexRetriever

KINDS = ("passage", "figure", "case")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exit code 0 done (also when nothing is near enough), 2 wrong usage or a broken index."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    if not arguments.query.strip() and arguments.image is None:
        parser.error("give a query, an --image, or both")
    if arguments.k < 1:
        parser.error(f"-k is {arguments.k}; use 1 or more")
    try:
        found = _search(arguments)
    except (AssistantError, OSError) as error:
        sys.stderr.write(f"error: {in_words(error)}\n")
        return 2
    if arguments.json:
        sys.stdout.write(json.dumps([item.to_dict() for item in found], indent=2, ensure_ascii=False) + "\n")
    else:
        pieces = [_shown(number, item) for number, item in enumerate(found, start=1)]
        sys.stdout.write(("\n\n".join(pieces) or "Nothing near enough.") + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m retrieval.search", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("index", type=Path, help="index folder")
    parser.add_argument("query", nargs="?", default="", help="free text; may be left out when an image is given")
    parser.add_argument("--image", type=Path, help="picture to search by")
    parser.add_argument("-k", type=int, default=3, help="most pieces to return (default: 3)")
    parser.add_argument("--modality", choices=MODALITIES, help="prefer evidence about this modality")
    parser.add_argument("--model", default="starter", help="model whose encoder made the index (default: starter)")
    parser.add_argument(
        "--encoding", default="exact", metavar="E",
        help="encoder's numbers: exact, float32, bfloat16, int8, or auto, the quickest that passes (default: exact)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    only = parser.add_argument_group("filters", "each may be given more than once; all must hold")
    only.add_argument("--kind", action="append", choices=KINDS, default=[], help="only passages, figures or cases")
    only.add_argument(
        "--only-modality", action="append", choices=MODALITIES, default=[], metavar="NAME", help="only this modality"
    )
    only.add_argument("--anatomy", action="append", default=[], metavar="NAME", help="only this body region")
    only.add_argument("--licence", action="append", default=[], metavar="NAME", help='only this licence, or "CC-BY*"')
    only.add_argument("--since", metavar="DATE", help="only from this date on: 2021, 2021-03 or 2021-03-09")
    only.add_argument("--until", metavar="DATE", help="only up to this date")
    only.add_argument("--exclude-patient", metavar="KEY", help="leave out the cases of this patient key")
    how = parser.add_argument_group("how to rank")
    how.add_argument("--mode", choices=("hybrid", "dense", "lexical"), default="hybrid", help="lists (default: hybrid)")
    how.add_argument("--fusion", choices=("rank", "score"), help="how lists are joined (default: as the index says)")
    how.add_argument("--diversity", type=float, help="0 to 1: prefer pieces unlike those before (default: 0)")
    how.add_argument("--floor", type=float, help="support below which nothing is shown, 0 to 1 (default: 0.5)")
    how.add_argument("--rerank", type=Path, metavar="MODEL", help="local folder of a cross-encoder or text encoder")
    how.add_argument("--no-polarity", action="store_true", help="do not mark down what only denies the words asked")
    return parser


def _search(arguments: argparse.Namespace) -> list[Evidence]:
    from retrieval.encoder import FolderEncoder
    from retrieval.facets import Filters

    filters = Filters(
        kinds=tuple(arguments.kind),
        modalities=tuple(arguments.only_modality),
        anatomies=tuple(arguments.anatomy),
        licences=tuple(arguments.licence),
        since=arguments.since,
        until=arguments.until,
    )
    encoder = FolderEncoder(arguments.model, arguments.encoding)
    retriever = _retriever(arguments, encoder)
    embedding, modality, patient = None, arguments.modality, arguments.exclude_patient
    if arguments.image is not None:
        from assistant.imaging.load import load_picture

        picture = load_picture(arguments.image)
        embedding = encoder.embed_images([picture])[0]
        modality, patient = modality or picture.modality, patient or picture.patient_key
    return retriever.search(
        arguments.query,
        image_embedding=embedding,
        k=arguments.k,
        modality=modality,
        exclude_patient=patient,
        filters=filters,
    )


def _retriever(arguments: argparse.Namespace, encoder: Encoder) -> IndexRetriever:
    from dataclasses import replace

    from retrieval.evaluate import MODES
    from retrieval.rerank import open_reranker
    from retrieval.retriever import IndexRetriever

    reranker = open_reranker(arguments.rerank) if arguments.rerank is not None else None
    retriever = IndexRetriever.open(arguments.index, encoder, reranker=reranker)
    given = {name: getattr(arguments, name) for name in ("fusion", "diversity", "floor")}
    weights = {**retriever.settings.weights, **MODES.get(arguments.mode, {})}
    changed = {name: value for name, value in given.items() if value is not None}
    return retriever.with_settings(
        replace(retriever.settings, weights=weights, polarity=not arguments.no_polarity, **changed)
    )


def _shown(number: int, item: Evidence) -> str:
    body = textwrap.fill(item.text, width=100, initial_indent="    ", subsequent_indent="    ")
    notes = [f"{item.source}, {item.licence}", *([f"image {item.image}"] if item.image else []), *item.references]
    return "\n".join(
        [f"[{number}] {item.title}  ({item.score:.3f}, {item.id})", body, *(f"    – {note}" for note in notes)]
    )


if __name__ == "__main__":
    raise SystemExit(run_command(main))
