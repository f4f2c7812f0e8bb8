"""`Item`: one example as it is asked and scored; which attribute and what kind of question it is about."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from assistant.conversation import Question, ReportRequest, Turn
from assistant.imaging.picture import Picture
from assistant.vocabulary import canonical_modality
from data_recipes.schema import Example
from training.metrics import Finding, closed_right, normalise_answer, same_answer

MODALITY_QUESTION = "What kind of image is this?"
REGION_QUESTION = "Which body region is shown?"


@dataclass(frozen=True)
class Item:
    """One question or report to ask for. `images` are absolute."""

    id: str
    images: tuple[Path, ...]
    question: str
    history: tuple[Turn, ...]
    truth: str
    answer_type: str
    task: str
    choices: tuple[str, ...]
    source: str
    attribute: str | None
    """Name of the truth's attribute that the question asks for, such as "brain finding"."""
    kind: str
    """What is asked in general terms; see `question_kind`."""
    group: str
    """Patient, else picture: what stands or falls together in an interval."""
    findings: frozenset[Finding] | None = None
    """For a report whose true findings are known."""
    modality: str | None = None
    site: str | None = None
    traits: tuple[tuple[str, str], ...] = ()
    """What the patient or the study is like, for fairness; see `traits_of`."""
    pair: str | None = None
    """Key of the set of confusing questions that it belongs to; all of a set must be right."""
    standard: bool = False
    """One of the two questions that every picture is asked, not one of the data's own."""

    def request(self, pictures: Sequence[Picture]) -> Question | ReportRequest:
        """Return what is put to the model.

        Args:
            pictures: in the order of `images`; of a report the last is current, those before are priors.

        Returns:
            The question or the request for a report.
        """
        if self.answer_type == "report":
            return ReportRequest(tuple(pictures[-1:]), priors=tuple(pictures[:-1]))
        options = self.choices if self.answer_type == "choice" else ()
        return Question(self.question, tuple(pictures), self.history, options)

    def right(self, prediction: str) -> bool | None:
        """Tell whether an answer is right; None for what is not so judged: captions, reports of unknown findings."""
        if self.answer_type == "report":
            return None if self.findings is None else _read(prediction) == self.findings
        if self.task == "caption":
            return None
        if self.answer_type == "open":
            if self.attribute == "region":
                return same_region(prediction, self.truth)
            return same_answer(prediction, self.truth)
        return closed_right(prediction, self.truth, self.choices)


def make_item(example: Example, root: Path) -> Item:
    """Make the item of an example: its last answer is asked for, earlier turns are given as they stand.

    Args:
        example: any.
        root: folder of its data file.

    Returns:
        The item.
    """
    *before, asked, answer = example.messages
    truth = example.truth or {}
    images = tuple(example.image_paths(root))
    whole = example.task in ("report", "caption")
    return Item(
        id=example.id,
        images=images,
        question=asked["content"],
        history=tuple(
            Turn("user" if turn["role"] == "user" else "assistant", turn["content"])
            for turn in before
            if turn["role"] != "system"
        ),
        truth=answer["content"],
        answer_type=example.answer_type,
        task=example.task,
        choices=example.choices or (),
        source=example.source,
        attribute=None if whole else attribute_of(asked["content"], answer["content"], truth, example.choices or ()),
        kind=example.task if whole else question_kind(asked["content"]),
        group=example.patient or (str(images[0]) if images else example.id),
        findings=true_findings(truth) if example.answer_type == "report" else None,
        modality=example.modality,
        site=example.site,
        traits=traits_of(example),
        pair=_pair_of(truth),
    )


TRAITS: tuple[str, ...] = (
    "sex", "gender", "age", "age_group", "ethnicity", "race", "skin_type", "fitzpatrick", "language", "insurance",
    "scanner", "manufacturer", "view",
)  # fmt: skip
"""Keys of an example's truth, or of the object `about` or `demographics` in it, by which scores are compared."""
_AGES = ((18, "under 18"), (40, "18-39"), (60, "40-59"), (80, "60-79"))
_OLDEST = "80 and over"


def traits_of(example: Example) -> tuple[tuple[str, str], ...]:
    """Return the traits of an example by which scores are compared for fairness.

    Args:
        example: any; `TRAITS` are looked for in its truth, and in `about` and `demographics` there.

    Returns:
        (name, value) each, sorted; an age in years as one of five bands, and the site as one more.
    """
    truth = example.truth or {}
    known = dict(truth)
    for name in ("about", "demographics"):
        inner = truth.get(name)
        known |= inner if isinstance(inner, dict) else {}
    found = {name: known[name] for name in TRAITS if isinstance(known.get(name), str | int | float)}
    if isinstance(found.get("age"), int | float):
        age = found.pop("age")
        found.setdefault("age_group", next((name for limit, name in _AGES if age < limit), _OLDEST))
    if example.site:
        found["site"] = example.site
    return tuple(sorted((name, str(value)) for name, value in found.items()))


def _pair_of(truth: Mapping[str, Any]) -> str | None:
    return next((str(truth[name]) for name in ("pair", "pair_id", "set") if truth.get(name) is not None), None)


def standard_items(examples: Iterable[tuple[Path, Example]]) -> list[Item]:
    """Make the questions that are put to every single picture: its modality and its region, where they are known.

    Args:
        examples: each with the folder of its data file.

    Returns:
        At most two items a picture.
    """
    items: dict[tuple[Path, str], Item] = {}
    for root, example in examples:
        if len(example.images) != 1:
            continue
        base = make_item(example, root)
        known = {"modality": example.modality, "region": example.anatomy}
        known |= {name: str(value) for name, value in (example.truth or {}).items() if name in known}
        for name, question in (("modality", MODALITY_QUESTION), ("region", REGION_QUESTION)):
            if known[name]:
                items[base.images[0], name] = replace(
                    base,
                    id=f"{example.id.partition('#')[0]}#{name}",
                    question=question,
                    history=(),
                    truth=str(known[name]),
                    answer_type="open",
                    task="vqa",
                    choices=(),
                    attribute=name,
                    kind=name,
                    findings=None,
                    pair=None,
                    standard=True,
                )
    return list(items.values())


_REGIONS = (
    frozenset({"head", "brain"}),
    frozenset({"blood", "peripheral blood", "blood smear"}),
    frozenset({"eye", "retina", "fundus"}),
    frozenset({"chest", "thorax", "lungs", "lung"}),
    frozenset({"abdomen", "abdominal"}),
    frozenset({"colon", "gastrointestinal tract", "bowel"}),
)


def same_region(prediction: str, truth: str) -> bool:
    """Tell whether two texts name the same body region; "head" and "brain" and the like count as one."""
    said, wanted = normalise_answer(prediction), normalise_answer(truth)
    return said == wanted or any({said, wanted} <= group for group in _REGIONS)


def attribute_of(question: str, answer: str, truth: Mapping[str, Any], choices: Sequence[str] = ()) -> str | None:
    """Return the attribute that a question asks for.

    That is the one whose value is the answer, of several the one whose name the question says; else, for a question
    that leaves answers to choose from, the picture's only attribute that is called a finding.

    Args:
        question: its words.
        answer: the true one.
        truth: what is known of the picture; values that are no text are passed over.
        choices: the answers to choose from, other than yes and no.

    Returns:
        The attribute's name, or None.
    """
    flat = {name: value for name, value in truth.items() if isinstance(value, str)}
    found = [name for name, value in flat.items() if _tight(value) == _tight(answer)]
    named = [name for name in flat if set(name.split()) <= set(normalise_answer(question).split())]
    both = [name for name in found if name in named]
    if both or found:
        return (both or found)[0]
    if canonical_modality(answer) and canonical_modality(answer) == flat.get("modality"):
        return "modality"
    if not choices and normalise_answer(answer) not in ("yes", "no"):
        return None
    findings = [name for name in flat if name.endswith(" finding")]
    return findings[0] if len(findings) == 1 else None


def _tight(text: str) -> str:
    return normalise_answer(text).replace(" ", "")


_KINDS: tuple[tuple[str, str], ...] = (
    ("change", r"\bchanged?\b|\bprior\b|\bthe earlier\b"),
    ("drawn", r"\bphantom\b|\bdrawn\b"),
    (
        "modality",
        r"\bmodality\b|\b(?:kind|type) of (?:image|scan|study)\b|\b(?:imaging )?technique\b|\bimage taken\b",
    ),
    ("which of two", r"\b(?:ct|mri|x-ray|ultrasound) or (?:an? )?(?:ct|mri|x-ray|ultrasound)\b"),
    ("region", r"\bbody region\b|\bpart of the body\b|\b(?:what|which) organ\b"),
    ("size", r"\bhow (?:large|big)\b|\bsize of\b|\bmillimetres\b|\bdiameter\b"),
    ("count", r"\bhow many\b|^count\b|\bnumber of\b"),
    ("side", r"\b(?:what|which) side\b|\bleft or\b.*\bright\b"),
    ("zone", r"\bzone\b|\bupper, middle or lower\b|\banterior, middle or posterior\b|\bsuperficial, middle or deep\b"),
    ("place", r"^where\b|\blocation\b|\blocated\b"),
    ("plane", r"\bplane\b|\bview\b|\bcut\b"),
    ("normality", r"^(?:is|are|does|do)\b.*\b(?:abnormal\w*|normal|a finding)\b"),
    (
        "description",
        r"^(?:(?:can|could|please) (?:you )?)?(?:describe|summari[sz]e|explain)\b(?!.*\bfinding)|\bwhat do you see\b|"
        r"^what does (?:this|the) image show\b|^what is shown here\b|\btell me about\b|\bshort description\b",
    ),
    ("presence", r"^(?:is|are|does|do|can|was|were|has|have|any|evidence)\b"),
    ("finding", r"\babnormal\w*\b|\bfindings?\b|\bimage show\b|\bclassified\b|\bdiagnosis\b|\bpathology\b"),
)


def question_kind(question: str) -> str:
    """Return what a question asks for in general terms: modality, region, presence, side, size, … or "other"."""
    text = " ".join(question.lower().split())
    return next((kind for kind, pattern in _KINDS if re.search(pattern, text)), "other")


def _read(report: str) -> frozenset[Finding]:
    from data_recipes.phantom_text import report_findings

    return frozenset(report_findings(report))


def true_findings(truth: Mapping[str, Any]) -> frozenset[Finding] | None:
    """Return the findings that a truth lists as (name, side, zone) each, or None where it does not tell."""
    listed = truth.get("findings")
    if not isinstance(listed, list):
        return None
    return frozenset((one["name"], one.get("side"), one.get("zone")) for one in listed)
