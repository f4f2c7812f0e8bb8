"""Feedback, acceptance and accessibility in a real Chromium, as a person meets them."""

import json
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe

from assistant.feedback.address import address_of
from assistant.feedback.store import FeedbackStore
from tests.assistant.ui.browsing import add_study, ask, jpeg

pytestmark = pytest.mark.browser


@pytest.fixture
def kept(web):
    store = FeedbackStore(address_of(str(web.feedback)))
    yield lambda: list(store.all(pictures=True))
    store.close()


def thumb_down(tab):
    tab.locator("#conversation button[title=Dislike], #conversation button[aria-label=Dislike]").last.click()
    tab.get_by_label("A better answer").wait_for()


def draft(tab, folder):
    add_study(tab, jpeg(folder))
    tab.get_by_role("button", name="Draft report").click()
    tab.locator("[role=meter]:visible").wait_for()


def download(tab, words, folder):
    tab.get_by_label("Write as").click()
    tab.get_by_role("option", name=words).click()
    with tab.expect_download() as file:
        tab.get_by_role("button", name="Download").click()
    target = folder / file.value.suggested_filename
    file.value.save_as(target)
    return target


def test_a_thumb_down_with_a_correction_is_kept_without_pixels(tab, tmp_path, kept):
    before = {one.id for one in kept()}
    ask(tab, "What kind of image is this?", jpeg(tmp_path)).get_by_text("Confidence").wait_for()
    thumb_down(tab)
    assert "Not kept: your name" in tab.locator("#judging").inner_text()
    tab.get_by_label("Why").click()
    tab.get_by_role("option", name="Misses a finding").click()
    tab.get_by_label("A better answer").fill("A pleural effusion.")
    tab.screenshot(path=tmp_path / "judging.png", full_page=True)
    tab.get_by_role("button", name="Send feedback").click()
    tab.get_by_text("Thank you. Kept").wait_for()
    (one,) = [one for one in kept() if one.id not in before]
    assert (one.verdict, one.reason, one.correction) == ("down", "missed", "A pleural effusion.")
    assert [picture.png for picture in one.pictures] == [None]
    assert one.id in tab.locator("#judged").inner_text()


def test_a_report_is_edited_compared_accepted_kept_and_exported(tab, tmp_path, kept):
    before = {one.id for one in kept()}
    draft(tab, tmp_path)
    tab.get_by_text("An unverified draft, and every export says so.").wait_for()
    tab.get_by_label("Impression").fill("A <b>small</b> effusion.")
    tab.keyboard.press("Tab")
    tab.locator("#changes ins").first.wait_for()
    assert "added: " in tab.locator("#changes ins").first.text_content()
    assert "underline" in tab.locator("#changes ins").first.evaluate("one => getComputedStyle(one).textDecoration")
    tab.get_by_role("button", name="Keep draft and accepted text").click()
    tab.get_by_label("Keep both when I accept").check()
    tab.get_by_role("button", name="Accept this text").click()
    tab.get_by_text("Accepted by a person on").wait_for()
    tab.get_by_text("Thank you. Kept").wait_for()
    text = download(tab, "Markdown page", tmp_path).read_text()
    assert text.startswith("# Report accepted by a person")
    assert "A <b>small</b> effusion." in text
    assert "Draft by a research model" not in text
    record = json.loads(download(tab, "The ledger's record", tmp_path).read_text())
    assert record["accepted"]["by"] == "a person"
    assert download(tab, "PDF with pictures", tmp_path).read_bytes().startswith(b"%PDF")
    (one,) = [one for one in kept() if one.id not in before]
    assert (one.kind, one.accepted) == ("report", True)
    tab.screenshot(path=tmp_path / "accepted.png", full_page=True)


def test_a_draft_that_nobody_accepted_is_judged(tab, tmp_path, kept):
    before = {one.id for one in kept()}
    draft(tab, tmp_path)
    tab.get_by_label("Impression").fill("A small effusion.")
    tab.keyboard.press("Tab")
    tab.locator("#report-thumbs").get_by_role("button", name="Not helpful").click()
    form = tab.locator("#report-judging")
    form.get_by_label("Why").click()
    tab.get_by_role("option", name="Misses a finding").click()
    assert form.get_by_label("Keep the text as I have edited it").is_checked()
    found = violations(tab, "judged")
    form.get_by_role("button", name="Send feedback").click()
    tab.locator("#report-judged").get_by_text("Thank you. Kept").wait_for()
    tab.get_by_text("An unverified draft, and every export says so.").wait_for()
    (one,) = [one for one in kept() if one.id not in before]
    assert (one.kind, one.verdict, one.reason, one.accepted) == ("report", "down", "missed", False)
    assert "A small effusion." in one.correction
    assert found == []


def test_an_archives_format_says_why_it_cannot_be_made_from_a_jpeg(tab, tmp_path):
    draft(tab, tmp_path)
    tab.get_by_label("Write as").click()
    tab.get_by_role("option", name="DICOM structured report").click()
    tab.get_by_role("button", name="Download").click()
    tab.get_by_text("sr belongs into a DICOM study").wait_for()


def test_equal_files_of_two_visitors_do_not_take_each_others(visit, tmp_path):
    first, second = visit(), visit()
    for one in (first, second):
        one.locator("#question input[type=file]").set_input_files(str(jpeg(tmp_path)))
        one.locator("#question .thumbnail-item").first.wait_for()
    ask(first, "What is this?").get_by_text("Confidence").wait_for()
    answer = ask(second, "What is this?")
    answer.get_by_text("Confidence").wait_for()
    assert second.locator("#conversation .user img").count() == 1


@pytest.mark.parametrize(
    ("width", "height", "scheme"),
    [(1280, 860, "light"), (1280, 860, "dark"), (390, 844, "light"), (390, 844, "dark")],
)
def test_axe_finds_nothing_critical_or_serious(visit, tmp_path, width, height, scheme):
    tab = visit(width, height, scheme)
    found = violations(tab, "start")
    ask(tab, "What does a pneumothorax look like on a chest X-ray?").get_by_text("Confidence").wait_for()
    ask(tab, "What kind of image is this?", jpeg(tmp_path)).get_by_text("Confidence").wait_for()
    tab.get_by_role("button", name="Ask about a region").click()
    thumb_down(tab)
    found += violations(tab, "answered")
    draft(tab, tmp_path)
    tab.get_by_label("Impression").fill("Other words.")
    tab.keyboard.press("Tab")
    tab.locator("#changes ins").first.wait_for()
    tab.get_by_role("button", name="Keep draft and accepted text").click()
    tab.get_by_role("button", name="Accept this text").click()
    tab.get_by_text("Accepted by").wait_for()
    found += violations(tab, "report")
    assert found == []


def violations(tab, where):
    """Return what axe calls critical or serious, each with the first element that it found."""
    tab.wait_for_timeout(400)  # what fades in has no contrast yet
    return [
        f"{where}: {one['impact']} {one['id']}: {one['nodes'][0]['html'][:160]}"
        for one in Axe().run(tab).response["violations"]
        if one["impact"] in ("critical", "serious")
    ]


def test_axe_does_find_what_is_wrong(tab):
    tab.evaluate("document.body.insertAdjacentHTML('beforeend', '<button></button>')")
    assert any("button-name" in one for one in violations(tab, "spoilt"))


def test_the_pages_policy_stops_a_picture_of_another_host(chromium, web):
    tab = chromium.new_page()
    tab.goto(web.url)
    refused = tab.evaluate(
        """() => new Promise(done => {
          document.addEventListener('securitypolicyviolation', event => done(event.effectiveDirective), {once: true});
          const image = new Image(); image.src = 'http://far.example/a.png'; document.body.append(image);
        })"""
    )
    tab.close()
    assert refused == "img-src"


def test_a_conversation_that_is_empty_says_so_when_it_is_to_be_kept(tab):
    tab.locator("#save-markdown").click()
    tab.get_by_text("Nothing has been answered yet.").wait_for()


def test_files_lie_where_no_other_user_reads(web):
    assert Path(web.feedback).stat().st_mode & 0o077 == 0
