"""A run's folder: what is written, and what is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from assistant.errors import TrainingError
from training.run_folder import PACKAGES, RunFolder, file_hash, versions, write_json


@dataclass(frozen=True)
class Settings:
    """Of a run."""

    steps: int = 3
    out: Path = Path("runs/a")


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text("one\n")
    return path


def test_recipe_versions_and_data_are_written(tmp_path, data):
    RunFolder(tmp_path / "run", Settings(), inputs=[data, tmp_path])
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["recipe"] == {"steps": 3, "out": "runs/a"}
    assert record["data"] == {str(data): file_hash(data)}
    assert set(record["versions"]) == set(PACKAGES)
    assert record["versions"]["torch"] == torch.__version__.split("+")[0] or "." in record["versions"]["torch"]


def test_a_folder_with_a_run_is_not_written_over(tmp_path):
    RunFolder(tmp_path / "run", Settings())
    with pytest.raises(TrainingError, match=r"run already holds a run\. Add --resume to go on, or choose another"):
        RunFolder(tmp_path / "run", Settings())
    RunFolder(tmp_path / "run", Settings(), resume=True)


def test_a_changed_recipe_is_not_resumed(tmp_path):
    RunFolder(tmp_path / "run", Settings())
    with pytest.raises(TrainingError, match=r"run cannot be resumed: its recipe changed since .* another `out`"):
        RunFolder(tmp_path / "run", Settings(steps=4), resume=True)


def test_changed_data_are_not_resumed(tmp_path, data):
    RunFolder(tmp_path / "run", Settings(), inputs=[data])
    data.write_text("two\n")
    with pytest.raises(TrainingError, match="its data changed"):
        RunFolder(tmp_path / "run", Settings(), inputs=[data], resume=True)
    with pytest.raises(TrainingError, match="its recipe and data changed"):
        RunFolder(tmp_path / "run", Settings(steps=4), inputs=[data], resume=True)


def test_metrics_are_lines_with_their_step(tmp_path):
    folder = RunFolder(tmp_path / "run", Settings())
    folder.log(5, loss=0.25, note="half")
    folder.log(10, loss=0.125)
    lines = [json.loads(line) for line in (folder.path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == [(5, 0.25), (10, 0.125)]
    assert lines[0]["note"] == "half"


def test_a_state_comes_back_as_it_was(tmp_path):
    folder = RunFolder(tmp_path / "run", Settings())
    assert folder.load_state() is None
    shared = torch.arange(6.0).view(2, 3)
    folder.save_state({"a": shared, "b": shared.T, "c": torch.tensor(3)}, {"step": 7})
    tensors, numbers = folder.load_state()
    assert numbers == {"step": 7}
    assert torch.equal(tensors["b"], shared.T)
    assert tensors["c"].item() == 3
    assert not list(folder.path.glob("*.partial"))


def test_json_is_written_whole(tmp_path):
    write_json(tmp_path / "a.json", {"path": tmp_path})
    assert json.loads((tmp_path / "a.json").read_text()) == {"path": str(tmp_path)}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_missing_packages_are_said_to_be_missing(monkeypatch):
    monkeypatch.setattr("training.run_folder.PACKAGES", ("torch", "no-such-package"))
    assert versions()["no-such-package"] == "not installed"


def test_equal_files_have_equal_hashes(tmp_path, data):
    other = tmp_path / "other"
    other.write_text("one\n")
    assert file_hash(data) == file_hash(other)
    assert len(file_hash(data)) == 16
