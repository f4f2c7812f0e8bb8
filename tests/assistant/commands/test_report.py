import json

import pytest

from assistant.commands.report import run_report
from assistant.config import AssistantConfig, GenerationConfig
from assistant.errors import WorklistError

CONFIG = AssistantConfig(index="none", generation=GenerationConfig(report_max_new_tokens=8, batch_size=2))


@pytest.fixture
def scans(make_file):
    return [make_file(f"scans/{number}.png", seed=number) for number in range(3)][0].parent


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_folder_becomes_reports_with_pages_and_a_summary(opener, scans, tmp_path, capsys):
    out = tmp_path / "out"
    code = run_report(CONFIG, opener, inputs=[str(scans)], out=out)
    printed = capsys.readouterr()
    assert code == 0
    assert len(lines(out / "reports.jsonl")) == 3
    assert len(list((out / "studies").glob("*.md"))) == 3
    assert printed.out.startswith("3 reported, 0 failed, 0 done before")
    for word in ("images/s", "p50", "p95", "peak memory"):
        assert word in printed.out
    assert "3 of 3 studies" in printed.err


def test_failures_give_exit_code_1_and_say_where_the_reasons_are(opener, scans, tmp_path, capsys):
    (scans / "broken.dcm").write_text("no picture")
    (scans / "notes.txt").write_text("passed over")
    assert run_report(CONFIG, opener, inputs=[str(scans)], out=tmp_path / "out") == 1
    printed = capsys.readouterr()
    assert "3 reported, 1 failed" in printed.out
    assert "failures.jsonl" in printed.out
    assert "Passed over 1 file(s)" in printed.err


def test_a_rerun_goes_on_and_counts_what_was_there(opener, scans, make_file, tmp_path, capsys):
    run_report(CONFIG, opener, inputs=[str(scans)], out=tmp_path / "out")
    make_file("scans/new.png", seed=9)
    capsys.readouterr()
    assert run_report(CONFIG, opener, inputs=[str(scans)], out=tmp_path / "out") == 0
    assert capsys.readouterr().out.startswith("1 reported, 0 failed, 3 done before")


def test_nothing_to_report_on_is_told_before_the_model_loads(tmp_path):
    with pytest.raises(WorklistError, match="No image found"):
        run_report(CONFIG, lambda config: pytest.fail("loaded"), inputs=[str(tmp_path)], out=tmp_path / "out")


def test_the_same_image_reads_the_same_alone_and_in_a_batch(opener, scans, tmp_path):
    run_report(CONFIG, opener, inputs=[str(scans)], out=tmp_path / "all")
    run_report(CONFIG, opener, inputs=[str(scans / "1.png")], out=tmp_path / "one")
    (alone,) = lines(tmp_path / "one" / "reports.jsonl")
    together = next(one for one in lines(tmp_path / "all" / "reports.jsonl") if one["study"] == alone["study"])
    assert alone["sections"] == together["sections"]


def test_a_format_asked_for_later_is_written_without_another_report(opener, scans, tmp_path, capsys, caplog):
    pytest.importorskip("highdicom", reason="writes the SR")
    run_report(CONFIG, opener, inputs=[str(scans)], out=tmp_path / "out")
    capsys.readouterr()
    assert run_report(CONFIG, opener, inputs=[str(scans)], out=tmp_path / "out", formats=("fhir", "sr")) == 0
    assert capsys.readouterr().out.startswith("0 reported, 0 failed, 3 done before")
    assert len(list((tmp_path / "out" / "studies").glob("*.fhir.json"))) == 3
    assert "has no sr: sr belongs into a DICOM study" in caplog.text
