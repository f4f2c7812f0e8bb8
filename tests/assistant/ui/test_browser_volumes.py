"""Volumes on the page, in a real Chromium. Screenshots go to the test's temporary folder."""

import pytest

from data_recipes.phantom_volume import make_phantom_volume, write_nifti, write_series
from tests.assistant.ui.browsing import add_study, ask

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("volumes")
    phantom = make_phantom_volume(5, 1, kind="head_ct", slices=12, size=64)
    write_nifti(phantom, made / "Doe^Jane.nii.gz")
    write_series(phantom, made / "series")
    return made


def turn_to(tab, name, number):
    box = tab.locator(f"#{name}-number input[type=number]")
    box.fill(str(number))
    box.press("Enter")
    tab.locator(f"#{name}-slice figcaption", has_text=f"slice {number} of 12").wait_for()


def test_a_nifti_file_is_shown_slice_by_slice_and_the_answers_slice_is_one_click_away(tab, folder, tmp_path):
    answer = ask(tab, "What kind of image is this?", folder / "Doe^Jane.nii.gz")
    answer.get_by_text("read: axial slice").wait_for()
    listed = tab.locator("#chat-slices label").first
    listed.wait_for()
    number = listed.inner_text().split("slice ")[1].split(" of ")[0]
    assert f"slice {number} of 12" in tab.locator("#grounds .ma-slices").inner_text()
    turn_to(tab, "chat", 3 if number != "3" else 4)
    tab.screenshot(path=tmp_path / "turned.png", full_page=True)
    listed.click()
    tab.locator("#chat-slice figcaption", has_text=f"slice {number} of 12").wait_for()
    assert tab.locator("#chat-number input[type=number]").input_value() == number
    assert "Jane" not in tab.locator("#grounds").inner_text() + tab.locator("#chat-volume").first.inner_text()
    tab.screenshot(path=tmp_path / "chosen.png", full_page=True)


def test_a_volume_is_looked_through_before_it_is_asked_about(tab, folder, tmp_path):
    files = [str(one) for one in sorted((folder / "series").iterdir())]
    tab.locator("#question input[type=file]").set_input_files(files)
    slider = tab.locator("#frame input[type=number]")
    slider.wait_for()
    assert tab.locator("#views").get_by_text("Slice (1 to 12)").count() == 1
    slider.fill("2")
    slider.press("Enter")
    tab.locator("#views").get_by_text("Axial slice 2 of 12").wait_for()
    tab.screenshot(path=tmp_path / "before.png", full_page=True)


def test_a_slice_alone_is_asked_about(tab, folder):
    ask(tab, "What kind of image is this?", folder / "Doe^Jane.nii.gz").get_by_text("read: axial slice").wait_for()
    tab.locator("#chat-slices label").first.wait_for()
    turn_to(tab, "chat", 5)
    tab.locator("#chat-alone input").check()
    ask(tab, "And this slice?").get_by_text("read: axial slice 5 of 12").wait_for()


def test_what_the_controls_show_counts_also_before_the_slice_is_drawn(tab, folder):
    ask(tab, "What kind of image is this?", folder / "Doe^Jane.nii.gz").get_by_text("read: axial slice").wait_for()
    tab.locator("#chat-slices label").first.wait_for()
    held, asking = [], []
    tab.route("**/queue/join*", lambda route: route.continue_() if asking else held.append(route))
    box = tab.locator("#chat-number input[type=number]")
    box.fill("5")
    box.press("Enter")
    tab.locator("#chat-alone input").check()
    tab.locator("#settings").get_by_text("Settings").click()
    tab.get_by_label("Search the index for evidence").uncheck()
    asking.append(True)
    answer = ask(tab, "And this slice?")
    answer.get_by_text("read: axial slice 5 of 12").wait_for()
    assert held, "the slice was drawn before it was asked about"
    assert "of evidence" not in answer.inner_text()
    box.fill("")  # an empty number is as good as the one before
    ask(tab, "And now?").get_by_text("read: axial slice").wait_for()


def test_a_report_on_a_series_shows_its_slices(tab, folder, tmp_path):
    add_study(tab, *sorted((folder / "series").iterdir()))
    tab.locator("#draft").click()
    tab.locator("#report-slices label").first.wait_for()
    turn_to(tab, "report", 7)
    tab.screenshot(path=tmp_path / "report.png", full_page=True)


def test_two_series_at_once_are_refused_with_the_reason(tab, folder, tmp_path):
    other = write_series(make_phantom_volume(5, 2, kind="brain_mr", slices=8, size=64), tmp_path / "mr")
    files = [str(one) for one in [*sorted((folder / "series").iterdir()), *other]]
    tab.locator("#question input[type=file]").set_input_files(files)
    tab.locator("#question .thumbnail-item").nth(19).wait_for()
    box = tab.get_by_placeholder("Ask about")
    box.fill("What is this?")
    box.press("Enter")
    answer = tab.locator("#conversation .bot").first
    answer.get_by_text("a mixture of 2 series").wait_for()
    assert tab.locator("#chat-volume").first.is_hidden()
