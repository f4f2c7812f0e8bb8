"""The wordings of `instruct`: how labels are asked about and how they read in an answer or a report."""

from __future__ import annotations

from dataclasses import dataclass

MODALITY_QUESTIONS = (
    "What kind of image is this?",
    "What imaging modality is shown?",
    "Which imaging technique was used?",
    "How was this image taken?",
    "What type of imaging is this?",
    "What modality is used to take this image?",
    "What is the modality?",
    "What type of scan is this?",
)
REGION_QUESTIONS = (
    "Which body region is shown?",
    "What part of the body is this?",
    "Which organ or region does the image show?",
    "Which part of the body does this image show?",
    "What body part is shown?",
    "What anatomy is shown?",
)
FINDING_QUESTIONS = (
    "What is the main finding?",
    "What is the diagnosis?",
    "What abnormality is seen?",
    "Describe the finding in this image.",
)
PHANTOM_QUESTIONS = ("Is this a phantom (drawn) image?", "Is this image drawn rather than taken from a patient?")
MODALITY_CHECKS = ("Is this {a} {modality}?", "Is this image {a} {modality}?", "Was this taken by {modality}?")


@dataclass(frozen=True)
class Label:
    """How one category reads."""

    answer: str
    """As an answer: "Glioma"."""
    findings: str
    """As a sentence of a report's findings."""
    impression: str
    """As a report's impression."""
    question: str | None = None
    """A yes-or-no question that is true of it."""


@dataclass(frozen=True)
class LabelSet:
    """One attribute's categories in words."""

    choose: tuple[str, ...]
    """Questions that name the categories to choose from."""
    labels: dict[str, Label]


def _tumour(answer: str, text: str, noun: str) -> Label:
    return Label(answer, text, f"{answer}.", f"Does this brain MRI show {noun}?")


LABEL_SETS: dict[str, LabelSet] = {
    "brain finding": LabelSet(
        choose=(
            "Which finding best describes this brain MRI: glioma, meningioma, pituitary tumor or no tumor?",
            "Is this a glioma, a meningioma, a pituitary tumor or no tumor?",
            "Which type of brain tumor is shown: glioma, meningioma, pituitary tumor or no tumor?",
        ),
        labels={
            "glioma": _tumour("Glioma", "There is a mass with the appearance of a glioma.", "a glioma"),
            "meningioma": _tumour("Meningioma", "There is a mass with the appearance of a meningioma.", "a meningioma"),
            "pituitary": _tumour(
                "Pituitary tumor", "There is a mass in the region of the pituitary gland.", "a pituitary tumor"
            ),
            "notumor": Label("No tumor", "No tumor is seen on this slice.", "No tumor."),
        },
    ),
    "breast finding": LabelSet(
        choose=(
            "How would this breast ultrasound be classified: normal, benign or malignant?",
            "Is this breast ultrasound normal, benign or malignant?",
            "Which class fits this breast ultrasound: normal, benign or malignant?",
        ),
        labels={
            "normal": Label(
                "Normal", "No breast lesion is seen.", "Normal breast ultrasound.", "Is this breast normal?"
            ),
            "benign": Label(
                "Benign",
                "There is a breast lesion with benign features.",
                "Benign breast lesion.",
                "Does the breast lesion look benign?",
            ),
            "malignant": Label(
                "Malignant",
                "There is a breast lesion with malignant features.",
                "Malignant breast lesion.",
                "Does the breast lesion look malignant?",
            ),
        },
    ),
    "skin finding": LabelSet(
        choose=("Is this skin lesion a melanoma or not a melanoma?",),
        labels={
            "melanoma": Label(
                "Melanoma",
                "There is a pigmented skin lesion with features of a melanoma.",
                "Melanoma.",
                "Is this skin lesion a melanoma?",
            ),
            "not melanoma (nevus or seborrheic keratosis)": Label(
                "Not a melanoma",
                "There is a skin lesion without features of a melanoma.",
                "Not a melanoma.",
                "Is this a nevus or a seborrheic keratosis rather than a melanoma?",
            ),
        },
    ),
    "chest finding": LabelSet(
        choose=("Is this chest X-ray normal or does it show pneumonia?",),
        labels={
            "normal": Label("Normal", "The lungs are clear.", "Normal chest X-ray.", "Are the lungs clear?"),
            "pneumonia": Label(
                "Pneumonia",
                "There is lung opacity with the appearance of pneumonia.",
                "Pneumonia.",
                "Does this chest X-ray show pneumonia?",
            ),
        },
    ),
}

COUNT_WORDS = {"0": "No white blood cell", "1": "One white blood cell", "2": "Two white blood cells"}


def words_for(attribute: str, value: str) -> Label:
    """Return how a category reads; one that is not in the table reads as it is spelt."""
    known = LABEL_SETS.get(attribute)
    if known and value in known.labels:
        return known.labels[value]
    shown = value[:1].upper() + value[1:]
    return Label(shown, f"{attribute.capitalize()}: {value}.", f"{shown}.")
