"""The page of plots."""

from __future__ import annotations

from PIL import Image

from data_recipes.audit import check_build


def test_labels_that_the_font_lacks_and_dollar_signs_do_no_harm(folder, example):
    data = folder(train=(example(60, answer="是"), example(61, answer="$5 or $6"), example(62, modality="超声")))
    assert check_build(data) is not None
    with Image.open(data / "data_card.png") as plot:
        assert plot.size == (990, 675)
    assert "| 是 | 1 (" in (data / "DATA_CARD.md").read_text("utf-8")


def test_equal_data_give_an_equal_page(folder, tmp_path):
    data = folder()
    check_build(data)
    first = (data / "data_card.png").read_bytes()
    check_build(data)
    assert (data / "data_card.png").read_bytes() == first
