"""Goes through the records once and keeps only what the audit needs of them: hashes, counts, a sample of questions."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from data_recipes.auditing.files import Row
from data_recipes.auditing.meetings import Meetings, number_of
from data_recipes.schema import Example

SAMPLE = 20_000
"""Most questions a split that the blind baseline learns from or is asked."""

_MET = ("id", "patient", "question")
_SPACE = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Asked:
    """One question as the blind baseline sees it: without its picture."""

    question: str
    """The last question, and what was said before it."""
    answer: str
    """Normalised."""
    answer_type: str
    """closed, open or choice; reports and captions are left out."""
    choices: tuple[str, ...]
    """Normalised; empty where none are offered."""
    group: str
    """Key of the patient, else of the picture, else of the record: what is drawn together in the bootstrap."""


@dataclass
class SplitTally:
    """Counts of one split."""

    records: int = 0
    words: int = 0
    """Of all answers."""
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    """Field, such as "modality" or "closed answer", to its values and how many records have each."""
    sample: list[Asked] = field(default_factory=list)
    questions: int = 0
    """How many the sample was drawn from."""
    off_choice: int = 0
    """Questions with choices whose answer is none of them."""
    longer_chosen: int = 0
    """Preferences whose better answer has more words than the worse one."""
    shorter_chosen: int = 0
    """Preferences whose better answer has fewer words."""
    preferences: int = 0

    def count(self, name: str, value: str | None) -> None:
        """Add one record's value of a field; None counts as "not given"."""
        self.counts.setdefault(name, Counter())[value or "not given"] += 1


@dataclass
class Tally:
    """What all records together tell."""

    splits: dict[str, SplitTally] = field(default_factory=dict)
    repeated: list[tuple[str, str]] = field(default_factory=list)
    """Places of two records with the same id and the same split."""
    crossing: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    """"id", "patient" or "question" to those that stand in several splits: split to the first place there."""
    images: dict[str, dict[str, str]] = field(default_factory=dict)
    """Path to split to the first place that shows it."""
    drawn: set[str] = field(default_factory=set)
    """Paths of pictures drawn by rule (phantoms)."""
    contradictions: list[tuple[str, str]] = field(default_factory=list)
    """Places where the same question on the same picture gets two answers."""
    licences: dict[str, Counter[str]] = field(default_factory=dict)
    """Licence to the number of records from each source."""


def tally(rows: Iterable[Row], seed: int = 0) -> Tally:
    """Go through all records.

    Args:
        rows: read one by one.
        seed: decides the sample for the blind baseline.
    Returns:
        Counts and hashes; the records themselves are not kept.
    """
    result, seen = Tally(), _Seen()
    rng = random.Random(seed)
    for row in rows:
        _add(result, seen, row, rng)
    seen.tell(result)
    return result


@dataclass
class _Seen:
    """What must be known of every record until the last one is read."""

    meetings: dict[str, Meetings] = field(default_factory=lambda: {kind: Meetings() for kind in _MET})
    answers: Meetings = field(default_factory=Meetings)
    """Pictures and question, with the answer."""
    patients: set[tuple[int, str]] = field(default_factory=set)
    """Patient and split: each is noted once, since a patient may have thousands of records."""

    def tell(self, result: Tally) -> None:
        """Put into a tally what stands twice."""
        for kind, meetings in self.meetings.items():
            for group in meetings.groups():
                first: dict[str, str] = {}
                for one in group:
                    known = first.setdefault(one.split, one.place)
                    if kind == "id" and known != one.place:
                        result.repeated.append((known, one.place))
                if len(first) > 1:
                    result.crossing.setdefault(kind, []).append(first)
        for group in self.answers.groups():
            for one in group[1:]:
                if one.value != group[0].value:
                    result.contradictions.append((group[0].place, one.place))


def normal(text: str) -> str:
    """Return a text in lower case with single spaces and no punctuation, so that "Yes." equals "yes"."""
    return _SPACE.sub(" ", text.lower()).strip()


def _add(result: Tally, seen: _Seen, row: Row, rng: random.Random) -> None:
    example, split = row.example, row.split
    part = result.splits.setdefault(split, SplitTally())
    part.records += 1
    seen.meetings["id"].add(number_of(example.id), split, row.place)
    if example.patient:
        patient = number_of(example.source, example.patient)
        if (patient, split) not in seen.patients:
            seen.patients.add((patient, split))
            seen.meetings["patient"].add(patient, split, row.place)
    paths = [f"{row.folder}/{name}" for name in example.images]
    for path in paths:
        result.images.setdefault(path, {}).setdefault(split, row.place)
        if (example.truth or {}).get("phantom") is True:
            result.drawn.add(path)
    result.licences.setdefault(example.licence, Counter())[example.source] += 1
    _questions(seen, part, row, paths, rng)
    _counts(part, row)


def _questions(seen: _Seen, part: SplitTally, row: Row, paths: list[str], rng: random.Random) -> None:
    """Note what is asked: for contradictions, for questions without a picture, and for the blind baseline."""
    example = row.example
    said = [message["content"] for message in example.messages]
    question, answer = "\n".join(said[:-1]), normal(said[-1])
    part.words += len(said[-1].split())
    text = normal(question)
    choices = tuple(map(normal, example.choices or ()))
    if not example.images and row.rejected is None:
        seen.meetings["question"].add(number_of(text, *sorted(choices)), row.split, row.place)
    if example.answer_type in ("closed", "choice") and row.rejected is None:
        seen.answers.add(number_of(text, *paths, "\0", *sorted(choices)), row.split, row.place, number_of(answer))
    if example.task not in ("report", "caption") and example.answer_type != "report" and row.rejected is None:
        part.questions += 1
        asked = Asked(text, answer, example.answer_type, choices, _group(example))
        if len(part.sample) < SAMPLE:
            part.sample.append(asked)
        elif (place := rng.randrange(part.questions)) < SAMPLE:
            part.sample[place] = asked


def _counts(part: SplitTally, row: Row) -> None:
    example = row.example
    for name in ("task", "source", "modality", "site", "anatomy"):
        part.count(name, getattr(example, name))
    part.count("patient", "given" if example.patient else None)
    part.count("images a record", str(len(example.images)))
    if row.rejected is not None:
        part.preferences += 1
        better, worse = len(example.messages[-1]["content"].split()), len(row.rejected.split())
        part.longer_chosen += better > worse
        part.shorter_chosen += better < worse
        part.count("fault of the worse answer", row.reason)
        return
    part.count("answer type", example.answer_type)
    answer = normal(example.messages[-1]["content"])
    if example.answer_type == "closed":
        part.count("closed answer", answer[:40])
    choices = [normal(choice) for choice in example.choices or ()]
    if example.answer_type == "choice" and answer in choices:
        part.count("place of the right choice", str(choices.index(answer) + 1))
    part.off_choice += bool(choices) and not any(f" {one} " in f" {answer} " for one in choices)
    for name, value in (example.truth or {}).items():
        if isinstance(value, str) and (name.endswith(" finding") or name in ("label", "sex", "age group", "ancestry")):
            part.count(name, value)


def _group(example: Example) -> str:
    if example.patient:
        return f"patient {example.source} {example.patient}"
    return " ".join(example.images) or example.id
