"""The build command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from assistant.errors import DataError
from data_recipes import manifest
from data_recipes.build import RECIPES, build_data, main
from data_recipes.phantom import make_phantom
from data_recipes.schema import read_examples

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    out = tmp_path_factory.mktemp("data") / "phantoms"
    assert main(["phantom", "--out", str(out), "--limit", "40", "--seed", "2"]) == 0
    return out


def test_phantom_splits_share_no_picture_and_all_files_are_there(built):
    names = set()
    patients = []
    for split in ("train", "dev", "test"):
        examples = list(read_examples(built / f"{split}.jsonl"))
        assert len({example.id for example in examples}) == len(examples)
        patients.append({example.patient for example in examples})
        for example in examples:
            assert example.truth["phantom"] is True
            assert all(path.is_file() for path in example.image_paths(built))
            names.update(example.images)
    assert not patients[0] & patients[1]
    assert not patients[0] & patients[2]
    assert not patients[1] & patients[2]
    assert [len(group) for group in patients] == [32, 4, 4]
    assert len(names) == len(list(built.glob("images/*/*.png")))


def test_phantom_examples_cover_questions_captions_reports_and_changes(built):
    examples = list(read_examples(built / "train.jsonl"))
    assert {example.task for example in examples} == {"vqa", "caption", "report"}
    change = next(example for example in examples if example.id.endswith("#change"))
    assert len(change.images) == 2
    with Image.open(change.image_paths(built)[0]) as picture:
        assert (picture.mode, picture.size) == ("L", (128, 128))


def test_the_same_seed_builds_the_same_files(built, tmp_path):
    build_data("phantom", None, tmp_path / "again", limit=40, seed=2)
    for path in sorted(built.rglob("*.*")):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(built)).read_bytes()


def test_results_go_to_stdout_and_progress_to_stderr(tmp_path, capsys):
    assert main(["phantom", "--out", str(tmp_path / "p"), "--limit", "3"]) == 0
    told = capsys.readouterr()
    assert [line.split("\t")[0] for line in told.out.splitlines()] == [
        str(tmp_path / "p" / f"{split}.jsonl") for split in ("train", "dev", "test")
    ]
    assert "drew 2 phantoms for train" in told.err


def test_list_names_every_recipe(capsys):
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line.split()[0] for line in lines if line[:2] == "  " and line[2] != " ") == sorted(RECIPES)
    assert lines[0] == "Own and drawn data, and what is made from examples:"


def test_a_data_error_exits_2_with_the_message_only(tmp_path, capsys):
    assert main(["manifest", "--source", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == f"--source {tmp_path / 'none'} does not exist; check the path.\n"


def test_missing_arguments_exit_2(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["phantom"])
    assert caught.value.code == 2
    assert "give a recipe's NAME and --out DIR, or --list" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "source", "options", "message"),
    [
        ("slides", None, {}, "recipe 'slides' is unknown; use one of choices, csv, curriculum"),
        ("manifest", None, {}, "say where it is with --source PATH"),
        ("phantom", None, {"limit": 0}, "--limit is 0; use 1 or more"),
        ("phantom", None, {"seed": -1}, "--seed is -1; use 0 or more"),
        ("phantom", None, {"seed": 1_000_000}, "--seed is 1000000; phantoms take 0 to 999999"),
    ],
)
def test_wrong_values_are_refused(tmp_path, name, source, options, message):
    with pytest.raises(DataError, match=message):
        build_data(name, source, tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_not_touched(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(DataError, match="is there already and not an empty folder"):
        build_data("phantom", None, tmp_path / "out", limit=3)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_help_imports_nothing_heavy():
    code = (
        "import sys, data_recipes.build as b\n"
        "try:\n    b.main(['--help'])\nexcept SystemExit as stop:\n    assert stop.code == 0\n"
        "heavy = {'numpy', 'PIL', 'torch', 'transformers'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def planted(folder: Path) -> Path:
    """Write a manifest folder whose train and dev show one picture, saved under two names."""
    (folder / "images").mkdir(parents=True)
    for number in range(2):
        Image.fromarray(make_phantom(0, 0).pixels).save(folder / "images" / f"{number}.png")
    lines = [
        {
            "id": f"r{number}",
            "image": f"images/{number}.png",
            "split": split,
            "source": "own",
            "licence": "CC0-1.0",
            "qa": [{"question": "Mass?", "answer": "Yes", "answer_type": "CLOSED"}],
        }
        for number, split in enumerate(("train", "dev"))
    ]
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


def test_a_leak_stops_the_build_and_nothing_is_kept(tmp_path, capsys):
    source = planted(tmp_path / "in")
    assert main(["manifest", "--source", str(source), "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert "the audit found what must be mended; nothing was kept" in told
    assert "leak image: 1 pictures, equal byte for byte, stand in two splits" in told
    assert "train.jsonl record 1 (0.png) and dev.jsonl record 1 (1.png)" in told
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_leak_is_allowed_on_the_command_line_or_by_the_recipe(tmp_path, capsys, monkeypatch):
    source = planted(tmp_path / "in")
    reason = "official split of the data set"
    arguments = ["manifest", "--source", str(source), "--allow-leak", f"image={reason}"]
    assert main([*arguments, "--out", str(tmp_path / "a")]) == 0
    assert f"Allowed: {reason}" in capsys.readouterr().err
    assert f"**Allowed:** {reason}" in (tmp_path / "a" / "DATA_CARD.md").read_text("utf-8")
    monkeypatch.setattr(manifest, "ALLOWED_LEAKS", {"image": "as published"}, raising=False)
    build_data("manifest", source, tmp_path / "b")
    assert "**Allowed:** as published" in (tmp_path / "b" / "DATA_CARD.md").read_text("utf-8")
