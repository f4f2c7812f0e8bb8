from assistant.conversation import NOT_FOR_CLINICAL_USE
from assistant.exports.markdown import report_markdown
from assistant.exports.wording import EMPTY_SECTION

RECORD = {
    "study": "0123456789abcdef",
    "inputs": ["scans/a.png"],
    "sections": {"technique": "Chest radiograph.", "findings": "Clear lungs.", "impression": ""},
    "confidence": 0.83,
    "abstained": False,
    "cautions": ["The window was assumed.", NOT_FOR_CLINICAL_USE],
    "evidence": [{"title": "Clear lungs", "text": "Dark\nlungs.", "source": "A card", "licence": "CC0-1.0"}],
    "model": {"name": "tiny", "fingerprint": "feed"},
}


def test_sections_stand_in_their_order_and_an_empty_one_is_said():
    page = report_markdown(RECORD)
    assert page.index("## Technique") < page.index("## Findings") < page.index("## Impression")
    assert f"## Impression\n\n{EMPTY_SECTION}" in page


def test_the_notice_stands_once_and_at_the_head():
    page = report_markdown(RECORD)
    assert page.count(NOT_FOR_CLINICAL_USE) == 1
    assert page.index(NOT_FOR_CLINICAL_USE) < page.index("## Technique")


def test_evidence_is_numbered_with_source_and_licence():
    assert "1. **Clear lungs.** Dark lungs.  \n   Source: A card (CC0-1.0)" in report_markdown(RECORD)


def test_confidence_cautions_study_and_model_are_named():
    page = report_markdown(RECORD)
    for text in ("fairly high (83 %)", "- The window was assumed.", "`0123456789abcdef`", "`scans/a.png`", "`feed`"):
        assert text in page


def test_sections_alone_make_a_page():
    page = report_markdown({"sections": {"findings": "Clear lungs."}})
    assert "Clear lungs." in page
    assert "## Evidence" not in page
    assert "## Cautions" not in page


def test_a_template_heads_the_page_and_a_critical_finding_stands_first(urgent):
    page = report_markdown(urgent)
    assert page.startswith("# Draft report: Histopathology\n")
    assert page.index("> **Critical finding: possible malignancy.**") < page.index("## Specimen")
    heads = [line for line in page.splitlines() if line.startswith("## ")]
    assert heads[:4] == ["## Specimen", "## Comparison", "## Microscopy", "## Diagnosis"]
    assert "- Compared with: `scans/b.png`, found by patient and date" in page
    assert "Template `pathology`, chosen by the look of the image." in page


def test_what_was_told_of_the_study_cannot_write_markup(urgent):
    page = report_markdown(urgent)
    assert "- Indication: Cough \\<b\\>\\*bold\\*\\</b\\>" in page
    assert "- History: Smoker." in page
