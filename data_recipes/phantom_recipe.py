"""The `phantom` recipe: phantoms as PNG files with questions, captions, reports and comparisons, in three splits."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from assistant.errors import DataError
from assistant.prompts import render_report, report_text
from data_recipes.own import Options
from data_recipes.phantom import Phantom, make_phantom, with_prior
from data_recipes.phantom_findings import SITES
from data_recipes.phantom_text import change_question, phantom_caption, phantom_questions, phantom_report
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


def add_options(options: Options) -> None:
    """Add this recipe's options.

    Args:
        options: of the command line.
    """
    options.add_argument(
        "--sites", metavar="A,B", help=f"sites of the training pictures (default all: {','.join(SITES)})"
    )
    options.add_argument(
        "--held-out-sites", metavar="C,D", help="sites of dev and test pictures (default: those of training)"
    )
    options.add_argument(
        "--priors", type=float, default=PRIOR_SHARE, metavar="P", help=f"share with a prior ({PRIOR_SHARE})"
    )
    options.add_argument(
        "--demographics", action="store_true", help="give each phantom a sex and an age by lot, which no picture shows"
    )


def build(
    source: Path | None,
    out: Path,
    *,
    limit: int | None = None,
    seed: int = 0,
    link: bool = False,
    sites: str | None = None,
    held_out_sites: str | None = None,
    priors: float = PRIOR_SHARE,
    demographics: bool = False,
) -> dict[str, int]:
    """Write phantoms and their examples; splits use different seeds, so no phantom stands in two.

    Args:
        source: not used: phantoms are drawn.
        out: folder to write `train.jsonl`, `dev.jsonl`, `test.jsonl` and `images/` into.
        limit: number of phantoms in all; 1000 if None. Splits get 80, 10 and 10 % of them, at least one each.
        seed: 0 to 999999; another seed gives other phantoms.
        link: not used.
        sites: where training pictures come from, such as "A,B"; None for all.
        held_out_sites: the same for dev and test; None for the sites of training.
        priors: share of the phantoms that get a prior and a question on the change.
        demographics: put a sex and an age into the truth. No picture depends on them, so that scores which differ by
            them do so by chance or through the model.
    Returns:
        File name to its number of examples.
    Raises:
        DataError: the seed is 1000000 or more, a site is unknown, or the share of priors is none.
    """
    if seed >= SEED_LIMIT:
        raise DataError(f"--seed is {seed}; phantoms take 0 to {SEED_LIMIT - 1}, the rest is kept for dev and test.")
    if not 0 <= priors <= 1:
        raise DataError(f"--priors is {priors}; use a share from 0 to 1.")
    own = read_sites("--sites", sites)
    plans = {"train": Plan(own, priors, demographics)}
    other = Plan(read_sites("--held-out-sites", held_out_sites) or own, priors, demographics)
    total = DEFAULT_LIMIT if limit is None else limit
    written = {}
    for split, place, share in _SPLITS:
        count = max(1, round(total * share))
        (out / "images" / split).mkdir(parents=True, exist_ok=True)
        examples = _examples(out, split, seed + place * SEED_LIMIT, count, plans.get(split, other))
        written[f"{split}.jsonl"] = write_examples(out / f"{split}.jsonl", examples)
        logger.info("drew %d phantoms for %s", count, split)
    return written


@dataclass(frozen=True)
class Plan:
    """How the phantoms of a split are drawn."""

    sites: tuple[str, ...] = ()
    """Empty for all of them, by lot."""
    priors: float = PRIOR_SHARE
    demographics: bool = False


def read_sites(option: str, text: str | None) -> tuple[str, ...]:
    """Read sites from a command line.

    Args:
        option: its name, for the message.
        text: "A,B", or None.
    Returns:
        The sites; none for None.
    Raises:
        DataError: one is unknown.
    """
    given = tuple(part.strip() for part in text.split(",")) if text is not None else ()
    if unknown := [one for one in given if one not in SITES]:
        raise DataError(f"{option} has {unknown[0]!r}; use some of {', '.join(SITES)}, with commas between.")
    return given


def _draw(seed: int, index: int, plan: Plan) -> Phantom:
    """Draw a phantom as a plan says; its own lot decides where the plan does not."""
    lot = random.Random(f"plan/{seed}/{index}")
    phantom = make_phantom(seed, index, site=lot.choice(plan.sites) if plan.sites else None)
    if not plan.demographics:
        return phantom
    person = {"sex": lot.choice(("female", "male")), "age": lot.randint(18, 95)}
    return replace(phantom, truth={**phantom.truth, "demographics": person})


def _examples(out: Path, split: str, seed: int, count: int, plan: Plan) -> Iterator[Example]:
    for index in range(count):
        rng = random.Random(f"{seed}/{index}")
        phantom = _draw(seed, index, plan)
        name = f"images/{split}/{index:06d}.png"
        save(phantom, out / name)
        yield from phantom_examples(phantom, (name,), rng)
        if rng.random() < plan.priors:
            prior, present = with_prior(phantom, rng)
            prior_name = f"images/{split}/{index:06d}-prior.png"
            save(prior, out / prior_name)
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


def save(phantom: Phantom, path: Path) -> None:
    """Write the picture as an 8-bit grey PNG; its three channels are alike.

    Args:
        phantom: what to write.
        path: file to make.
    """
    from PIL import Image

    Image.fromarray(phantom.pixels[:, :, 0]).save(path, compress_level=1)
