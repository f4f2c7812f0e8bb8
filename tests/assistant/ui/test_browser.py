"""The page in a real Chromium, as a person uses it. Screenshots go to the test's temporary folder."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

pytestmark = pytest.mark.browser

CARDS = """---
id: {id}
title: "{title}"
modality: X-ray
anatomy: chest
finding: {finding}
synonyms: []
licence: Apache-2.0
references:
  - "Author A. A work. Publisher, 2001."
---
{text}
"""
TEXTS = {
    "pneumothorax": "A pneumothorax on a chest X-ray appears as a thin white line without lung markings beyond it.",
    "effusion": "A pleural effusion on a chest X-ray blunts the costophrenic angle and forms a meniscus.",
}
TIMEOUT_MS = 120_000
"""Long, for machines that are busy with something else."""
ARGUMENTS = ["--no-sandbox", "--headless", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def page(start_page, tiny_model, tmp_path_factory):
    """The running page with the tiny model and an index of two cards."""
    from retrieval.corpus import read_corpora
    from retrieval.encoder import ModelEncoder
    from retrieval.write import build_index

    root = tmp_path_factory.mktemp("index")
    cards = root / "cards"
    cards.mkdir()
    for finding, text in TEXTS.items():
        title = f"{finding.capitalize()} on a chest X-ray"
        (cards / f"{finding}.md").write_text(CARDS.format(id=finding, title=title, finding=finding, text=text))
    build_index(read_corpora([str(cards)]), ModelEncoder(tiny_model), root / "index")
    running = start_page("--index", str(root / "index"))
    running.wait_until_loaded()
    return running


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium on this machine; install it with: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium, page):
    """A fresh visitor's tab; the test fails if it asks anything of another host."""
    context = chromium.new_context(viewport={"width": 1280, "height": 860})
    context.set_default_timeout(TIMEOUT_MS)
    opened = context.new_page()
    outside = []
    opened.on("request", lambda request: outside.append(request.url) if not is_own(request.url, page.url) else None)
    opened.goto(page.url)
    opened.get_by_placeholder("Ask about").wait_for()
    yield opened
    context.close()
    assert outside == []


def is_own(url, base):
    return url.startswith((base, "data:", "blob:"))


def jpeg(folder):
    path = folder / "scan.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 48), dtype=np.uint8)).save(path)
    return path


def ask(tab, question, image=None):
    if image is not None:
        tab.locator("#question input[type=file]").set_input_files(str(image))
        tab.locator("#question .thumbnail-item").first.wait_for()
    box = tab.get_by_placeholder("Ask about")
    box.fill(question)
    before = tab.locator("#conversation .bot").count()
    box.press("Enter")
    answer = tab.locator("#conversation .bot").nth(before)
    answer.wait_for()
    return answer


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
    assert "broken.png" in answer.inner_text()
    assert tab.locator("#grounds [role=alert]").count() == 1
    assert "Traceback" not in tab.content()
    tab.screenshot(path=tmp_path / "broken.png.png")


def test_a_new_conversation_is_empty(tab):
    ask(tab, "What is an effusion?").get_by_text("Confidence").wait_for()
    tab.get_by_role("button", name="New conversation").click()
    tab.locator("#conversation .bot").first.wait_for(state="detached")
    assert tab.locator("#grounds [role=meter]").count() == 0


def test_a_report_is_drafted_edited_and_downloaded(tab, tmp_path):
    tab.get_by_role("tab", name="Report").click()
    tab.locator("#study input[type=file]").first.set_input_files(str(jpeg(tmp_path)))
    tab.get_by_text("scan.jpg").wait_for()
    tab.get_by_role("button", name="Draft report").click()
    tab.locator("[role=meter]:visible").wait_for()
    tab.get_by_label("Impression").fill("Seen by a person.")
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Download Markdown").click()
    text = Path(download.value.path()).read_text()
    assert "Seen by a person." in text
    assert "Edited by a person after drafting:" in text
    tab.screenshot(path=tmp_path / "report.png")


def test_the_notice_stays_in_view_and_a_phone_needs_no_sideways_scroll(chromium, page, tmp_path):
    context = chromium.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark")
    context.set_default_timeout(TIMEOUT_MS)
    tab = context.new_page()
    tab.goto(page.url)
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
    tab.locator("#conversation button[title=Retry], #conversation button[aria-label=Retry]").click()
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
