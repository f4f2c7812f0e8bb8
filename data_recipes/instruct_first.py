"""What a person asks first: to describe a picture, whether it is normal, which of two kinds it is, where it lies.

Every answer follows from what is known of the picture. Where a person would ask on and the labels end, as for the place
or the size of a lesion that is only named, the answer is that it cannot be told.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

from assistant.prompts import DESCRIPTION_REQUESTS
from assistant.review import CANNOT_TELL
from data_recipes.instruct_words import COUNT_WORDS, LABEL_SETS, words_for

Asked = tuple[str, str, str, tuple[str, ...] | None]
"""Question, answer, answer type and choices."""

NORMAL = ("Is this image normal?", "Is this normal?", "Does this look normal?", "Is everything normal?")
ABNORMAL = (
    "Is anything abnormal?",
    "Is there anything abnormal in this image?",
    "Is there any abnormality?",
    "Are there any abnormal findings?",
    "Do you see anything abnormal?",
)
MASS = {
    "brain finding": ("Is there a tumor?", "Is there a mass?", "Do you see a tumor?", "Is a tumor visible?"),
    "breast finding": ("Is there a lesion?", "Is there a mass?", "Do you see a lesion?", "Is there a tumor?"),
    "chest finding": ("Is there pneumonia?", "Do you see an opacity?", "Is there an infiltrate?"),
}
CANCER = {"malignant": "Yes", "benign": "No", "melanoma": "Yes"}
CANCER_QUESTIONS = ("Is this cancer?", "Is it cancer?", "Is this malignant?", "Does this look malignant?")
UNTOLD = (
    "Where is the lesion?",
    "Where is it located?",
    "Where is the abnormality?",
    "Which side is affected?",
    "How large is the mass?",
    "How big is the lesion?",
    "What size is it?",
    "How old is the patient?",
    "What caused this?",
)
EITHER = (
    "Is this {one} or {other}?",
    "Is this image {one} or {other}?",
    "{One} or {other}?",
    "Is it {one} or {other}?",
)
KINDS = ("CT", "MRI", "X-ray", "ultrasound")
NOTHING_NAMED = "This model cannot name findings on this kind of image."
"""Of a picture whose kind has no findings that this model was told of."""
_UNREMARKABLE = frozenset({"notumor", "normal"})


def first_questions(truth: Mapping[str, Any], caption: str | None, rng: random.Random) -> Iterator[Asked]:
    """Yield what a person asks first, with the answers that follow from what is known.

    Args:
        truth: of the picture.
        caption: its own, where it has one; what is known of its class goes before it.
        rng: source of chance.
    Yields:
        Question, answer, answer type and choices.
    """
    described = description(truth) if caption is None or has_class(truth) else caption
    for question in rng.sample(DESCRIPTION_REQUESTS, 2):
        yield question, described, "open", None
    yield from _normal(truth, rng)
    yield from _kinds(truth.get("modality"), rng)
    for attribute, value in classes_of(truth).items():
        if attribute not in LABEL_SETS:  # of own labels it is not known which are normal, or have a place
            continue
        if attribute in MASS:
            yield rng.choice(MASS[attribute]), "No" if value in _UNREMARKABLE else "Yes", "closed", None
        if value in CANCER:
            yield rng.choice(CANCER_QUESTIONS), CANCER[value], "closed", None
        if attribute == "brain finding":
            yield _tumours(value, rng)
        yield rng.choice(UNTOLD), CANNOT_TELL, "open", None


def classes_of(truth: Mapping[str, Any]) -> dict[str, str]:
    """Return the attributes that name a finding, those of own data too, each with its value."""
    return {name: value for name, value in truth.items() if name.endswith(" finding") and isinstance(value, str)}


def has_class(truth: Mapping[str, Any]) -> bool:
    """Tell whether a picture's class is known."""
    return bool(classes_of(truth))


def description(truth: Mapping[str, Any]) -> str:
    """Return what is known of a picture, in one or a few sentences.

    Args:
        truth: of the picture.
    Returns:
        Such as "MRI of the brain. No tumor is seen on this slice.".
    """
    region = truth.get("region")
    kind = f"{truth.get('modality', 'Image')}{f' of the {region}' if region else ''}."
    return f"{kind} {' '.join(findings_of(truth)) or NOTHING_NAMED}"


def findings_of(truth: Mapping[str, Any]) -> list[str]:
    """Return the sentences that follow from a picture's labels and counts."""
    told = [words_for(name, value).findings for name, value in classes_of(truth).items()]
    if "white cells" in truth:
        told.append(f"{COUNT_WORDS.get(truth['white cells'], 'Several white blood cells')} in this field.")
        if "platelets" in truth:
            told.append("Platelets are visible." if truth["platelets"] == "yes" else "No platelets are visible.")
    return told


def _normal(truth: Mapping[str, Any], rng: random.Random) -> Iterator[Asked]:
    labels = [value for name, value in truth.items() if name in LABEL_SETS and name != "skin finding"]
    if labels:
        normal = all(value in _UNREMARKABLE for value in labels)
    elif truth.get("phantom") and isinstance(truth.get("findings"), list):
        normal = not truth["findings"]
    else:
        return
    yield rng.choice(NORMAL), "Yes" if normal else "No", "closed", None
    yield rng.choice(ABNORMAL), "No" if normal else "Yes", "closed", None


def _kinds(modality: str | None, rng: random.Random) -> Iterator[Asked]:
    """Ask which of two kinds of image it is: once with the right one among them, once with neither."""
    if not modality:
        return
    others = [kind for kind in KINDS if kind.lower() != modality.lower()]
    own = next((kind for kind in KINDS if kind.lower() == modality.lower()), None)
    if own is not None:
        pair = [own, rng.choice(others)]
        rng.shuffle(pair)
        yield _either(pair, rng), own[:1].upper() + own[1:], "choice", tuple(one[:1].upper() + one[1:] for one in pair)
    yield _either(rng.sample(others, 2), rng), f"Neither: {modality}", "open", None


def _either(pair: list[str], rng: random.Random) -> str:
    one, other = (f"{'an' if kind[0] in 'XMu' else 'a'} {kind}" for kind in pair)
    form = rng.choice(EITHER)
    if form.startswith("{One}"):
        one, other = pair
    return form.format(one=one, other=other, One=one[:1].upper() + one[1:])


def _tumours(value: str, rng: random.Random) -> Asked:
    """Ask which of two tumours it is; at times it is neither."""
    answers = {key: label.answer for key, label in LABEL_SETS["brain finding"].labels.items()}
    one, other = rng.sample([key for key in answers if key != "notumor"], 2)
    asked = f"Is this a {answers[one].lower()} or a {answers[other].lower()}?"
    own = answers.get(value, value)
    return asked, own if value in (one, other) else f"Neither: {own}", "open", None
