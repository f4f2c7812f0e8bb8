"""The words of `report` that are not about a plain run, and runs with templates and priors."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import app
from assistant.commands.report import run_report
from assistant.config import AssistantConfig, GenerationConfig
from assistant.errors import ConfigError
from tests.assistant.dicom_files import write_image

CONFIG = AssistantConfig(
    index="none", generation=GenerationConfig(report_max_new_tokens=8, batch_size=4, check_images=False)
)
OWN = """
name: knee-xray
title: Knee X-ray
modality: X-ray
anatomy: [knee]
sections: {impression: Opinion}
questions:
  - ask: Is there a fracture?
    answers: {"Yes": A fracture is seen., "No": No fracture is seen.}
critical: [{finding: fracture}]
"""


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def visits(tmp_path):
    """A folder with two visits of one patient, and one of another."""
    write_image(tmp_path / "in" / "before.dcm", 80, StudyDate="20220101")
    write_image(tmp_path / "in" / "now.dcm", 120)
    write_image(tmp_path / "in" / "other.dcm", 140, PatientID="H-2", BodyPartExamined="KNEE")
    return tmp_path / "in"


def test_an_earlier_study_in_the_folder_is_compared_with_and_named(opener, visits, tmp_path, capsys):
    assert run_report(CONFIG, opener, inputs=[str(visits)], out=tmp_path / "out", keep_names=True) == 0
    assert "Compared with an earlier one of the same patient: 1 study." in capsys.readouterr().err
    records = {Path(one["inputs"][0]).name: one for one in lines(tmp_path / "out" / "reports.jsonl")}
    assert [Path(one).name for one in records["now.dcm"]["priors"]] == ["before.dcm"]
    assert records["now.dcm"]["priors_found"] is True
    assert "comparison" in records["now.dcm"]["sections"]
    assert "comparison" not in records["before.dcm"]["sections"]
    written = "".join(
        path.read_text() for path in (tmp_path / "out").rglob("*") if path.suffix in (".md", ".jsonl", ".csv")
    )
    assert not any(secret in written for secret in ("4711", "Doe", "1950", "20220101", "20240301"))
    (page,) = (tmp_path / "out" / "studies").glob("now-*.md")
    assert "before.dcm`, found by patient and date" in page.read_text()


def test_a_study_is_not_reported_again_when_its_prior_comes_later(opener, visits, tmp_path, capsys):
    out = tmp_path / "out"
    run_report(CONFIG, opener, inputs=[str(visits / "now.dcm")], out=out)
    run_report(CONFIG, opener, inputs=[str(visits)], out=out)
    assert "2 reported, 0 failed, 1 done before" in capsys.readouterr().out


def test_no_priors_are_looked_for_on_request(opener, visits, tmp_path):
    run_report(CONFIG, opener, inputs=[str(visits)], out=tmp_path / "out", priors=False)
    assert not any("priors" in one for one in lines(tmp_path / "out" / "reports.jsonl"))


def test_a_prior_that_cannot_be_read_costs_the_comparison_alone(opener, visits, tmp_path):
    whole = (visits / "before.dcm").read_bytes()
    (visits / "before.dcm").write_bytes(whole[:-600])
    assert run_report(CONFIG, opener, inputs=[str(visits)], out=tmp_path / "out", keep_names=True) == 1
    records = {Path(one["inputs"][0]).name: one for one in lines(tmp_path / "out" / "reports.jsonl")}
    assert "priors" not in records["now.dcm"]
    assert any("cannot be read: nothing was compared" in one for one in records["now.dcm"]["cautions"])


def test_a_template_file_asks_its_questions_and_heads_the_page(tiny_model, visits, tmp_path):
    from assistant.chat import MedicalAssistant
    from assistant.commands.opened import Opened
    from assistant.template_files import load_templates

    def open_assistant(config):
        made = MedicalAssistant(tiny_model, None, config.generation, templates=load_templates(config.templates))
        return Opened(made, "tiny", "feed", None)

    (tmp_path / "knee.yaml").write_text(OWN)
    code = run_report(
        replace(CONFIG, generation=replace(CONFIG.generation, abstain_below=0.0)), open_assistant,
        inputs=[str(visits)], out=tmp_path / "out", keep_names=True, template=str(tmp_path / "knee.yaml"),
    )  # fmt: skip
    assert code == 0
    for record in lines(tmp_path / "out" / "reports.jsonl"):
        assert record["template"]["name"] == "knee-xray"
        assert record["sections"]["findings"] in ("A fracture is seen.", "No fracture is seen.")
        assert bool(record["critical"]) == (record["sections"]["findings"] == "A fracture is seen.")
    (page,) = (tmp_path / "out" / "studies").glob("other-*.md")
    assert page.read_text().startswith("# Draft report: Knee X-ray\n")
    assert "## Opinion" in page.read_text()
    (chest,) = (tmp_path / "out" / "studies").glob("before-*.md")
    assert "is for X-ray of knee, but the file's header says chest." in chest.read_text()


def test_unknown_templates_are_told_before_the_model_loads(visits, tmp_path):
    def refuse(config):
        pytest.fail("loaded")

    with pytest.raises(ConfigError, match="no report template 'foot'"):
        run_report(CONFIG, refuse, inputs=[str(visits)], out=tmp_path / "out", template="foot")
    (tmp_path / "list.csv").write_text("images,template\nin/now.dcm,foot\nin/other.dcm,ct-head\n")
    with pytest.raises(ConfigError, match="no report template 'foot'"):
        run_report(CONFIG, refuse, inputs=[str(tmp_path / "list.csv")], out=tmp_path / "out", keep_names=True)


def test_a_list_names_templates_and_tells_of_the_patient_without_naming_her(opener, visits, tmp_path):
    (tmp_path / "list.csv").write_text(
        "images,template,indication,history\n"
        'in/now.dcm,chest-xray,"Cough, seen by Dr Miller on 2024-03-01",Phone 030 1234567\n'
        "in/other.dcm,ct-head,,\n"
    )
    assert run_report(CONFIG, opener, inputs=[str(tmp_path / "list.csv")], out=tmp_path / "out", keep_names=True) == 0
    first, second = lines(tmp_path / "out" / "reports.jsonl")
    assert first["indication"] == "Cough, seen by [name] on [date]"
    assert first["history"] == "Phone [phone]"
    assert first["template"]["chosen_by"] == "name"
    assert any("is for CT, but the image is X-ray" in one for one in second["doubts"])
    (page,) = (tmp_path / "out" / "studies").glob("now-*.md")
    assert "- Indication: Cough, seen by \\[name\\] on \\[date\\]" in page.read_text()


def command(*words):
    return app.main(["report", *map(str, words)])


def test_templates_are_listed_without_a_folder_or_a_model(tmp_path, capsys):
    (tmp_path / "knee.yaml").write_text(OWN)
    assert command("--list-templates", "--templates", tmp_path) == 0
    told = capsys.readouterr().out
    assert "chest-xray" in told
    assert "Knee X-ray" in told


def test_the_review_queue_of_a_run_is_told_and_written(opener, visits, tmp_path, capsys):
    (visits / "broken.dcm").write_text("no picture")
    run_report(CONFIG, opener, inputs=[str(visits)], out=tmp_path / "out", keep_names=True)
    assert "studies to look at: " in capsys.readouterr().out
    (tmp_path / "out" / "review.csv").unlink()
    assert command("--review", "--out", tmp_path / "out") == 0
    assert "broken.dcm: No report: " in capsys.readouterr().out
    assert (tmp_path / "out" / "review.csv").exists()
    assert command("--review", "--out", tmp_path / "empty") == 2
    assert "empty holds no report run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.png"], "--out is missing; name the folder"),
        (["--status", "--review", "--out", "o"], "--status and --review are given; use one of them"),
        (["in", "--watch", "--only-failed", "--out", "o"], "--watch tries again by itself"),
        (["in", "--watch", "--every", "soon", "--out", "o"], "'soon' is no time, such as 5s, 2m or 1h"),
        (["in", "--watch", "--every", "0s", "--out", "o"], "--every is 0 s"),
        (["a.csv", "--watch", "--out", "o"], "--watch takes folders, and a.csv is none"),
    ],
)
def test_words_that_do_not_go_together_are_told(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command(*words) == 2
    assert said in capsys.readouterr().err


def wait_for(condition, seconds=240.0):
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


@pytest.mark.parametrize("end", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_watched_folder_is_reported_on_until_the_process_is_told_to_end(tiny_folder, visits, tmp_path, end):
    out, late = tmp_path / "out", visits / "late.dcm"
    words = ["app.py", "report", visits, "--out", out, "--watch", "--every", "0.2s", "--settled", "0.5s",
             "--model", tiny_folder, "--index", "none", "--keep-names"]  # fmt: skip
    with subprocess.Popen(
        [sys.executable, *map(str, words)], cwd=Path(app.__file__).parent, env=dict(os.environ),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        reports = out / "reports.jsonl"
        try:
            wait_for(lambda: reports.exists() and len(lines(reports)) == 3)
            whole = write_image(tmp_path / "late.dcm", PatientID="H-3").read_bytes()
            late.write_bytes(whole[:-500])  # a copy under way; test_watch tells for how long
            late.write_bytes(whole)
            wait_for(lambda: len(lines(reports)) == 4)
        finally:
            process.send_signal(end)
            printed, told = process.communicate(timeout=240)
    assert process.returncode == 0, told
    assert printed.startswith("4 reported, 0 failed")
    assert len({one["study"] for one in lines(reports)}) == 4
    assert "priors" in next(one for one in lines(reports) if one["inputs"][0].endswith("now.dcm"))
