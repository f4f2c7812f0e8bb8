"""Search an index folder from the command line: `python -m retrieval.search INDEX "query"`."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.errors import AssistantError
from assistant.vocabulary import MODALITIES

if TYPE_CHECKING:
    from assistant.evidence import Evidence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exit code 0 done (also when nothing is near enough), 2 wrong usage or a broken index."""
    parser = argparse.ArgumentParser(prog="python -m retrieval.search", description=__doc__)
    parser.add_argument("index", type=Path, help="index folder")
    parser.add_argument("query", nargs="?", default="", help="free text; may be left out when an image is given")
    parser.add_argument("--image", type=Path, help="picture to search by")
    parser.add_argument("-k", type=int, default=3, help="most pieces to return (default: 3)")
    parser.add_argument("--modality", choices=MODALITIES, help="prefer evidence about this modality")
    parser.add_argument("--model", default="starter", help="model whose encoder made the index (default: starter)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    if not arguments.query.strip() and arguments.image is None:
        parser.error("give a query, an --image, or both")
    if arguments.k < 1:
        parser.error(f"-k is {arguments.k}; use 1 or more")
    try:
        found = _search(arguments)
    except (AssistantError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    if arguments.json:
        sys.stdout.write(json.dumps([item.to_dict() for item in found], indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(
            "\n\n".join(_shown(number, item) for number, item in enumerate(found, start=1))
            or "Nothing near enough." + "\n"
        )
    return 0


def _search(arguments: argparse.Namespace) -> list[Evidence]:
    from retrieval.encoder import FolderEncoder
    from retrieval.retriever import IndexRetriever

    encoder = FolderEncoder(arguments.model)
    retriever = IndexRetriever.open(arguments.index, encoder)
    embedding, modality, patient = None, arguments.modality, None
    if arguments.image is not None:
        from assistant.imaging.load import load_picture

        picture = load_picture(arguments.image)
        embedding = encoder.embed_images([picture])[0]
        modality, patient = modality or picture.modality, picture.patient_key
    return retriever.search(
        arguments.query, image_embedding=embedding, k=arguments.k, modality=modality, exclude_patient=patient
    )


def _shown(number: int, item: Evidence) -> str:
    body = textwrap.fill(item.text, width=100, initial_indent="    ", subsequent_indent="    ")
    notes = [f"{item.source}, {item.licence}", *([f"image {item.image}"] if item.image else []), *item.references]
    return "\n".join(
        [f"[{number}] {item.title}  ({item.score:.3f}, {item.id})", body, *(f"    – {note}" for note in notes)]
    )


if __name__ == "__main__":
    sys.exit(main())
