"""What was made from a model has a name of its own, wherever the name stands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from assistant.choice import peek
from assistant.model.load import folder_fingerprint, load_model
from assistant.model.merge import merge_adapter
from assistant.model.naming import made_name
from assistant.model.sharing import Bases


@pytest.mark.parametrize(
    ("base", "folder", "name"),
    [
        ("starter", "/data/runs/chest/model", "starter+chest"),
        ("starter", "/data/models/chest-lora", "starter+chest-lora"),
        ("starter+align", "/data/runs/sft/model", "starter+sft"),
        ("starter", "/data/runs/chest/.model.17.partial", "starter+chest"),
        ("starter", "/data/Our run (2)/adapter", "starter+Our-run-2"),
        ("starter", "/model", "starter"),
        ("starter", f"/{'long' * 40}", f"starter+{'long' * 40}"[:64]),
    ],
)
def test_the_name_is_the_bases_and_the_runs(base, folder, name):
    assert made_name(base, Path(folder)) == name


@pytest.fixture
def nameless(adapter_folder, tmp_path):
    """An adapter whose contract carries its base's name, as adapters of early runs do."""
    made = shutil.copytree(adapter_folder, tmp_path / "chest" / "model")
    contract = made / "contract.json"
    contract.write_text(json.dumps({**json.loads(contract.read_text()), "name": "tiny"}))
    return made


def test_an_adapter_that_carries_its_bases_name_is_told_apart(nameless, tiny_model, tmp_path):
    before = folder_fingerprint(nameless)
    alone, beside = load_model(nameless, device="cpu"), Bases().load(nameless, device="cpu")
    assert (tiny_model.name, alone.name, beside.name) == ("tiny", "tiny+chest", "tiny+chest")
    assert peek(str(nameless)).title == "tiny+chest"
    assert alone.fingerprint == before != tiny_model.fingerprint
    assert load_model(merge_adapter(nameless, tmp_path / "whole"), device="cpu").name == "tiny+chest"
    assert load_model(merge_adapter(nameless, tmp_path / "own", name="mine"), device="cpu").name == "mine"
