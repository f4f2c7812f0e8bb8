"""The starter's chain of steps."""

from __future__ import annotations

import json
import logging
import shutil

import numpy as np
import pytest
from PIL import Image

from assistant.model.contract import Contract
from retrieval.manifest import read_manifest
from training.settings import DataPart
from training.starter import Starter, Step, main
from training.starter_sources import all_reports, modalities, passage_files, reports_to_train, training_data

STEPS = ["manifest", "instruct", "phantoms", "phantom-instruct", "phantom-reports", "held-out", "held-out-reports"]
STEPS += ["contrast", "assemble", "align"]
SPLITS = ("train", "dev", "test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A manifest folder of 24 noise pictures in two classes, with one file of passages."""
    root = tmp_path_factory.mktemp("manifest")
    (root / "images").mkdir()
    (root / "text").mkdir()
    records = []
    for number in range(24):
        pixels = np.random.default_rng(number).integers(0, 255, (40, 40), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"{number}.png")
        label = ("glioma", "notumor")[number % 2]
        records.append(
            {
                "id": f"r{number}",
                "image": f"images/{number}.png",
                "modality": ("MRI", "CT")[number % 4 // 2],
                "anatomy": ("brain", "head")[number % 4 // 2],
                "labels": [label],
                "qa": [
                    {
                        "question": "Is there a tumor?",
                        "answer": "Yes" if label == "glioma" else "No",
                        "answer_type": "CLOSED",
                    },
                    {"question": "What is shown?", "answer": label, "answer_type": "OPEN"},
                ],
                "split": "dev" if number % 3 == 2 else "train",
                "group": f"g{number}",
                "source": "Own",
                "licence": "CC0-1.0",
                "attribution": "us",
            }
        )
    (root / "manifest.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    passage = {"title": "Glioma", "text": "A tumour. Of the brain.", "source": "Texts", "licence": "CC BY 4.0"}
    (root / "text" / "medquad.jsonl").write_text(2 * (json.dumps(passage) + "\n"))
    (root / "text" / "other.jsonl").write_text(json.dumps(passage) + "\n")
    return root


def test_a_dry_run_lists_the_steps_and_which_are_done(folder, tmp_path, capsys):
    out = tmp_path / "out"
    (out / "data" / "pack").mkdir(parents=True)
    assert main(["--data", str(folder), "--out", str(out), "--dry-run"]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows][: len(STEPS)] == STEPS
    assert [row[2] for row in rows] == ["done"] + ["to do"] * (len(rows) - 1)
    assert rows[7][1] == str(out / "contrast" / "encoder")
    assert sorted(path.name for path in out.iterdir()) == ["data"]


def test_a_folder_without_manifest_is_refused(tmp_path, capsys):
    assert main(["--data", str(tmp_path), "--out", str(tmp_path / "out"), "--dry-run"]) == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path} has no manifest.jsonl; give a manifest folder with --data.\n"
    )


def test_what_is_done_is_not_done_again(folder, tmp_path, caplog):
    done: list[str] = []

    class Short(Starter):
        """Two steps."""

        def steps(self) -> list[Step]:
            return [Step(name, tmp_path / name, lambda name=name: done.append(name)) for name in ("one", "two")]

    (tmp_path / "one").mkdir()
    with caplog.at_level(logging.INFO, "training.starter"):
        Short(folder, tmp_path).run()
    assert done == ["two"]
    assert [record.getMessage() for record in caplog.records] == ["one: done before", "two: begins"]


def test_weights_of_a_teacher_are_a_file_and_of_the_larger_encoder(folder, tmp_path, capsys):
    arguments = ["--data", str(folder), "--out", str(tmp_path / "out"), "--teacher-weights", str(tmp_path / "no")]
    assert main(arguments) == 2
    assert f"--teacher-weights {tmp_path / 'no'} is no file" in capsys.readouterr().err
    assert main([*arguments, "--small"]) == 2
    assert f"--teacher-weights {tmp_path / 'no'} is of no use with --small" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_larger_encoder_comes_between_tuning_and_calibration(folder, tmp_path):
    plain, large = ([step.name for step in Starter(folder, tmp_path, large=one).steps()] for one in (False, True))
    place = plain.index("average") + 1
    more = ["contrast_large", "assemble_large", "sft_large", "sft_reports", "average_large"]
    assert large == [*plain[:place], *more, *plain[place:]]


def write_tasks(file, *tasks):
    """A line each; returns them."""
    lines = [
        json.dumps({"id": f"{file.stem}{number}", "task": task, "truth": {"kind": kind}}) + "\n"
        for number, (task, kind) in enumerate(tasks)
    ]
    file.write_text("".join(lines))
    return lines


def test_reports_get_files_of_their_own(tmp_path):
    lines = write_tasks(tmp_path / "train.jsonl", ("vqa", "head_ct"), ("report", "head_ct"), ("report", "brain_mr"))
    reports_to_train(tmp_path / "reports.jsonl")
    assert (tmp_path / "reports.jsonl").read_text() == "".join(lines[1:])
    assert (tmp_path / "reports_small.jsonl").read_text() == lines[1]


def test_the_held_out_reports_are_of_all_splits(tmp_path):
    lines = [write_tasks(tmp_path / f"{split}.jsonl", ("report", "head_ct"), ("vqa", "head_ct"))[0] for split in SPLITS]
    all_reports(tmp_path)
    assert (tmp_path / "reports.jsonl").read_text() == "".join(lines)


def test_only_the_passages_that_the_recipe_names_are_taken(folder):
    assert passage_files(folder) == [folder / "text" / "medquad.jsonl"]


def test_the_modalities_are_those_of_the_training_split(folder):
    assert modalities(folder) == {"MRI", "CT"}


def test_training_data_are_told_with_their_licence(folder):
    lines = training_data(folder)
    assert lines[:2] == ("Own: 16 images, CC0-1.0; us", "Texts: 2 passages, CC BY 4.0")
    assert len(lines) == 4


def test_parts_that_were_not_built_are_left_out_and_others_get_a_share(folder, tmp_path):
    from pathlib import Path

    starter = Starter(folder, tmp_path)
    for name in ("instruct/busi.jsonl", "instruct/own.jsonl", "phantoms/train.jsonl"):
        (starter.sets / name).parent.mkdir(parents=True, exist_ok=True)
        (starter.sets / name).touch()
    busi, gone = Path("instruct/busi.jsonl"), Path("instruct/gone.jsonl")
    named = {busi: DataPart(busi, 1.0, balance="breast finding"), gone: DataPart(gone, 2.0)}
    first, second = starter._parts(dict(named), "sft")
    assert first == f"{{path: {starter.sets / 'instruct/busi.jsonl'}, weight: 1.0, balance: breast finding}}"
    assert second == f"{{path: {starter.sets / 'instruct/own.jsonl'}, weight: 0.5, balance: null}}"
    assert starter._parts(dict(named), "align") == [first]


# torch's compiler looks at gradients of hidden states, and warns itself of it.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_whole_chain_ends_in_a_model_with_card_and_index(folder, tmp_path, capsys):
    arguments = ["--data", str(folder), "--out", str(tmp_path / "out"), "--scale", "0.002"]
    assert main([*arguments, "--small"]) == 0
    assert main([*arguments, "--small", "--dry-run"]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines() if line.endswith(("\tdone", "\tto do"))]
    assert [row[0] for row in rows][: len(STEPS)] == STEPS
    assert {row[2] for row in rows} == {"done"}
    model = tmp_path / "out" / "model"
    assert (model / "README.md").is_file()
    assert sum(path.stat().st_size for path in model.rglob("*") if path.is_file()) < 40e6
    assert Contract.read(model).image_size == 128
    # And the whole way, from where the shorter one ended: the rest is there, and is not done again.
    for name in ("compact", "model", "index", "scores", "scores_reports"):
        shutil.rmtree(tmp_path / "out" / name)
    assert main(arguments) == 0
    assert Contract.read(model).image_size == 160
    assert len(read_manifest(tmp_path / "out" / "index").domain["pairs"]) == 2
