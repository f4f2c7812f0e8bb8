"""Is the evidence under an answer about the picture? `python -m benchmarks.evidence`, on phantoms and real pictures.

Counts the pieces of evidence under reports and answers whose modality or body region is another than the picture's.
Pictures come without a header, so that the assistant has to see what they are. `--every` lists what the search found
without asking whether it is about the picture (the setting `evidence_elsewhere`).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import assistant
from assistant.ending import run_command

if TYPE_CHECKING:
    from assistant.conversation import Answer, Report
    from assistant.imaging.picture import Picture

SEED = 880001
"""Of the phantoms; none of this series is trained on."""
INDEX = Path(assistant.__file__).parent / "starter" / "index"
QUESTIONS = ("What abnormality is seen?", "What kind of image is this?", "Is there a pleural effusion?")

Shown = tuple["Picture", str, str]
"""A picture, its modality and its region."""


def phantoms(count: int) -> Iterator[Shown]:
    """Draw phantoms and tell what they are.

    Args:
        count: how many.
    Yields:
        Each with its modality and region.
    """
    from assistant.imaging.picture import Picture
    from data_recipes.phantom import make_phantom

    for index in range(count):
        phantom = make_phantom(SEED, index)
        yield Picture(phantom.pixels), phantom.modality, phantom.anatomy


def pictures(data: Path, each: int) -> Iterator[Shown]:
    """Read development pictures of a manifest folder.

    Args:
        data: the folder.
        each: the most of one modality and region.
    Yields:
        Each with its modality and region.
    """
    from assistant.imaging.load import load_picture

    taken: Counter[tuple[str, str]] = Counter()
    for line in (data / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        kind = record["modality"], record["anatomy"]
        if record["split"] == "dev" and taken[kind] < each:
            taken[kind] += 1
            yield load_picture(data / record["image"]), *kind


def count_strays(shown: Sequence[Shown], made: Sequence[Answer | Report]) -> dict[str, int]:
    """Count evidence by whether it is about its picture.

    Args:
        shown: the pictures.
        made: what was said of each.
    Returns:
        How many were drafted, have evidence and cite it; how many pieces there are, and of these how many are of
        another modality, and how many of another region.
    """
    from assistant.conversation import Report
    from assistant.regions import ANYWHERE, meet
    from assistant.review import cited

    told: Counter[str] = Counter(pictures=len(shown))
    for (_, modality, region), one in zip(shown, made, strict=True):
        if one.abstained:
            continue
        text = " ".join(one.sections.values()) if isinstance(one, Report) else one.text
        told += Counter(said=1, with_evidence=bool(one.evidence), citing=bool(cited(text)), pieces=len(one.evidence))
        for piece in one.evidence:
            about = piece.anatomy or "any"
            told["other_modality"] += piece.modality not in (None, modality)
            told["other_region"] += about not in ANYWHERE and not meet(about, region)
    return dict(told)


def measure(model: str, index: Path, count: int, data: Path | None, each: int, *, every: bool) -> dict[str, Any]:
    """Count over reports and three questions.

    Args:
        model: `starter` or a model folder.
        index: made with this model's encoder.
        count: phantoms.
        data: a manifest folder, or None for phantoms alone.
        each: the most of its development pictures of one modality and region.
        every: list what is about other pictures too.
    Returns:
        Counts for the report and for each question.
    """
    from assistant.chat import MedicalAssistant
    from assistant.config import GenerationConfig
    from assistant.conversation import Question, ReportRequest
    from assistant.model.load import load_model
    from retrieval.encoder import ModelEncoder
    from retrieval.retriever import IndexRetriever

    loaded = load_model(model)
    settings = GenerationConfig(evidence_elsewhere=every)
    drafts = MedicalAssistant(loaded, IndexRetriever.open(index, ModelEncoder(loaded)), settings)
    shown = [*phantoms(count), *(pictures(data, each) if data is not None else ())]
    told = {"a report": count_strays(shown, list(drafts.reports(ReportRequest((one,)) for one, _, _ in shown)))}
    for text in QUESTIONS:
        asked = (Question(text, (one,)) for one, _, _ in shown)
        told[text] = count_strays(shown, list(drafts.answers(asked)))
    return told


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the result goes to standard output as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evidence", description=__doc__)
    parser.add_argument("--model", default="starter", help="starter or a model folder (default: starter)")
    parser.add_argument("--index", type=Path, default=INDEX, help="made with its encoder (default: the one that ships)")
    parser.add_argument("--count", type=int, default=40, help="phantoms (default: 40)")
    parser.add_argument("--data", type=Path, help="manifest folder, whose development pictures are counted too")
    parser.add_argument("--each", type=int, default=10, help="pictures of one modality and region (default: 10)")
    parser.add_argument("--every", action="store_true", help="list evidence on other pictures too")
    arguments = parser.parse_args(argv)
    told = measure(
        arguments.model, arguments.index, max(1, arguments.count), arguments.data, arguments.each, every=arguments.every
    )
    sys.stdout.write(json.dumps(told, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
