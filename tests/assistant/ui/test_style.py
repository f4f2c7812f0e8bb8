from assistant.ui.style import CSS, theme


def test_nothing_in_the_style_is_fetched():
    assert "url(" not in CSS
    assert "@import" not in CSS
    assert theme()._stylesheets == []


def test_every_colour_that_is_written_out_for_light_has_one_for_dark():
    for name in (".ma-notice", ".ma-error", ".ma-failed"):
        assert f".dark {name}" in CSS
