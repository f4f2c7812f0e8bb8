import json
import os
from pathlib import Path

import pytest
from PIL import Image

from assistant.commands.report import run_report
from assistant.config import AssistantConfig, GenerationConfig
from assistant.errors import WorklistError
from assistant.names import own_name, paths_of, remember, without_paths

CONFIG = AssistantConfig(index="none", generation=GenerationConfig(report_max_new_tokens=8, batch_size=4))


@pytest.fixture
def opener(tiny_model):
    from assistant.chat import MedicalAssistant
    from assistant.commands.opened import Opened

    def open_assistant(config):
        return Opened(MedicalAssistant(tiny_model, None, config.generation), "tiny", tiny_model.fingerprint, None)

    return open_assistant


@pytest.fixture
def scans(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("doe-jane.png", "roe.png")):
        (tmp_path / "scans").mkdir(exist_ok=True)
        Image.new("L", (24, 16), 60 + number).save(tmp_path / "scans" / name)
    return tmp_path / "scans"


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_name_tells_nothing_but_the_kind_of_file():
    name = own_name(Path("clinic/Doe^Jane.NII.GZ"))
    assert len(name) == len("image-") + 16 + len(".nii.gz")
    assert name == own_name(Path("clinic/Doe^Jane.NII.GZ")) != own_name(Path("clinic/Roe.nii.gz"))
    assert own_name(Path("doe.jane")).count(".") == 0


def test_another_installation_gives_other_names(monkeypatch, tmp_path):
    before = own_name(Path("a.png"))
    monkeypatch.setenv("MEDASSIST_STATE_DIR", str(tmp_path / "elsewhere"))
    assert own_name(Path("a.png")) != before


def test_the_mapping_is_for_the_owner_alone_and_grows_by_what_is_new(tmp_path):
    for _ in range(2):
        remember(tmp_path, [Path("a.png"), Path("b.png")])
    remember(tmp_path, [Path("c.png")])
    file = tmp_path / "inputs.jsonl"
    assert (file.stat().st_mode & 0o777, len(lines(file))) == (0o600, 3)
    assert paths_of(tmp_path, [own_name(Path("c.png")), "old/path.png"]) == ["c.png", "old/path.png"]


def test_half_a_line_of_a_kill_is_written_again(tmp_path):
    remember(tmp_path, [Path("a.png")])
    with (tmp_path / "inputs.jsonl").open("a") as file:
        file.write('{"name": "image-')
    remember(tmp_path, [Path("b.png")])
    assert paths_of(tmp_path, [own_name(Path("a.png")), own_name(Path("b.png"))]) == ["a.png", "b.png"]


def test_a_mapping_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "inputs.jsonl").mkdir()
    with pytest.raises(WorklistError, match=r"inputs\.jsonl cannot be written .*--keep-names"):
        remember(tmp_path, [Path("a.png")])


def test_messages_lose_paths_in_every_form(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("clinic/doe/jane.png")
    text = f"{path}: bad; {os.path.abspath(path)}, jane.png in {path.parent} or {os.path.abspath(path.parent)}."
    name = own_name(path)
    assert without_paths(text, [path], [name]) == f"{name}: bad; {name}, {name} in its folder or its folder."


def test_a_run_keeps_no_file_name_but_in_the_mapping(scans, tmp_path, opener, capsys):
    (scans / "doe-broken.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    run_report(CONFIG, opener, inputs=["scans"], out=out, formats=("md", "json", "csv", "html", "fhir", "hl7"))
    printed = capsys.readouterr()
    for path in out.rglob("*"):
        found = b"doe" in path.read_bytes() if path.is_file() else False
        assert found == (path.name == "inputs.jsonl"), path
        assert "doe" not in path.name
    assert "doe" not in printed.out + printed.err
    (failure,) = lines(out / "failures.jsonl")
    assert paths_of(out, failure["inputs"]) == ["scans/doe-broken.png"]
    assert failure["error"].startswith(failure["inputs"][0])
    run_report(CONFIG, opener, inputs=["scans"], out=out)
    assert "0 reported, 1 failed, 2 done before" in capsys.readouterr().out


def test_who_wants_names_gets_them(scans, tmp_path, opener):
    run_report(CONFIG, opener, inputs=["scans"], out=tmp_path / "out", keep_names=True)
    assert {one["inputs"][0] for one in lines(tmp_path / "out" / "reports.jsonl")} == {
        "scans/doe-jane.png", "scans/roe.png",
    }  # fmt: skip
    assert not (tmp_path / "out" / "inputs.jsonl").exists()
    assert len(list((tmp_path / "out" / "studies").glob("doe-jane-*.md"))) == 1


def test_a_ledger_with_paths_goes_on_without_doubling_or_losing(scans, tmp_path, opener, capsys):
    """As earlier versions wrote it: paths in the ledger, in the table and in the failures."""
    (scans / "doe-broken.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    run_report(CONFIG, opener, inputs=["scans"], out=out, keep_names=True)
    pages = sorted(one.name for one in (out / "studies").iterdir())
    run_report(CONFIG, opener, inputs=["scans"], out=out, formats=("md", "html"))
    assert "0 reported, 1 failed, 2 done before" in capsys.readouterr().out
    assert {one.name for one in (out / "studies").glob("*.md")} == set(pages)
    assert len(list((out / "studies").glob("*.html"))) == 2
    (failure,) = lines(out / "failures.jsonl")
    assert failure["inputs"] == [own_name(Path("scans/doe-broken.png"))]
    Image.new("L", (9, 9), 77).save(scans / "doe-broken.png")
    run_report(CONFIG, opener, inputs=["scans"], out=out, only_failed=True)
    assert "1 reported, 0 failed" in capsys.readouterr().out
    assert lines(out / "failures.jsonl") == []


def test_exports_find_their_images_again_and_do_without_a_deleted_mapping(scans, tmp_path, opener):
    out = tmp_path / "out"
    run_report(CONFIG, opener, inputs=["scans"], out=out)
    run_report(CONFIG, opener, inputs=["scans"], out=out, formats=("html",))
    assert all("data:image/png" in one.read_text() for one in (out / "studies").glob("*.html"))
    (out / "inputs.jsonl").unlink()
    run_report(CONFIG, opener, inputs=["scans"], out=out)  # notes the names again
    assert len(lines(out / "inputs.jsonl")) == 2
