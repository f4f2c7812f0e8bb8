import json
import shutil
from dataclasses import replace

import pydicom
import pytest
from pydicom.data import get_testdata_file

from assistant.commands.report import _fingerprint, run_report, run_status
from assistant.config import AssistantConfig, GenerationConfig
from assistant.errors import WorklistError
from data_recipes.phantom_volume import make_phantom_volume, write_nifti, write_series

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


def test_series_and_nifti_volumes_get_one_report_with_the_slices_read(opener, scans, tmp_path, capsys):
    phantom = make_phantom_volume(5, 0, kind="head_ct", slices=8, size=64)
    write_series(phantom, scans / "ct")
    write_nifti(phantom, scans / "mr.nii.gz")
    shutil.copy(get_testdata_file("reportsi.dcm"), scans / "sr.dcm")
    assert run_report(CONFIG, opener, inputs=[str(scans)], out=tmp_path / "out", window="brain") == 0
    told = capsys.readouterr().err
    assert "Left out 1 file(s): a structured report." in told
    assert "5 studies (1 of them a series of slices)" in told
    records = [one for one in lines(tmp_path / "out" / "reports.jsonl") if one.get("slices")]
    assert sorted(len(one["inputs"]) for one in records) == [1, 8]
    assert all(one["slices"][0]["of"] == 8 for one in records)
    (page,) = (one for one in (tmp_path / "out" / "studies").glob("*.md") if "(8 files)" in one.read_text())
    assert "## Slices read" in page.read_text()
    assert run_report(CONFIG, opener, inputs=[str(scans)], out=tmp_path / "out", window="brain") == 0
    assert "0 reported, 0 failed, 5 done before" in capsys.readouterr().out


def test_a_series_that_is_a_mixture_fails_with_the_reason_and_stops_nothing(opener, scans, tmp_path):
    for path in write_series(make_phantom_volume(5, 0, slices=8, size=64), scans / "ct")[:2]:
        data = pydicom.dcmread(path)
        data.PixelSpacing = [9, 9]
        data.save_as(path)
    assert run_report(CONFIG, opener, inputs=[str(scans)], out=tmp_path / "out") == 1
    (failure,) = lines(tmp_path / "out" / "failures.jsonl")
    assert "a mixture of 2 pixel spacings (6, 2 slices)" in failure["error"]
    assert len(lines(tmp_path / "out" / "reports.jsonl")) == 3


def test_a_list_may_name_a_folder_with_a_series_and_a_prior_volume(opener, tmp_path):
    write_series(make_phantom_volume(5, 0, slices=8, size=64), tmp_path / "now")
    write_series(make_phantom_volume(5, 1, slices=8, size=64), tmp_path / "before")
    (tmp_path / "list.csv").write_text("images,priors\nnow,before\n")
    assert run_report(CONFIG, opener, inputs=[str(tmp_path / "list.csv")], out=tmp_path / "out") == 0
    (record,) = lines(tmp_path / "out" / "reports.jsonl")
    assert len(record["slices"]) == 1


def test_only_what_is_left_out_is_nothing_to_report_on(tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy(get_testdata_file("reportsi.dcm"), tmp_path / "in" / "sr.dcm")
    with pytest.raises(WorklistError, match="Nothing is left to report on"):
        run_report(CONFIG, lambda config: pytest.fail("loaded"), inputs=[str(tmp_path / "in")], out=tmp_path / "out")


def test_new_settings_at_their_usual_values_leave_the_ids_of_older_folders_alone():
    usual = GenerationConfig()
    digest = "5a37ded1d756f9e3"  # of folders that were begun before there were any
    assert _fingerprint(usual) == digest
    assert _fingerprint(replace(usual, feature_folder="kept")) == digest
    assert _fingerprint(replace(usual, slices=3)) != digest
    assert _fingerprint(replace(usual, picture_side=448)) != digest
    assert _fingerprint(usual, "exact") == digest != _fingerprint(usual, "bfloat16")
    assert _fingerprint(replace(usual, precision="int8")) != digest
    assert _fingerprint(replace(usual, linears="packed", prefix_cache_mb=0)) == digest


def test_status_counts_states_and_names_reasons(opener, scans, tmp_path, capsys):
    with pytest.raises(WorklistError, match="out holds no report run"):
        run_status(tmp_path / "out")
    (scans / "broken.dcm").write_text("no picture")
    run_report(CONFIG, opener, inputs=[str(scans)], out=tmp_path / "out")
    capsys.readouterr()
    assert run_status(tmp_path / "out") == 1
    printed = capsys.readouterr().out
    assert "3 done, 0 running, 0 pending, 0 failed, 1 quarantined" in printed
    assert "broken" not in printed
    run_status(tmp_path / "out", keep_names=True)
    assert "broken.dcm: this is text" in capsys.readouterr().out


def test_only_what_failed_is_tried_again_on_request(opener, scans, make_file, tmp_path, capsys):
    (scans / "broken.dcm").write_text("no picture")
    run_report(CONFIG, opener, inputs=[str(scans)], out=tmp_path / "out")
    make_file("scans/new.png", seed=9)
    capsys.readouterr()
    assert run_report(CONFIG, opener, inputs=[str(scans)], out=tmp_path / "out", only_failed=True) == 1
    assert capsys.readouterr().out.startswith("0 reported, 1 failed, 0 done before")
    with pytest.raises(WorklistError, match="None of these inputs stands in"):
        run_report(CONFIG, opener, inputs=[str(scans / "new.png")], out=tmp_path / "out", only_failed=True)


def test_no_input_is_said_before_the_model_loads(tmp_path):
    with pytest.raises(WorklistError, match="No input was given"):
        run_report(CONFIG, lambda config: pytest.fail("loaded"), inputs=[], out=tmp_path / "out")


def test_a_format_asked_for_later_is_written_without_another_report(opener, scans, tmp_path, capsys, caplog):
    pytest.importorskip("highdicom", reason="writes the SR")
    run_report(CONFIG, opener, inputs=[str(scans)], out=tmp_path / "out")
    capsys.readouterr()
    assert run_report(CONFIG, opener, inputs=[str(scans)], out=tmp_path / "out", formats=("fhir", "sr")) == 0
    assert capsys.readouterr().out.startswith("0 reported, 0 failed, 3 done before")
    assert len(list((tmp_path / "out" / "studies").glob("*.fhir.json"))) == 3
    assert "has no sr: sr belongs into a DICOM study" in caplog.text
