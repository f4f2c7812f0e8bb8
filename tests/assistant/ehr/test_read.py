import json

import pytest

from assistant.ehr.read import read_reports
from assistant.errors import DataError
from assistant.exports.markdown import report_markdown

SECTIONS = {"technique": "Chest.", "findings": "Clear lungs. 3.5 mm nodule.", "impression": "Nodule."}


def test_every_form_gives_the_same_sentences(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"sections": SECTIONS}))
    (tmp_path / "b.jsonl").write_text(json.dumps({"sections": SECTIONS}) + "\n")
    (tmp_path / "c.md").write_text(report_markdown({"sections": SECTIONS, "cautions": ["None."]}))
    (tmp_path / "d.txt").write_text("Findings: Clear lungs. 3.5 mm nodule.\nImpression: Nodule.")
    for name in ("a.json", "b.jsonl", "c.md", "d.txt"):
        (report,) = read_reports([str(tmp_path / name)])
        assert [one.text for one in report.sources(1)] == ["Clear lungs.", "3.5 mm nodule.", "Nodule."]
    assert report.sources(2)[1].place == "report 2, findings 2"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.json", b"{", "x.json is no JSON"),
        ("x.jsonl", b"{}\n{", "is no JSON lines"),
        ("x.json", b"{}", "holds no report"),
        ("x.json", b'{"sections": {"findings": "a"}, "abstained": true}', "holds no report"),
        ("x.txt", b"", "holds no report"),
        ("x.txt", b"\xff\xfe\x00", "is no UTF-8 text"),
    ],
)
def test_what_is_no_report_is_told(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_reports([str(tmp_path / name)])
    with pytest.raises(DataError, match="cannot be read"):
        read_reports([str(tmp_path / "none.txt")])
