"""The `prerequisites` recipe: what one must know before the questions of an example file can be answered.

For the modalities, regions and findings that the examples speak of, it asks the knowledge cards, or passages of your
own: text-only questions whose answers are the passages' own sentences. Learned first, they give the pictures something
to be understood by. Passages on findings that no example has are left out.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from assistant.errors import DataError
from data_recipes.auditing.tally import normal
from data_recipes.own import Options
from data_recipes.schema import Example, read_examples, write_examples
from retrieval.corpus import read_corpora
from retrieval.passage import Passage
from retrieval.reading import KNOWLEDGE

logger = logging.getLogger(__name__)

NAME = "prerequisites.jsonl"
_QUESTIONS: dict[str | None, tuple[str, ...]] = {
    None: ("What is known of {title}?", "Explain: {title}.", "What should one know about {title}?"),
    "appearance": ("How does {title} look?", "What is the appearance of {title}?"),
    "pitfalls": ("What are the pitfalls of {title}?", "What can be mistaken in {title}?"),
    "differential": ("What is the differential diagnosis of {title}?", "What else can look like {title}?"),
    "meaning": ("What does {title} mean?", "Why does {title} matter?"),
}
_ANY = ("any", None)


def add_options(options: Options) -> None:
    """Add this recipe's options.

    Args:
        options: of the command line.
    """
    options.add_argument(
        "--corpus",
        action="append",
        metavar="PATH",
        help="a folder of cards or a JSONL file of passages to ask, instead of the cards of the project; repeat it",
    )


def build(
    source: Path, out: Path, *, limit: int | None = None, seed: int = 0, link: bool = False, **options: Any
) -> dict[str, int]:
    """Write `prerequisites.jsonl`: text-only questions on what the examples are about.

    Args:
        source: a file of examples, such as `train.jsonl`.
        out: folder to write into.
        limit: at most this many questions.
        seed: decides the wording.
        link: not used: there are no pictures.
        **options: as `add_options` names them.
    Returns:
        File name to its number of examples.
    Raises:
        DataError: no passage is on anything that the examples speak of.
    """
    del link
    words, modalities = topics(read_examples(source))
    passages = read_corpora(options["corpus"] or [KNOWLEDGE]).passages
    chosen = [one for one in passages if is_needed(one, words, modalities)]
    if not chosen:
        raise DataError(
            f"none of {len(passages)} passages is on a finding or modality of {source}; give others with --corpus."
        )
    made = list(_examples(chosen[:limit], seed))
    logger.info("%d of %d passages are on what the examples ask", len(chosen), len(passages))
    return {NAME: write_examples(out / NAME, made)}


def topics(examples: Iterator[Example]) -> tuple[str, set[str]]:
    """Gather what examples speak of.

    Args:
        examples: any.
    Returns:
        All words of their questions, answers and choices, normalised, each kind of sentence once; and their modalities.
    """
    texts: Counter[str] = Counter()
    modalities: set[str] = set()
    for example in examples:
        for message in example.messages:
            texts[normal(message["content"])] += 1
        for choice in example.choices or ():
            texts[normal(choice)] += 1
        if example.modality:
            modalities.add(example.modality)
    return "\n".join(f" {text} " for text in texts), modalities


def is_needed(passage: Passage, words: str, modalities: set[str]) -> bool:
    """Tell whether a passage is on something that the examples speak of.

    Args:
        passage: with a finding and keywords, as cards have.
        words: what `topics` gave.
        modalities: what `topics` gave.
    Returns:
        True where its modality is one of theirs and its finding or a keyword stands in their words, or where it is on
        the modality itself.
    """
    if passage.modality not in _ANY and passage.modality not in modalities:
        return False
    if passage.finding in ("modality", "normal"):
        return passage.modality in modalities
    names = [passage.finding, *passage.keywords] if passage.finding else [passage.title]
    return any(f" {normal(name)}" in words for name in names if name and len(normal(name)) > 2)


def _examples(passages: Sequence[Passage], seed: int) -> Iterator[Example]:
    for passage in passages:
        rng = random.Random(f"{seed}/{passage.id}")
        wordings = _QUESTIONS.get((passage.section or "").lower() or None)
        title = passage.title[:1].lower() + passage.title[1:] if passage.title[1:2].islower() else passage.title
        question = (
            rng.choice(wordings).format(title=title)
            if wordings
            else f"What holds for {str(passage.section).lower()} of {title}?"
        )
        yield Example(
            id=f"knowledge/{passage.id}",
            images=(),
            messages=[{"role": "user", "content": question}, {"role": "assistant", "content": passage.text}],
            task="chat",
            answer_type="open",
            modality=passage.modality,
            anatomy=passage.anatomy,
            source=passage.source,
            licence=passage.licence,
        )
