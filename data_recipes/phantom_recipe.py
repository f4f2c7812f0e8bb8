"""The `phantom` recipe: phantoms as PNG files with questions, captions, reports and comparisons, in three splits."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from pathlib import Path

from assistant.errors import DataError
from assistant.prompts import render_report, report_text
from data_recipes.phantom import Phantom, make_phantom, phantom_caption, phantom_questions, phantom_report, with_prior
from data_recipes.phantom_text import change_question
from data_recipes.schema import Example, write_examples

logger = logging.getLogger(__name__)

DEFAULT_LIMIT = 1000
PRIOR_SHARE = 0.1
"""Share of the phantoms that get a prior and a question on the change."""
SOURCE = "phantom"
LICENCE = "CC0-1.0"
CAPTION_REQUEST = "Describe this image."
SEED_LIMIT = 1_000_000
"""Seeds below it are for training; development and test add it once and twice, and so never meet a training seed."""
_SPLITS: tuple[tuple[str, int, float], ...] = (("train", 0, 0.8), ("dev", 1, 0.1), ("test", 2, 0.1))
"""Split, how often `SEED_LIMIT` is added to the seed, its share of the phantoms."""


def build(
    source: Path | None, out: Path, *, limit: int | None = None, seed: int = 0, link: bool = False
) -> dict[str, int]:
    """Write phantoms and their examples; splits use different seeds, so no phantom stands in two.

    Args:
        source: not used: phantoms are drawn.
        out: folder to write `train.jsonl`, `dev.jsonl`, `test.jsonl` and `images/` into.
        limit: number of phantoms in all; 1000 if None. Splits get 80, 10 and 10 % of them, at least one each.
        seed: 0 to 999999; another seed gives other phantoms.
        link: not used.
    Returns:
        File name to its number of examples.
    Raises:
        DataError: the seed is 1000000 or more.
    """
    if seed >= SEED_LIMIT:
        raise DataError(f"--seed is {seed}; phantoms take 0 to {SEED_LIMIT - 1}, the rest is kept for dev and test.")
    total = DEFAULT_LIMIT if limit is None else limit
    written = {}
    for split, place, share in _SPLITS:
        count = max(1, round(total * share))
        (out / "images" / split).mkdir(parents=True, exist_ok=True)
        examples = _examples(out, split, seed + place * SEED_LIMIT, count)
        written[f"{split}.jsonl"] = write_examples(out / f"{split}.jsonl", examples)
        logger.info("drew %d phantoms for %s", count, split)
    return written


def _examples(out: Path, split: str, seed: int, count: int) -> Iterator[Example]:
    for index in range(count):
        rng = random.Random(f"{seed}/{index}")
        phantom = make_phantom(seed, index)
        name = f"images/{split}/{index:06d}.png"
        _save(phantom, out / name)
        yield from phantom_examples(phantom, (name,), rng)
        if rng.random() < PRIOR_SHARE:
            prior, present = with_prior(phantom, rng)
            prior_name = f"images/{split}/{index:06d}-prior.png"
            _save(prior, out / prior_name)
            question, answer, answer_type, choices = change_question(present, rng)
            both = (prior_name, name)
            yield _example(present, "change", both, question, answer, "vqa", answer_type, choices)
            sections = phantom_report(present, rng)
            sections["findings"] = f"{sections['findings']} Compared with the prior: {answer}."
            request = report_text(has_prior=True)
            yield _example(present, "compared", both, request, render_report(sections), "report", "report", None)


def phantom_examples(phantom: Phantom, images: tuple[str, ...], rng: random.Random) -> Iterator[Example]:
    """Make all examples on one phantom: its questions, a caption, a report.

    Args:
        phantom: what is asked about.
        images: its path or paths, relative to the data file.
        rng: source of chance for wording.
    Yields:
        Questions first, then the caption, then the report.
    """
    for number, (question, answer, answer_type, choices) in enumerate(phantom_questions(phantom, rng)):
        yield _example(phantom, str(number), images, question, answer, "vqa", answer_type, choices)
    yield _example(phantom, "caption", images, CAPTION_REQUEST, phantom_caption(phantom), "caption", "open", None)
    report = render_report(phantom_report(phantom, rng))
    yield _example(phantom, "report", images, report_text(), report, "report", "report", None)


def _example(
    phantom: Phantom,
    part: str,
    images: tuple[str, ...],
    question: str,
    answer: str,
    task: str,
    answer_type: str,
    choices: tuple[str, ...] | None,
) -> Example:
    key = f"phantom-{phantom.seed}-{phantom.index:06d}"
    return Example(
        id=f"{key}#{part}",
        images=images,
        messages=[{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
        task=task,
        answer_type=answer_type,
        choices=choices,
        truth=phantom.truth,
        modality=phantom.modality,
        anatomy=phantom.anatomy,
        patient=key,
        site=phantom.site,
        source=SOURCE,
        licence=LICENCE,
    )


def _save(phantom: Phantom, path: Path) -> None:
    """Write the picture as an 8-bit grey PNG; its three channels are alike."""
    from PIL import Image

    Image.fromarray(phantom.pixels[:, :, 0]).save(path, compress_level=1)
