"""ROCO; the layout is of true samples."""

from __future__ import annotations

import pytest

from assistant.errors import DataError
from data_recipes.datasets.fetch import Job
from data_recipes.datasets.roco import jobs

ARCHIVE = "ftp://ftp.ncbi.nlm.nih.gov/pub/pmc/oa_package/1e/ed/{}.tar.gz"


def fill(made, split, figures):
    """Write a split from (id, article, licence or None)."""
    folder = f"{split}/radiology"
    made.file(f"{folder}/captions.txt", "".join(f"{key}\t Caption of {key}.\n" for key, _, _ in figures))
    made.file(f"{folder}/keywords.txt", "".join(f"{key}\t\tct\taxial\n" for key, _, _ in figures))
    made.file(f"{folder}/cuis.txt", "".join(f"{key}\t\tC1\tC2\n" for key, _, _ in figures[:1]))
    made.file(
        f"{folder}/dlinks.txt",
        "".join(f"{key}\twget -r {ARCHIVE.format(pmc)} -P /path/to/Dir\t{key}-g1.jpg\n" for key, pmc, _ in figures),
    )
    rows = "".join(f"{key},{pmc}_{key}-g1.jpg,{licence}\n" for key, pmc, licence in figures if licence)
    made.file(f"{folder}/licences.txt", "ROCO_ID,PMC_ID,CC\n" + rows)
    made.pictures(*(f"{folder}/images/{key}.jpg" for key, _, _ in figures))


def test_each_figure_has_its_own_licence_and_article(made):
    fill(made, "validation", [("ROCO_1", "PMC1", "CC BY"), ("ROCO_2", "PMC2", "NO-CC CODE"), ("ROCO_3", "PMC3", None)])
    first, second, third = made.build("roco")["dev"]
    assert [one.licence for one in (first, second, third)] == [
        "CC BY",
        "no Creative Commons licence (NO-CC CODE)",
        "not stated by the data set",
    ]
    assert [one.patient for one in (first, second, third)] == ["PMC1", "PMC2", "PMC3"]
    assert first.messages == [
        {"role": "user", "content": "Describe this image."},
        {"role": "assistant", "content": "Caption of ROCO_1."},
    ]
    assert first.truth == {"keywords": ["ct", "axial"], "cuis": ["C1", "C2"]}
    assert first.images == ("images/validation/radiology/images/ROCO_1.jpg",)


def test_an_article_stays_on_one_side(made):
    fill(made, "train", [("ROCO_1", "PMC1", None), ("ROCO_2", "PMC2", None)])
    fill(made, "test", [("ROCO_3", "PMC2", None)])
    assert {name: [one.patient for one in found] for name, found in made.build("roco").items()} == {
        "train": ["PMC1"],
        "test": ["PMC2"],
    }


def test_links_are_read_from_the_commands(made):
    fill(made, "train", [("ROCO_1", "PMC1", None)])
    job = Job("train/radiology/images/ROCO_1.jpg", ARCHIVE.format("PMC1"), "ROCO_1-g1.jpg")
    assert list(jobs(made.root)) == [job]


def test_missing_figures_can_be_fetched_says_the_message(made):
    fill(made, "train", [("ROCO_1", "PMC1", None)])
    (made.root / "train/radiology/images/ROCO_1.jpg").unlink()
    with pytest.raises(DataError, match="1 picture missing .*(?s:.)*Add them, fetch them with --fetch, or give --skip"):
        made.build("roco")


def test_a_line_without_a_tab_is_a_fault(made):
    made.file("train/radiology/captions.txt", "ROCO_1 Caption\n")
    with pytest.raises(DataError, match=r"captions\.txt line 1: no tab; each line holds an id, a tab and the rest"):
        made.build("roco")
