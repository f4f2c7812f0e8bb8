import json

import pytest

from benchmarks.tiles import SMALL, draw, main, shares, write_reports
from data_recipes.schema import read_examples


def test_three_phantoms_in_five_show_small_findings_and_nothing_else():
    drawn = [draw(3, index, 64) for index in range(60)]
    small = [
        one for one in drawn
        if len(one.findings) == 1 and (one.findings[0].name, one.findings[0].size_mm) in
        {(name, size) for name, sizes in SMALL.values() for size in sizes}
    ]  # fmt: skip
    assert 30 <= len(small) <= 50
    assert {one.kind for one in drawn} == set(SMALL)


def test_recall_counts_what_is_there_and_precision_what_is_said():
    told = shares({"calcification": [1, 2, 1], "nodule": [1, 2, 3]})
    assert (told["recall"], told["precision"], told["f1"]) == (0.5, 0.5, 0.5)
    assert told["recall of calcifications"] == 0.5
    assert shares({"calcification": [0, 0, 0], "nodule": [0, 0, 0]})["f1"] == 0.0


def test_each_phantom_gets_its_report_with_its_truth(tmp_path):
    from PIL import Image

    file = write_reports(tmp_path / "few", 3, 5, 96)
    examples = list(read_examples(file))
    assert [one.task for one in examples] == ["report"] * 3
    assert [one.truth["findings"] for one in examples] == [
        [found.to_dict() for found in draw(5, index, 96).findings] for index in range(3)
    ]
    with Image.open(file.parent / examples[0].images[0]) as drawn:
        assert drawn.size == (96, 96)


@pytest.mark.slow
def test_both_arms_are_tuned_and_judged(capsys):
    assert main(["--count", "20", "--tested", "6", "--steps", "2", "--seeds", "1"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result["findings"]) == {"calcification", "nodule"}
    assert all(0 <= result[arm]["f1"] <= 1 for arm in ("before", "whole", "tiles"))
