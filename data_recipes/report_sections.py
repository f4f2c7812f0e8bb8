"""Free-text reports into the sections that the project writes: technique, findings, impression."""

from __future__ import annotations

import re

_NAMES: dict[str, str] = {
    "technique": "technique",
    "procedure": "technique",
    "examination": "technique",
    "exam": "technique",
    "findings": "findings",
    "finding": "findings",
    "report": "findings",
    "impression": "impression",
    "impressions": "impression",
    "conclusion": "impression",
    "conclusions": "impression",
    "summary": "impression",
    "opinion": "impression",
    "assessment": "impression",
    "indication": "indication",
    "clinical indication": "indication",
    "history": "indication",
    "clinical history": "indication",
    "clinical information": "indication",
    "reason for exam": "indication",
    "reason for examination": "indication",
    "comparison": "comparison",
    "comparisons": "comparison",
    "recommendation": "recommendation",
    "recommendations": "recommendation",
}
_HEADING = re.compile(
    r"^[ \t]*\**(" + "|".join(sorted(map(re.escape, _NAMES), key=len, reverse=True)) + r")\**[ \t]*:[ \t]*\**",
    re.IGNORECASE | re.MULTILINE,
)


def report_sections(text: str) -> dict[str, str]:
    """Part a report at its headings ("Findings:", "CONCLUSION:", …), each at the beginning of a line.

    Args:
        text: a report as it was dictated. Text before the first heading, or without any, counts as findings.
    Returns:
        Name (technique, findings, impression, indication, comparison, recommendation) to its text on one line;
        sections that are empty are left out.
    """
    found: dict[str, list[str]] = {}
    name, begin = "findings", 0
    for match in [*_HEADING.finditer(text), None]:
        end = match.start() if match else len(text)
        part = " ".join(text[begin:end].split())
        if part:
            found.setdefault(name, []).append(part)
        if match:
            name, begin = _NAMES[match[1].lower()], match.end()
    return {name: " ".join(parts) for name, parts in found.items()}
