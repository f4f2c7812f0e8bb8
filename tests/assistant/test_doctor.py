import json
import re
from dataclasses import replace

import pytest

from assistant import doctor
from assistant.chat import MedicalAssistant
from assistant.commands.opened import Opened
from assistant.config import AssistantConfig
from assistant.doctor import all_checks, requirements, run_doctor
from assistant.errors import ModelError

CONFIG = AssistantConfig(index="none")


@pytest.fixture
def opener(tiny_model):
    return lambda config: Opened(MedicalAssistant(tiny_model), tiny_model.name, tiny_model.fingerprint, None)


def test_every_part_is_looked_at(opener):
    checks = {check.name: check for check in all_checks(CONFIG, opener)}
    assert list(checks) == [
        "python", "packages", "cpu", "gpu", "memory", "disk", "images", "dicom", "burned in", "offline", "model",
        "encoder", "index", "engine", "answer",
    ]  # fmt: skip
    for name in ("python", "packages", "images", "dicom", "burned in", "offline", "model", "answer"):
        assert checks[name].ok, checks[name].detail
    assert "torch" in checks["packages"].detail
    assert "JPEG 2000" in checks["dicom"].detail
    assert "loaded in" in checks["model"].detail
    assert "precision exact, oneDNN-packed linears for" in checks["engine"].detail


def test_json_is_one_object_with_every_check(opener, capsys):
    code = run_doctor(CONFIG, opener, as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert printed["ok"] is (code == 0)
    assert {"name", "ok", "detail"} == set(printed["checks"][0])


def test_a_model_that_does_not_load_is_exit_code_1_with_its_mend(capsys):
    def refuse(config):
        raise ModelError("The weights do not fit. Restore the folder.")

    assert run_doctor(CONFIG, refuse) == 1
    printed = capsys.readouterr().out
    assert "FAIL model      The weights do not fit. Restore the folder." in printed
    assert "failed." in printed.splitlines()[-1]


def test_a_check_that_breaks_does_not_hide_the_others(opener, monkeypatch):
    def broken():
        raise RuntimeError("no such thing")

    monkeypatch.setitem(doctor._MACHINE_CHECKS, "cpu", broken)
    checks = {check.name: check for check in all_checks(CONFIG, opener)}
    assert not checks["cpu"].ok
    assert "RuntimeError: no such thing" in checks["cpu"].detail
    assert checks["model"].ok


@pytest.mark.parametrize(
    ("needs", "detail"),
    [(["torch>=99"], r"torch \d.* is outside >=99"), (["no-such-package-here"], "no-such-package-here is missing")],
)
def test_a_missing_or_outdated_package_is_named(opener, monkeypatch, needs, detail):
    monkeypatch.setattr(doctor, "requirements", lambda: needs)
    packages = next(check for check in all_checks(CONFIG, opener) if check.name == "packages")
    assert not packages.ok
    assert re.search(detail, packages.detail)


def test_requirements_are_those_of_the_package_without_extras():
    listed = requirements()
    assert any(one.startswith("torch") for one in listed)
    assert not any("extra" in one for one in listed)


def test_another_index_is_named(tiny_model):
    opened = Opened(MedicalAssistant(tiny_model), "tiny", "feed", "abcd")
    index = next(
        check for check in all_checks(replace(CONFIG, index="x"), lambda config: opened) if check.name == "index"
    )
    assert "abcd" in index.detail


def test_models_beside_the_first_are_loaded_too(tiny_folder, adapter_folder):
    from app import _opener

    also = {"lora": str(adapter_folder), "nowhere": "/no/such"}
    config = AssistantConfig(model=str(tiny_folder), index="none", also=also)
    checks = {check.name: check for check in all_checks(config, _opener(config))}
    assert checks["lora"].ok
    assert "tiny-lora" in checks["lora"].detail
    assert "MB of weights beside those of tiny, which it shares, index none" in checks["lora"].detail
    assert not checks["nowhere"].ok
    assert "There is no model '/no/such'" in checks["nowhere"].detail
