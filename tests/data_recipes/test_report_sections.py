"""Free-text reports are parted at their headings."""

from __future__ import annotations

import pytest

from data_recipes.report_sections import report_sections


@pytest.mark.parametrize(
    ("text", "sections"),
    [
        ("The lungs are clear.", {"findings": "The lungs are clear."}),
        ("FINDINGS:\nClear.\n\nIMPRESSION: Normal.", {"findings": "Clear.", "impression": "Normal."}),
        ("**Findings:** Clear.\n**Conclusion**: Normal.", {"findings": "Clear.", "impression": "Normal."}),
        ("Clinical history: Cough.\nReport: Clear\nlungs.", {"indication": "Cough.", "findings": "Clear lungs."}),
        ("The finding: a nodule.", {"findings": "The finding: a nodule."}),
        ("Findings: A.\nFindings: B.\nComparison: None.", {"findings": "A. B.", "comparison": "None."}),
        (" \n", {}),
    ],
)
def test_headings_part_a_report(text, sections):
    assert report_sections(text) == sections
