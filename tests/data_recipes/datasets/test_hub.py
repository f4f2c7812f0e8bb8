"""`--source hub`, as far as it goes without a network: what it refuses."""

from __future__ import annotations

import pytest

from assistant.errors import DataError
from data_recipes.build import main
from data_recipes.datasets.hub import DATA_FILES, snapshot


def test_offline_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(DataError, match=r"flaviagiammarino/vqa-rad cannot be downloaded \(.*Unset HF_HUB_OFFLINE"):
        snapshot("vqa-rad")


def test_sets_that_are_not_there_are_named_with_their_home():
    with pytest.raises(DataError, match=r"mimic-cxr is not openly on the hub\. mimic-cxr is at https://physionet"):
        snapshot("mimic-cxr")
    with pytest.raises(DataError, match="pubmedqa is not openly on the hub.*Recipes that are: medmcqa, medqa"):
        snapshot("pubmedqa")


def test_the_command_ends_with_2_and_writes_nothing(tmp_path, capsys):
    assert main(["medquad", "--source", "hub", "--out", str(tmp_path / "out")]) == 2
    assert "--source hub: medquad is not openly on the hub" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_no_program_is_downloaded():
    assert not {"*.py", "*.pkl", "*.sh", "*"} & set(DATA_FILES)
