"""Pairs of texts for the text tower."""

from __future__ import annotations

import json

import pytest
import torch

from assistant.errors import DataError
from training.text_pairs import PairMaker, read_passages

CARD = """---
title: Glioma on MRI
modality: MRI
anatomy: brain
finding: glioma
synonyms: [glial tumour]
---
# Looks

A glioma is bright. It has a rim.
"""


def test_passages_are_read_and_incomplete_ones_left_out(tmp_path, caplog):
    file = tmp_path / "a.jsonl"
    records = [{"title": "A", "text": "One."}, {"title": "", "text": "Two."}, {"text": "Three."}]
    file.write_text("".join(json.dumps(one) + "\n" for one in records))
    assert list(read_passages(file)) == [("A", "One.")]
    assert "left out 2 passages without a title or a text" in caplog.text


def test_a_broken_line_is_named(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"title": "A", "text": "One."}\nno json\n')
    with pytest.raises(DataError, match=r"a\.jsonl, line 2: .*each line is one JSON object"):
        list(read_passages(file))


def test_a_card_goes_by_each_of_its_names(tmp_path):
    (tmp_path / "glioma.md").write_text(CARD)
    (tmp_path / "README.md").write_text("About these cards.\n")
    pairs = list(read_passages(tmp_path))
    assert [name for name, _ in pairs] == ["Glioma on MRI", "glial tumour", "MRI of the brain: glioma"]
    assert "A glioma is bright." in pairs[0][1]
    assert "Looks" not in pairs[0][1]


def test_queries_are_titles_or_the_sentence_before():
    maker = PairMaker([[("Title", "One is first. Two follows. Three ends.")]], words=4)
    seen = set()
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        first, second = maker.draw(2, generator)
        seen |= set(zip(first, second, strict=True))
    assert seen == {
        ("Title", "One is first. Two"),
        ("Title", "Two follows. Three ends."),
        ("Title", "Three ends."),
        ("One is first.", "Two follows. Three ends."),
        ("Two follows.", "Three ends."),
    }


def test_equal_chance_gives_equal_pairs():
    maker = PairMaker([[("A", "One. Two."), ("B", "Three.")], [("C", "Four.")]])
    draws = [maker.draw(20, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_a_small_source_is_not_drowned():
    maker = PairMaker([[("big", "x.")] * 100, [("small", "y.")] * 4, []])
    share = maker.weights[100:].sum() / maker.weights.sum()
    assert share == pytest.approx(2 / 12)


def test_no_passages_are_refused():
    with pytest.raises(DataError, match=r"no passages to learn text pairs from; name some under `passages:`"):
        PairMaker([[]])
