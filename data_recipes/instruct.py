"""The `instruct` recipe: more questions, reports, header lines and numbered evidence from what is already known.

It reads example files and writes theirs and its own, one file a source. Nothing is invented: every added answer
follows from the example's truth. Evidence is drawn so that it does not give the answer away: the right card comes
with others of the same kind, or not at all.
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from assistant.prompts import evidence_lines, header_line, question_text, render_report, report_text
from data_recipes.instruct_cards import Cards, is_about
from data_recipes.instruct_first import NOTHING_NAMED, Asked, classes_of, findings_of, first_questions, has_class
from data_recipes.instruct_words import (
    FINDING_QUESTIONS,
    LABEL_SETS,
    MODALITY_CHECKS,
    MODALITY_QUESTIONS,
    PHANTOM_QUESTIONS,
    REGION_QUESTIONS,
    words_for,
)
from data_recipes.own import place_image as place_image  # also for those who look for it here
from data_recipes.phantom_findings import KINDS
from data_recipes.schema import Example, read_examples, write_examples

logger = logging.getLogger(__name__)

HEADER_SHARE = 0.3
"""Share of the questions that also come with a header line."""
EVIDENCE_SHARE = 0.25
"""Share of the questions about a finding that also come with numbered evidence."""
DISTRACTION_SHARE = 0.2
"""Share of all questions that also come with numbered evidence on anything."""
CAPTION_WANTED = "Write a caption for this image."
EVIDENCE_WORDS = 70
"""Most words of evidence in a prompt."""


def build(source: Path, out: Path, *, limit: int | None = None, seed: int = 0, link: bool = False) -> dict[str, int]:
    """Write instruction examples, one JSONL file a source of the pictures.

    Args:
        source: a data file of examples, such as `train.jsonl`.
        out: folder to write into.
        limit: at most this many pictures.
        seed: decides wording and evidence.
        link: put symbolic links to the images instead of hard links or copies.
    Returns:
        File name to its number of examples.
    """
    cards = Cards.shipped()
    by_picture: dict[tuple[str, ...], list[Example]] = {}
    for example in read_examples(source):
        by_picture.setdefault(example.images, []).append(example)
    pictures = list(by_picture.items())[:limit]
    made: dict[str, list[Example]] = {}
    for images, examples in pictures:
        rng = random.Random(f"{seed}/{examples[0].id}")
        made.setdefault(examples[0].source, []).extend(instruct(examples, cards, rng))
        for name in images:
            place_image(source.parent / name, out / name, link=link)
    return {
        name: write_examples(out / name, examples)
        for name, examples in sorted((f"{slug(one)}.jsonl", examples) for one, examples in made.items())
    }


def slug(name: str) -> str:
    """Return a file name for a source: lower case, words joined by hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def instruct(examples: Sequence[Example], cards: Cards, rng: random.Random) -> list[Example]:
    """Return the examples of one picture with those that follow from them, ids "<first id>~<n>" for the new ones.

    Args:
        examples: all of one picture.
        cards: for evidence.
        rng: source of chance.
    Returns:
        The given ones, tidied, then the new ones.
    """
    own = [_captioned(replace(one, messages=tidy(one.messages))) for one in examples]
    first = own[0]
    caption = next((one.messages[1]["content"] for one in own if one.task == "caption"), None)
    asked = [*_from_truth(first, rng), *first_questions(first.truth or {}, caption, rng)]
    made = [*own, *(_question(first, *one) for one in asked)]
    if not (first.truth or {}).get("phantom"):
        made += [_report(first, rng) for _ in range(2)]
    made += [_with_header(one, rng) for one in made if rng.random() < HEADER_SHARE]
    finding = [one for one in made if one.answer_type in ("open", "choice") and rivals_of(one)]
    made += [_with_evidence(one, cards, rng) for one in finding if rng.random() < EVIDENCE_SHARE]
    single = [one for one in made if len(one.messages) == 2 and "Evidence:" not in one.messages[0]["content"]]
    made += [_with_distraction(one, cards, rng) for one in single if rng.random() < DISTRACTION_SHARE]
    made += [_dialogue(own, rng)] if len(own) > 2 else []
    return [one if number < len(own) else replace(one, id=f"{first.id}~{number}") for number, one in enumerate(made)]


def tidy(messages: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Return messages with single spaces and answers that begin with a capital, so that "yes" and "Yes" are one."""
    result = []
    for message in messages:
        text = "\n".join(" ".join(line.split()) for line in message["content"].strip().splitlines())
        if message["role"] == "assistant":
            text = text[:1].upper() + text[1:]
        result.append({**message, "content": text})
    return result


def _captioned(example: Example) -> Example:
    """Ask for a caption as such where a class is known: the request to describe is answered by that."""
    if example.task != "caption" or not has_class(example.truth or {}):
        return example
    return replace(example, messages=[{"role": "user", "content": CAPTION_WANTED}, *example.messages[1:]])


def _from_truth(example: Example, rng: random.Random) -> Iterator[Asked]:
    """Yield what follows from what is known of a picture."""
    truth = example.truth or {}
    modality, region = truth.get("modality"), truth.get("region")
    if modality:
        for question in rng.sample(MODALITY_QUESTIONS, 3):
            yield question, modality, "open", None
        yield from _modality_checks(modality, rng)
    if region:
        for question in rng.sample(REGION_QUESTIONS, 3):
            yield question, region[:1].upper() + region[1:], "open", None
    if not truth.get("phantom"):
        yield rng.choice(PHANTOM_QUESTIONS), "No", "closed", None
    for attribute, value in classes_of(truth).items():
        if attribute in LABEL_SETS:
            yield from _label_questions(attribute, value, rng)
        else:
            for question in rng.sample(FINDING_QUESTIONS, 2):
                yield question, words_for(attribute, value).answer, "open", None


def _modality_checks(modality: str, rng: random.Random) -> Iterator[Asked]:
    names = ("X-ray", "CT", "MRI", "ultrasound", "dermoscopy", "fundus photography")
    wrong = rng.choice([one for one in names if one.lower() != modality.lower()])
    for name, answer in ((modality if modality.isupper() else modality.lower(), "Yes"), (wrong, "No")):
        article = "an" if name[0] in "aeioMOXx" or name.startswith("ultra") else "a"
        named = "X-ray" if name.lower() == "x-ray" else name
        yield rng.choice(MODALITY_CHECKS).format(a=article, modality=named), answer, "closed", None


def _label_questions(attribute: str, value: str, rng: random.Random) -> Iterator[Asked]:
    labels = LABEL_SETS[attribute]
    label = words_for(attribute, value)
    choices = tuple(one.answer for one in labels.labels.values())
    for question in labels.choose:
        yield question, label.answer, "choice", choices
    for question in rng.sample(FINDING_QUESTIONS, 2):
        yield question, label.answer, "open", None
    if label.question:
        yield label.question, "Yes", "closed", None
    others = [one for key, one in labels.labels.items() if key != value and one.question]
    if others:
        yield str(rng.choice(others).question), "No", "closed", None


def _question(
    example: Example, question: str, answer: str, answer_type: str, choices: tuple[str, ...] | None
) -> Example:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return replace(example, messages=messages, task="vqa", answer_type=answer_type, choices=choices)


def _report(example: Example, rng: random.Random) -> Example:
    """Write the report that follows from the labels; where none is known, the report says that it cannot tell."""
    truth = example.truth or {}
    modality, region = truth.get("modality", "Image"), truth.get("region")
    place = f" of the {region}" if region else ""
    technique = rng.choice((f"{modality}{place}.", f"{modality}{place}, one image."))
    findings = findings_of(truth)
    impressions = [words_for(name, value).impression for name, value in classes_of(truth).items()]
    impressions += [one for one in findings if "white blood cell" in one]
    sections = {
        "technique": technique,
        "findings": " ".join(findings) or NOTHING_NAMED,
        "impression": " ".join(impressions) or "No statement can be made.",
    }
    messages = [
        {"role": "user", "content": report_text()},
        {"role": "assistant", "content": render_report(sections)},
    ]
    return replace(example, messages=messages, task="report", answer_type="report", choices=None)


def _with_header(example: Example, rng: random.Random) -> Example:
    """Put what a DICOM header would tell before the question."""
    truth = example.truth or {}
    anatomy = truth.get("region") if rng.random() < 0.6 else None
    header = header_line(modality=truth.get("modality"), anatomy=anatomy)
    if header is None:
        return example
    question, *rest = example.messages
    return replace(example, messages=[{**question, "content": f"{header}\n{question['content']}"}, *rest])


def rivals_of(example: Example) -> tuple[str, ...]:
    """Return every answer that an example's answer could have been.

    Args:
        example: any.
    Returns:
        The answers, its own among them, if it is one question and its answer names a finding or a label; else nothing.
    """
    if len(example.messages) != 2 or "\n" in example.messages[0]["content"]:
        return ()
    answer = example.messages[1]["content"].lower().rstrip(".")
    truth = example.truth or {}
    for attribute, labels in LABEL_SETS.items():
        if attribute in truth and words_for(attribute, truth[attribute]).answer.lower() == answer:
            return tuple(label.answer for label in labels.labels.values())
    if answer in {one["name"] for one in truth.get("findings", ())}:
        return tuple(KINDS[truth["kind"]].sizes)
    return ()


def _with_evidence(example: Example, cards: Cards, rng: random.Random) -> Example:
    """Put numbered evidence before the question; the answer cites the card that is about it, if it is there."""
    question, answer = (message["content"] for message in example.messages)
    truth = example.truth or {}
    chosen, number = cards.pick(answer, rivals_of(example), truth.get("modality"), truth.get("region"), rng)
    lines = evidence_lines(chosen, budget=EVIDENCE_WORDS, count_tokens=lambda text: len(text.split()))
    text = question_text(question, evidence=lines)
    cited = f"{answer} [{number}]" if number is not None and number <= len(lines) else answer
    messages = [{"role": "user", "content": text}, {"role": "assistant", "content": cited}]
    return replace(example, messages=messages)


def _with_distraction(example: Example, cards: Cards, rng: random.Random) -> Example:
    """Put cards on anything before the question, to be left alone: in use, a search comes with every question."""
    *header, question = example.messages[0]["content"].split("\n", 1)
    region = (example.truth or {}).get("region")
    drawn = [card for card in cards.draw(rng) if not is_about(card, example.messages[1]["content"], region)]
    lines = evidence_lines(drawn, budget=EVIDENCE_WORDS, count_tokens=lambda text: len(text.split()))
    told = header[0] if header and header[0].startswith("Header:") else None
    text = question_text(question if told else example.messages[0]["content"], evidence=lines, header=told)
    return replace(example, messages=[{"role": "user", "content": text}, example.messages[1]])


def _dialogue(examples: Sequence[Example], rng: random.Random) -> Example:
    """Join two questions about one picture into one conversation."""
    plain = [one for one in examples if one.task == "vqa"]
    if len(plain) < 2:
        return examples[0]
    one, other = rng.sample(plain, 2)
    return replace(one, messages=[*one.messages, *other.messages], task="chat", choices=None, answer_type="open")
