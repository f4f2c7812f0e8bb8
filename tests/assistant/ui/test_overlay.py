import numpy as np
import pytest

from assistant.engine.occlusion import Heat
from assistant.imaging.heatmap import MEANING
from assistant.ui.overlay import heat_html, overlay
from assistant.ui.session import preview


def heat_at(row, column, nats=2.0, whole=3.0):
    found = np.full((8, 8), -0.1, dtype=np.float32)
    found[row, column] = nats
    return Heat(found, whole)


def test_colour_lies_where_the_heat_is_and_nowhere_else(make_picture):
    picture = make_picture(1, 320, 320)
    changed = np.abs(np.asarray(overlay(picture, heat_at(1, 6))).astype(int) - np.asarray(preview(picture))).sum(axis=2)
    assert changed[40:80, 240:280].mean() > 60
    assert changed[160:, :160].max() == 0


@pytest.mark.parametrize(
    ("row", "column", "where"), [(0, 0, "the upper left"), (7, 7, "the lower right"), (4, 4, "the centre of it")]
)
def test_the_figure_says_in_words_where_it_is_hot_and_what_it_means(make_picture, row, column, where):
    html = heat_html(make_picture(1), heat_at(row, column))
    assert f"strongest in {where}" in html
    assert html.count(MEANING) == 2
    assert "20 times less likely" in html
    assert "src='data:image/jpeg;base64," in html


def test_a_flat_heat_gives_no_colours_but_the_reason(make_picture):
    html = heat_html(make_picture(1), heat_at(0, 0, nats=0.001, whole=0.0))
    assert "No single part" in html
    assert "does not rest on the picture" in html
    assert "<img" not in html


def test_without_heat_it_says_why(make_picture):
    assert "nothing to show" in heat_html(make_picture(1), None)
