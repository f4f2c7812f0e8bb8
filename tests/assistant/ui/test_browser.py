"""The page in a real Chromium, as a person uses it. Screenshots go to the test's temporary folder."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from pydicom.data import get_testdata_file

from tests.assistant.ui.browsing import TIMEOUT_MS, add_study, ask, jpeg

pytestmark = pytest.mark.browser


def test_a_jpeg_is_taken_shown_and_answered(tab, tmp_path):
    answer = ask(tab, "What kind of image is this?", jpeg(tmp_path))
    answer.get_by_text("Confidence").wait_for()
    assert tab.locator("#conversation .user img").evaluate("image => image.naturalWidth") == 192
    assert tab.locator("#grounds [role=meter]").count() == 1
    tab.screenshot(path=tmp_path / "jpeg.png")


def test_a_dicom_file_is_taken_and_shown_as_a_picture(tab, tmp_path):
    answer = ask(tab, "What kind of image is this?", Path(get_testdata_file("CT_small.dcm")))
    answer.get_by_text("Confidence").wait_for()
    assert tab.locator("#conversation .user img").evaluate("image => image.naturalWidth") == 256
    tab.screenshot(path=tmp_path / "dicom.png")


def test_a_question_without_an_image_is_answered_from_numbered_evidence(tab, tmp_path):
    answer = ask(tab, "What does a pneumothorax look like on a chest X-ray?")
    answer.get_by_text("Confidence").wait_for()
    assert "thin white line" in answer.inner_text()
    assert "[1]" in answer.inner_text()
    card = tab.locator("#grounds .ma-card").first
    assert "Pneumothorax on a chest X-ray" in card.inner_text()
    assert "Apache-2.0" in card.inner_text()
    tab.screenshot(path=tmp_path / "evidence.png")


def test_a_broken_file_gives_a_clear_message_and_no_stack_trace(tab, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"this is no picture")
    answer = ask(tab, "What is this?", broken)
    answer.get_by_text("This cannot be used.").wait_for()
    assert "Image 1" in answer.inner_text()
    assert tab.locator("#grounds [role=alert]").count() == 1
    assert "Traceback" not in tab.content()
    tab.screenshot(path=tmp_path / "broken.png.png")


def test_a_new_conversation_is_empty(tab):
    ask(tab, "What is an effusion?").get_by_text("Confidence").wait_for()
    tab.get_by_role("button", name="New conversation").click()
    tab.locator("#conversation .bot").first.wait_for(state="detached")
    assert tab.locator("#grounds [role=meter]").count() == 0


def test_the_notice_stays_in_view_and_a_phone_needs_no_sideways_scroll(chromium, web, tmp_path):
    context = chromium.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark")
    context.set_default_timeout(TIMEOUT_MS)
    tab = context.new_page()
    tab.goto(web.url)
    tab.get_by_placeholder("Ask about").wait_for()
    tab.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    box = tab.locator(".ma-notice").bounding_box()
    assert box is not None
    assert 0 <= box["y"] < 10
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    tab.screenshot(path=tmp_path / "phone.png")
    context.close()


def test_every_control_has_a_name(tab):
    nameless = tab.evaluate(
        """() => [...document.querySelectorAll('button, input:not([type=file]), textarea')]
        .filter(one => one.offsetParent !== null)
        .filter(one => !(one.innerText.trim() || one.getAttribute('aria-label') || one.title
          || one.placeholder || (one.labels && one.labels.length)))
        .map(one => one.outerHTML.slice(0, 120))"""
    )
    assert nameless == []


def test_a_region_is_boxed_the_overlay_shown_and_the_conversation_exported(tab, tmp_path):
    ask(tab, "What kind of image is this?", jpeg(tmp_path)).get_by_text("Confidence").wait_for()
    tab.get_by_role("button", name="What the answer rests on").click()
    tab.locator("#heat .ma-heat img, #heat [role=status]:not(:has-text('Blurring'))").first.wait_for()
    tab.get_by_role("button", name="Ask about a region").click()
    canvas = tab.locator("#canvas img")
    canvas.wait_for()
    canvas.click(position={"x": 30, "y": 30})
    tab.get_by_text("Now click the opposite corner.").wait_for()
    tab.locator("#canvas img").click(position={"x": 120, "y": 100})
    tab.get_by_text("The next question is about this region.").wait_for()
    ask(tab, "What is here?").get_by_text("Confidence").wait_for()
    assert tab.locator("#conversation .user img").count() == 2
    with tab.expect_download() as download:
        tab.locator("#save-markdown").click()
    text = Path(download.value.path()).read_text()
    assert "What is here?" in text
    assert "not for clinical use" in text
    assert "scan.jpg" not in text
    tab.screenshot(path=tmp_path / "region.png", full_page=True)


def test_a_question_is_retried_and_taken_back_with_its_image(tab, tmp_path):
    ask(tab, "What kind of image is this?", jpeg(tmp_path)).get_by_text("Confidence").wait_for()
    before = tab.locator("#conversation .options button").first.element_handle()
    tab.locator("#conversation button[title=Retry], #conversation button[aria-label=Retry]").click()
    before.wait_for_element_state("hidden")
    tab.locator("#conversation .options button").first.wait_for()
    tab.locator("#conversation button[title=Undo], #conversation button[aria-label=Undo]").click()
    tab.locator("#conversation .bot").first.wait_for(state="detached")
    assert tab.get_by_placeholder("Ask about").input_value() == "What kind of image is this?"
    ask(tab, "Which organ is shown?").get_by_text("Confidence").wait_for()
    assert tab.locator("#conversation .user img").count() == 1


def test_frames_of_a_moving_picture_are_chosen_before_asking(tab, tmp_path):
    file = get_testdata_file("examples_ybr_color.dcm")
    tab.locator("#question input[type=file]").set_input_files(file)
    tab.get_by_text("Frame (1 to 30)").wait_for()
    tab.locator("#frame input[type=range]").fill("12")
    tab.locator("#frame input[type=range]").dispatch_event("pointerup")
    tab.screenshot(path=tmp_path / "frames.png", full_page=True)
    assert tab.locator("#views img").count() == 1


def edit(tab, number, text):
    """Edit a question in place, as a person does."""
    tab.locator("#conversation button[title=Edit], #conversation button[aria-label=Edit]").nth(number).click()
    tab.locator("#conversation textarea").fill(text)
    tab.locator("#conversation button[title=Submit], #conversation button[aria-label=Submit]").click()


def test_an_earlier_question_with_images_is_edited_in_place_and_the_conversation_goes_on(tab, tmp_path):
    faults = []
    tab.on("pageerror", lambda error: faults.append(str(error)))
    ask(tab, "What kind of image is this?", jpeg(tmp_path)).get_by_text("Confidence").wait_for()
    ask(tab, "Which organ is shown?").get_by_text("Confidence").wait_for()
    edit(tab, 0, "Is there a pneumothorax?")
    tab.get_by_text("Which organ is shown?", exact=True).first.wait_for(state="detached")
    tab.locator("#conversation .bot").get_by_text("Confidence").wait_for()
    assert tab.locator("#conversation .user img").count() == 1
    assert "Is there a pneumothorax?" in tab.locator("#conversation").inner_text()
    assert "What kind of image is this?" not in tab.locator("#conversation .user").all_inner_texts()
    ask(tab, "Where?").get_by_text("Confidence").wait_for()
    edit(tab, 1, "How large?")
    tab.locator("#conversation .user", has_text="How large?").wait_for()
    tab.locator("#conversation .options button").first.wait_for()  # offered once it is answered
    assert tab.locator("#conversation .bot").count() == 2
    tab.screenshot(path=tmp_path / "edited.png")
    assert faults == []


def test_another_model_is_chosen_its_progress_told_and_the_choice_is_the_visitors_own(
    chromium, start_page, adapter_folder, tmp_path
):
    web = start_page("--also", f"lora={adapter_folder}", "--feedback", "none")
    web.wait_until_loaded()
    tabs = [chromium.new_context().new_page() for _ in range(2)]
    for one in tabs:
        one.set_default_timeout(TIMEOUT_MS)
        one.goto(web.url)
        one.locator("#status .ma-ready", has_text="tiny (").wait_for()
    first, second = tabs
    first.get_by_label("Model").click()
    first.get_by_role("option", name="lora (adapter)").click()
    first.locator("#status .ma-ready", has_text="lora (").wait_for()
    assert "beside its base; 2 models hold" in first.locator("#status").inner_text()
    ask(first, "What kind of image is this?", jpeg(tmp_path)).get_by_text("· lora").wait_for()
    ask(second, "What kind of image is this?", jpeg(tmp_path)).get_by_text("· tiny").wait_for()
    add_study(first, jpeg(tmp_path))
    first.get_by_role("button", name="Draft report").click()
    first.locator("[role=meter]:visible").wait_for()
    first.screenshot(path=tmp_path / "models.png")
    serious = [one for one in Axe().run(first).response["violations"] if one["impact"] in ("critical", "serious")]
    assert serious == []
    for one in tabs:
        one.context.close()
