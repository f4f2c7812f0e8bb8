"""The finding extractor, against reports read by hand."""

from __future__ import annotations

import pytest

from assistant.finding_names import SYNONYMS, named_findings
from assistant.findings import Stated, positive, read_findings

P, U, A = "present", "uncertain", "absent"


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("Small left pleural effusion.", [("pleural effusion", "left", P)]),
        (
            "No focal consolidation, effusion or pneumothorax.",
            [("consolidation", None, A), ("pleural effusion", None, A), ("pneumothorax", None, A)],
        ),
        (
            "There is a left effusion and no pneumothorax.",
            [("pleural effusion", "left", P), ("pneumothorax", None, A)],
        ),
        (
            "No effusion, but a 12 mm nodule in the right upper lobe.",
            [("pleural effusion", None, A), ("pulmonary nodule", "right", P)],
        ),
        (
            "Left effusion and right nodule are seen.",
            [("pleural effusion", "left", P), ("pulmonary nodule", "right", P)],
        ),
        ("The effusion on the left is stable.", [("pleural effusion", "left", P)]),
        ("Bilateral pleural effusions.", [("pleural effusion", "bilateral", P)]),
        ("Multiple nodules in both lungs.", [("pulmonary nodule", "bilateral", P)]),
        ("The pneumothorax has resolved.", [("pneumothorax", None, A)]),
        ("Pneumothorax is not seen.", [("pneumothorax", None, A)]),
        ("There is no change in the left effusion.", [("pleural effusion", "left", P)]),
        ("Cannot exclude right lower lobe pneumonia.", [("pneumonia", "right", U)]),
        ("Possible left basilar atelectasis.", [("atelectasis", "left", U)]),
        ("Recommend CT to rule out pulmonary embolism.", [("pulmonary embolism", None, U)]),
        ("Findings suggestive of pulmonary edema.", [("pulmonary edema", None, U)]),
        ("No suspicious nodule.", [("pulmonary nodule", None, A)]),
        ("The cardiac silhouette is mildly enlarged.", [("cardiomegaly", None, P)]),
        ("Blunting of the left costophrenic angle.", [("pleural effusion", "left", P)]),
        ("The lungs are clear.", []),
        ("", []),
    ],
)
def test_findings_are_read_with_side_negation_and_doubt(text: str, stated: list[tuple[str, str | None, str]]) -> None:
    assert [(one.name, one.side, one.status) for one in read_findings(text)] == stated


def test_a_finding_said_twice_counts_once_and_the_side_said_stays() -> None:
    report = "Findings: There is an effusion. Effusion is seen on the left.\nImpression: Possible left effusion."
    assert read_findings(report) == [Stated("pleural effusion", "left", "present")]


def test_what_is_there_or_possibly_there_is_positive_and_both_sides_are_two() -> None:
    report = "Bilateral effusions. Possible right nodule. No pneumothorax."
    assert positive(report) == {
        ("pleural effusion", "left"),
        ("pleural effusion", "right"),
        ("pulmonary nodule", "right"),
    }


def test_the_longer_wording_wins() -> None:
    assert [name for _, _, name in named_findings("pericardial effusion and ring-enhancing lesion")] == [
        "pericardial effusion",
        "ring-enhancing lesion",
    ]


def test_every_name_is_read_in_its_own_words() -> None:
    lost = [name for name in SYNONYMS if name not in {found for _, _, found in named_findings(name)}]
    assert not lost
