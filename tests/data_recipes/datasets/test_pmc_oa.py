"""PMC-OA."""

from __future__ import annotations


def figure(article, number):
    name = f"{article}_Fig{number}.jpg"
    return {"image": name, "caption": f"Caption {number}.", "alignment_type": "full", "alignment_score": 0.5}


def test_one_file_is_split_by_article(made):
    figures = [figure(f"PMC{number % 25}", number) for number in range(100)]
    made.pictures(*(f"images/{one['image']}" for one in figures))
    made.jsonl("pmc_oa.jsonl", figures)
    built = made.build("pmc-oa")
    homes = [{one.patient for one in found} for found in built.values()]
    assert len(homes) > 1
    assert sum(map(len, homes)) == 25
    one = built["train"][0]
    assert (one.task, one.truth) == ("caption", {"about": {"alignment_type": "full", "alignment_score": "0.5"}})


def test_files_of_splits_keep_them(made):
    made.pictures("images/PMC1_Fig1.jpg", "images/PMC2_Fig2.jpg")
    made.jsonl("train.jsonl", [figure("PMC1", 1)])
    made.jsonl("valid.jsonl", [figure("PMC2", 2)])
    assert set(made.build("pmc-oa")) == {"train", "dev"}
