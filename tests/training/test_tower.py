"""Tuning the text tower for retrieval."""

from __future__ import annotations

import json

import numpy as np
import pytest

from assistant.errors import ConfigError, DataError, RetrievalError, TrainingError
from assistant.model.contract import Contract
from assistant.model.load import load_model
from retrieval.encoder import FolderEncoder
from training.recipe import OptimizerSettings
from training.tower import describe, main
from training.tower_data import Questions, hard_negatives, read_pictures, read_questions
from training.tower_run import recall, run_tower
from training.tower_settings import TowerSettings

WORDS = ("glioma", "oedema", "fracture", "nodule", "effusion", "cyst", "stone", "ulcer")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    from PIL import Image

    root = tmp_path_factory.mktemp("tower")
    lines = []
    for place, word in enumerate(WORDS):
        lines.append({"question": f"What is {word}?", "title": word, "text": f"The {word} is told as {WORDS[-place]}."})
    for name, part in (("train", lines[:6]), ("dev", lines[4:])):
        (root / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in part))
    (root / "cases").mkdir()
    records = []
    for number, word in enumerate(WORDS[:4]):
        Image.new("RGB", (16, 16), (60 * number, 0, 0)).save(root / "cases" / f"{number}.png")
        records.append({"id": f"c{number}", "image": f"{number}.png", "text": f"A {word}.", "modality": "CT",
                        "split": "train" if number < 3 else "dev", "source": "S", "licence": "CC0-1.0"})  # fmt: skip
    (root / "cases" / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in records))
    return root


@pytest.fixture(scope="module")
def settings(data, tiny_folder):
    def make(out, **changes):
        values = {
            "model": str(tiny_folder), "questions": (data / "train.jsonl",), "held_out": (data / "dev.jsonl",),
            "pictures": (data / "cases",), "held_out_pictures": (data / "cases",), "steps": 40, "batch_size": 6,
            "tokens": 16, "bf16": False, "report_every": 10, "optimizer": OptimizerSettings(lr=2e-3, warmup_steps=1),
        }  # fmt: skip
        return TowerSettings(out=out, **{**values, **changes})

    return make


@pytest.fixture(scope="module")
def finished(settings, tmp_path_factory):
    made = settings(tmp_path_factory.mktemp("run") / "tower")
    run_tower(made)
    return made


def test_the_loss_falls_and_before_and_after_are_told_for_each_direction(finished):
    told = [json.loads(line) for line in (finished.out / "metrics.jsonl").read_text().splitlines()]
    assert told[-1]["questions"] < told[0]["questions"]
    found = json.loads((finished.out / "retrieval.json").read_text())
    assert set(found["before"]) == set(found["after"]) == {"question → passage", "picture → text", "text → picture"}
    shown = (finished.out / "table.md").read_text()
    assert shown.count("| before |") == shown.count("| after |") == 3


def test_the_model_that_is_written_loads_and_has_another_encoder_but_the_same_language_model(finished, tiny_folder):
    old, new = Contract.read(tiny_folder), Contract.read(finished.out / "model")
    assert new.encoder != old.encoder
    assert new.connector_fingerprint == old.connector_fingerprint
    load_model(str(finished.out / "model"))
    texts = ["What is glioma?"]
    before, after = (FolderEncoder(folder).embed_texts(texts) for folder in (tiny_folder, finished.out / "model"))
    assert np.abs(before - after).max() > 1e-3
    assert Contract.read(tiny_folder).encoder == old.encoder


def test_a_stopped_run_goes_on_to_the_same_end(settings, finished, tmp_path):
    run_tower(settings(tmp_path / "a", steps=4))
    first = FolderEncoder(tmp_path / "a" / "model").embed_texts(["glioma"])
    again = settings(tmp_path / "b", steps=4)
    run_tower(again)
    np.testing.assert_allclose(first, FolderEncoder(tmp_path / "b" / "model").embed_texts(["glioma"]), atol=1e-6)
    with pytest.raises(TrainingError, match="already holds a run"):
        run_tower(again)


def test_hard_negatives_hold_the_words_and_are_not_the_answer():
    questions = Questions(
        ("Is a cyst painful?", "Where is the liver?"),
        ("Cyst. A cyst is rarely painful.", "Liver. It lies under the ribs, and a cyst may sit there."),
    )
    assert hard_negatives(questions, 1, least_gap=0.95)[0] == [1]
    assert hard_negatives(questions, 1, least_gap=0.01)[0] == []
    assert hard_negatives(questions, 0, least_gap=0.95) == [[], []]


def test_recall_counts_rows_of_equal_words_as_one():
    asked = np.eye(3, dtype=np.float32)
    given = np.eye(3, dtype=np.float32)[[1, 0, 2]]
    assert recall(asked, given, ("a", "b", "c"))["R@1"] == pytest.approx(1 / 3, abs=1e-4)
    assert recall(asked, given, ("a", "a", "c"))["R@1"] == 1.0
    assert recall(asked, given, ("a", "b", "c"))["R@5"] == 1.0


def test_mistakes_are_named(data, settings, tmp_path):
    empty, record = tmp_path / "empty.jsonl", {"id": "a", "text": "A.", "source": "S", "licence": "CC0-1.0"}
    (tmp_path / "words.jsonl").write_text(json.dumps(record))
    empty.write_text('{"text": "No question."}\n')
    with pytest.raises(DataError, match="no line with `question` and `text`"):
        read_questions([empty])
    empty.write_text("{\n")
    with pytest.raises(DataError, match="empty.jsonl, line 1"):
        read_questions([empty])
    with pytest.raises(RetrievalError, match="holds no passage"):
        read_pictures([data / "cases"], "test")
    with pytest.raises(DataError, match="no picture of split 'train'"):
        read_pictures([tmp_path / "words.jsonl"], "train")
    with pytest.raises(ConfigError, match="questions and pictures are empty"):
        TowerSettings("starter", tmp_path)
    with pytest.raises(ConfigError, match="train.jsonl is both trained on and held out"):
        settings(tmp_path, held_out=(data / "train.jsonl",))
    with pytest.raises(ConfigError, match="hard_negatives is -1"):
        settings(tmp_path, hard_negatives=-1)
    with pytest.raises(ConfigError, match="batch_size 1"):
        settings(tmp_path, batch_size=1)
    with pytest.raises(ConfigError, match="temperature is 0"):
        settings(tmp_path, temperature=0)
    with pytest.raises(TrainingError, match="freeze_layers is 9, but the text tower has"):
        run_tower(settings(tmp_path / "run", freeze_layers=9))
    with pytest.raises(DataError, match="does not exist"):
        describe(settings(tmp_path, questions=(tmp_path / "none.jsonl",)))


def test_the_recipe_is_read_and_told(data, capsys):
    from pathlib import Path

    import training

    recipe = Path(training.__file__).parent / "recipes" / "tower.yaml"
    changes = [
        f"questions=[{data / 'train.jsonl'}]",
        f"held_out=[{data / 'dev.jsonl'}]",
        f"pictures=[{data / 'cases'}]",
    ]
    changes.append(f"held_out_pictures=[{data / 'cases'}]")
    argv = [word for change in changes for word in ("--set", change)]
    assert main([str(recipe), "--dry-run", *argv]) == 0
    assert "300 steps of 48 questions from 1 file(s) with 1 hard negative(s)" in capsys.readouterr().out
