import pytest

from assistant.domain import Domain
from assistant.regions import belongs, meet, seen_by, told_by


@pytest.mark.parametrize(
    ("one", "other"),
    [("brain", "skull"), ("chest", "heart"), ("cervical spine", "spine"), ("chest and abdomen", "abdomen"),
     ("retina", "eye")],
)  # fmt: skip
def test_regions_meet_by_another_name_a_shared_word_or_what_they_show_both_ways(one, other):
    assert meet(one, other)
    assert meet(other, one)


def test_other_regions_do_not_meet_and_the_word_and_joins_none():
    assert not meet("brain", "chest")
    assert not meet("chest and abdomen", "abdomen and pelvis") or meet("abdomen", "abdomen")
    assert not meet("knee", "breast")


def test_a_technique_tells_one_region_or_none():
    assert told_by("Frontal radiograph of the chest.") == "chest"
    assert told_by("MRI of the brain and skull.") in ("brain", "skull")
    assert told_by("CT of the chest and the knee.") is None
    assert told_by("One image.") is None


def domain(**regions):
    return Domain("MRI", 0.97, "brain", 0.5, {"MRI": 0.97, "CT": 0.03}, {"MRI": regions})


def test_a_region_is_seen_where_its_names_together_are_sure_and_others_could_have_been():
    assert seen_by(domain(brain=0.5, head=0.45, knee=0.05), "MRI") == "brain"
    assert seen_by(domain(brain=0.5, knee=0.5), "MRI") is None
    assert seen_by(domain(brain=0.6, head=0.4), "MRI") is None, "it knows no other, and calls all so"
    assert seen_by(domain(brain=1.0, knee=0.0), "CT") is None
    assert seen_by(None, "MRI") is None


def test_evidence_on_another_kind_or_region_does_not_belong(make_evidence):
    card = make_evidence("Pneumothorax", "Air.", modality="X-ray", anatomy="chest")
    assert belongs(card, {"X-ray"}, "chest")
    assert belongs(card, set(), None)
    assert not belongs(card, {"MRI"}, None)
    assert not belongs(card, {"X-ray"}, "knee")


@pytest.mark.parametrize("anatomy", [None, "any", "bone", "linker Fuss"])
def test_evidence_whose_region_is_none_of_ours_belongs_everywhere(make_evidence, anatomy):
    assert belongs(make_evidence("Title", "Text.", anatomy=anatomy), {"X-ray"}, "knee")
