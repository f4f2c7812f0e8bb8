"""KTO: the loss by hand, the mismatched answers, learning from thumbs, and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from assistant.errors import ConfigError, DataError
from data_recipes.judged import Judged, read_judged, write_judged
from data_recipes.schema import read_examples, read_preferences, write_preferences
from training.judged_answers import JudgedTrainer, kto_loss, run_kto
from training.kto import main
from training.kto_settings import KtoSettings
from training.recipe import OptimizerSettings, load_recipe
from training.run_folder import RunFolder
from training.settings import DataPart

RECIPES = Path(__file__).parents[2] / "training" / "recipes"


@pytest.fixture(scope="module")
def phantoms(make_data, tmp_path_factory):
    root = tmp_path_factory.mktemp("judged") / "phantoms"
    make_data("phantom", None, root, limit=12, seed=4)
    return root


@pytest.fixture(scope="module")
def thumbs(phantoms):
    """Eight short answers, every other one unwanted."""
    examples = [one for one in read_examples(phantoms / "train.jsonl") if one.answer_type == "closed"][:8]
    write_judged(phantoms / "thumbs.jsonl", [Judged(one, place % 2 == 0) for place, one in enumerate(examples)])
    return phantoms / "thumbs.jsonl"


@pytest.fixture(scope="module")
def preferences(make_data, phantoms):
    out = phantoms.parent / "preferences"
    make_data("preferences", phantoms / "train.jsonl", out, seed=1)
    kept = [one for one in read_preferences(out / "preferences.jsonl") if one.reason == "wrong answer"][:4]
    write_preferences(out / "few.jsonl", kept)
    return out / "few.jsonl"


def settings(model, file, out, **changes) -> KtoSettings:
    values = {
        "model": str(model),
        "data": (DataPart(file),),
        "out": out,
        "steps": 40,
        "pairs": 8,
        "optimizer": OptimizerSettings(lr=3e-3, warmup_steps=2),
        "bf16": False,
        "report_every": 10,
        "stop_below": 100.0,
    }
    return KtoSettings(**{**values, **changes})


def trainer(model, file, out) -> JudgedTrainer:
    chosen = settings(model, file, out)
    return JudgedTrainer(chosen, RunFolder(chosen.out, chosen))


def test_the_loss_by_hand():
    ratios, good = torch.tensor([2.0, 2.0, -3.0]), torch.tensor([True, False, False])
    found = kto_loss(ratios, torch.tensor(1.0), good, beta=0.5, weights=(1.0, 2.0))

    def sigmoid(x):
        return 1 / (1 + math.exp(-x))

    # beta (2 - 1) = 0.5 for the first two, beta (-3 - 1) = -2 for the third.
    assert found.tolist() == pytest.approx([1 - sigmoid(0.5), 2 * (1 - sigmoid(-0.5)), 2 * (1 - sigmoid(2.0))])


def test_at_the_start_the_loss_is_one_half_and_nothing_has_moved(wide_folder, thumbs, tmp_path):
    run = trainer(wide_folder, thumbs, tmp_path / "run")
    loss, told = run.loss(range(8), run.reference())
    assert loss.item() == pytest.approx(0.5, abs=1e-4)
    assert told["moved"][0] == pytest.approx(0.0, abs=1e-4)


def test_the_second_answer_is_another_questions(wide_folder, thumbs, tmp_path):
    run = trainer(wide_folder, thumbs, tmp_path / "run")
    for pair in run.pairs:
        assert pair.first.prompt == pair.second.prompt
        assert pair.first.answer != pair.second.answer


def test_a_preference_is_a_wanted_and_an_unwanted_answer(preferences):
    pairs, judged = list(read_preferences(preferences)), list(read_judged(preferences))
    assert [one.good for one in judged] == [True, False] * len(pairs)
    assert [one.example.messages[-1]["content"] for one in judged[:2]] == [pairs[0].chosen, pairs[0].rejected]
    assert len({one.example.id for one in judged}) == len(judged)


@pytest.mark.parametrize("kind", ["thumbs", "preferences"])
def test_wanted_answers_gain_and_unwanted_ones_lose(wide_folder, tmp_path, request, kind):
    chosen = settings(wide_folder, request.getfixturevalue(kind), tmp_path / "run")
    run_kto(chosen)
    lines = [json.loads(line) for line in (chosen.out / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["loss"] < 0.4 < lines[0]["loss"] + 0.1
    assert lines[-1]["good_ratio"] > lines[-1]["bad_ratio"] + 2
    assert lines[-1]["bad_ratio"] < 0
    assert (chosen.out / "model" / "contract.json").exists()


def test_answers_of_one_kind_are_refused(wide_folder, thumbs, tmp_path):
    good = thumbs.parent / "good.jsonl"
    write_judged(good, [one for one in read_judged(thumbs) if one.good])
    with pytest.raises(DataError, match="all 4 answers are wanted; KTO needs both"):
        trainer(wide_folder, good, tmp_path / "run")


def test_one_and_the_same_answer_is_refused(wide_folder, thumbs, tmp_path):
    same = thumbs.parent / "same.jsonl"
    write_judged(same, [next(iter(read_judged(thumbs)))])
    with pytest.raises(DataError, match="1 judged answers, all the same"):
        trainer(wide_folder, same, tmp_path / "run")


@pytest.mark.parametrize("good", ["yes", None, 1])
def test_a_judgement_is_true_or_false(thumbs, tmp_path, good):
    record = json.loads(thumbs.read_text().splitlines()[0]) | {"good": good}
    (tmp_path / "a.jsonl").write_text(json.dumps(record) + "\n")
    with pytest.raises(DataError, match=r"a\.jsonl line 1: field 'good' is .*; write true for an answer"):
        list(read_judged(tmp_path / "a.jsonl"))


def test_no_other_stage_takes_judged_answers_for_true(thumbs):
    with pytest.raises(DataError, match="field 'good' is unknown"):
        list(read_examples(thumbs))


@pytest.mark.parametrize("name", ["good_weight", "bad_weight"])
def test_weights_are_positive(tmp_path, name):
    with pytest.raises(ConfigError, match=rf"{name} is 0\.0; use a number above 0"):
        settings("starter", tmp_path / "a.jsonl", tmp_path, **{name: 0.0})


def test_the_shipped_recipe_is_read_and_told(thumbs, capsys):
    assert load_recipe(KtoSettings, RECIPES / "kto.yaml").steps == 300
    assert main([str(RECIPES / "kto.yaml"), "--dry-run", "--set", f"data=[{{path: {thumbs}}}]"]) == 0
    assert "loss KTO, good x1, bad x1, beta 0.1" in capsys.readouterr().out
