"""MediConfusion; both layouts are of true samples."""

from __future__ import annotations

import pytest

from assistant.errors import DataError
from data_recipes.datasets.fetch import Job
from data_recipes.datasets.mediconfusion import jobs

PAIR = {
    "im_1": "train/radiology/images/ROCO_1.jpg",
    "im_2": "train/radiology/images/ROCO_2.jpg",
    "im_1_local": 20192,
    "im_2_local": 20053,
    "cap_1": " First.",
    "cap_2": " Second.",
    "category_1": ["Cerebral", "Vascular"],
    "category_2": ["Cerebral"],
    "question": "What do you see?",
    "option_A": "An artery, open",
    "option_B": "A stenosis",
    "im_1_correct": "A",
    "im_2_correct": "B",
}


def test_a_pair_becomes_two_examples_with_one_key(made):
    made.pictures("images/ROCO_1.jpg", "images/20053.jpg")
    made.json("dataset.json", {"10001": PAIR})
    first, second = made.build("mediconfusion")["test"]
    assert first.truth == {"pair": 10001, "about": {"cap_1": "First."}, "categories": ["Cerebral", "Vascular"]}
    assert second.truth["pair"] == 10001
    assert first.choices == second.choices == ("An artery, open", "A stenosis")
    assert [one.messages[1]["content"] for one in (first, second)] == ["An artery, open", "A stenosis"]
    assert (first.images, second.images) == (("images/ROCO_1.jpg",), ("images/20053.jpg",))


def test_the_table_gives_the_same(made):
    made.pictures(PAIR["im_1"], PAIR["im_2"])
    made.csv("dataset.csv", [{"": 0, "id": 10001, **PAIR}])
    assert [one.id for one in made.build("mediconfusion")["test"]] == ["mediconfusion/10001-1", "mediconfusion/10001-2"]


def test_a_letter_that_is_neither_is_a_fault(made):
    made.json("dataset.json", {"10001": PAIR | {"im_1_correct": "C"}})
    with pytest.raises(DataError, match="field 'im_1_correct' is \"C\"; use A or B"):
        made.build("mediconfusion")


def test_links_name_archive_and_file(made):
    link = {"local": 20192, "dlink": "ftp://ftp.ncbi.nlm.nih.gov/pub/PMC1.tar.gz", "file_name": "a-1.jpg"}
    made.json("image_dict.json", {PAIR["im_1"]: link})
    assert list(jobs(made.root)) == [Job(PAIR["im_1"], link["dlink"], "a-1.jpg")]
