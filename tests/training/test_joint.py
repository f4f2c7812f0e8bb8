"""Search and language model trained together on the likelihood of the answer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from assistant.errors import ConfigError, DataError
from assistant.model.contract import Contract
from assistant.model.load import load_model
from data_recipes.schema import read_examples
from retrieval.encoder import FolderEncoder
from training.adapter import LoraSettings
from training.joint import describe, main
from training.joint_loss import distill_loss, marginal_loss
from training.joint_run import JointRun, run_joint, table
from training.joint_settings import JointSettings
from training.recipe import OptimizerSettings
from training.run_folder import RunFolder

RECIPES = Path(__file__).parents[2] / "training" / "recipes"


def test_the_marginal_loss_is_that_of_the_mean_likelihood_and_raises_the_passage_that_helps():
    search = torch.tensor([[0.5, 0.5]]).log().requires_grad_()
    answers = torch.tensor([[0.8, 0.2]]).log().requires_grad_()
    loss = marginal_loss(search, answers)
    assert loss.item() == pytest.approx(-np.log(0.5))
    loss.backward()
    assert search.grad[0].tolist() == pytest.approx([-0.8, -0.2])
    assert answers.grad[0].tolist() == pytest.approx([-0.8, -0.2])


def test_distilling_trains_the_search_to_the_answers_and_the_answers_by_the_search():
    answers = torch.tensor([[0.8, 0.2]]).log().requires_grad_()
    search = torch.tensor([[0.8, 0.2]]).log().requires_grad_()
    loss = distill_loss(search, answers, beta=1.0)
    assert loss.item() == pytest.approx(-(0.8 * np.log(0.8) + 0.2 * np.log(0.2)))
    loss.backward()
    assert answers.grad[0].tolist() == pytest.approx([-0.8, -0.2])
    logits = torch.zeros(1, 2, requires_grad=True)
    distill_loss(logits.log_softmax(1), answers.detach(), beta=1.0).backward()
    assert logits.grad[0, 0] < 0 < logits.grad[0, 1]


@pytest.fixture(scope="module")
def cards(tmp_path_factory):
    root = tmp_path_factory.mktemp("cards")
    for name in ("Glioma", "Oedema", "Fracture", "Nodule", "Effusion"):
        head = f'id: {name.lower()}\ntitle: {name}\nmodality: any\nlicence: CC0-1.0\nreferences: ["R. 2020."]'
        (root / f"{name.lower()}.md").write_text(f"---\n{head}\n---\n{name} is seen here.\n")
    return root


@pytest.fixture(scope="module")
def settings(tiny_folder, small_data, cards):
    def make(out, **changes):
        values = {
            "model": str(tiny_folder), "data": (small_data,), "passages": (str(cards),), "shown": 3, "steps": 4,
            "questions": 2, "evidence_words": 8, "longest": 2000, "longest_answer": 60, "bf16": False,
            "refresh_every": 2, "report_every": 2, "measured": 3,
            "optimizer": OptimizerSettings(lr=2e-3, warmup_steps=1),
        }  # fmt: skip
        return JointSettings(out=out, **{**values, **changes})

    return make


@pytest.fixture(scope="module")
def held_out(small_examples, tmp_path_factory):
    from data_recipes.schema import write_examples

    root = tmp_path_factory.mktemp("held")
    write_examples(root / "dev.jsonl", small_examples(root, 2, seed=5))
    return root / "dev.jsonl"


def test_a_run_trains_both_and_writes_one_model(settings, held_out, tiny_folder, tmp_path):
    made = settings(tmp_path / "run", held_out=(held_out,))
    run_joint(made)
    found = json.loads((made.out / "joint.json").read_text())
    assert set(found["before"]) == set(found["after"]) == {"likelihood", "random"}
    assert (made.out / "table.md").read_text().count("|") > 6
    old, new = Contract.read(tiny_folder), Contract.read(made.out / "model")
    assert new.encoder != old.encoder
    before, after = load_model(str(tiny_folder)).llava, load_model(str(made.out / "model")).llava
    weight = "model.language_model.layers.0.mlp.down_proj.weight"
    assert not torch.equal(before.state_dict()[weight], after.state_dict()[weight])
    assert {path.name for path in made.out.iterdir()} >= {"model", "table.md", "metrics.jsonl"}
    assert not (made.out / "language").exists()


def test_an_adapter_is_merged_and_a_still_search_stays(settings, tiny_folder, tmp_path):
    made = settings(tmp_path / "run", lora=LoraSettings(rank=2, alpha=4), tower_lr=0.0, loss="distill", steps=2)
    run_joint(made)
    assert not (made.out / "model" / "adapter_config.json").exists()
    vectors = [FolderEncoder(one).embed_texts(["glioma"]) for one in (tiny_folder, made.out / "model")]
    np.testing.assert_allclose(*vectors, atol=1e-6)


def test_the_likelihood_in_a_pack_is_that_of_the_passage_alone(settings, tmp_path):
    run = JointRun(settings(tmp_path / "run"), RunFolder(tmp_path / "run", settings(tmp_path / "run")))
    with torch.no_grad():
        both = run.likelihoods(run.asked[:2], [[0, 1], [2, 3]])
        alone = run.likelihoods(run.asked[1:2], [[3]])
    assert both[1, 1].item() == pytest.approx(alone.item(), abs=1e-3)
    run.refresh()
    queries = run.queries(run.asked[:2])
    assert torch.allclose(queries.norm(dim=1), torch.ones(2), atol=1e-5)
    shown = run.found(queries, None)
    assert [len(set(one)) for one in shown] == [3, 3]
    explored = run.found(queries, torch.Generator().manual_seed(1))
    assert [one[:2] for one in explored] == [one[:2] for one in shown]
    assert [len(set(one)) for one in explored] == [3, 3]


def test_mistakes_are_named(settings, small_data, tmp_path):
    for changes, said in (
        ({"data": ()}, "data or passages is empty"),
        ({"loss": "mean"}, "loss is 'mean'"),
        ({"shown": 1}, "shown is 1"),
        ({"temperature": 0}, "temperature is 0"),
        ({"steps": 0}, "are 1 or more each"),
        ({"held_out": (small_data,)}, "is both trained on and held out"),
    ):
        with pytest.raises(ConfigError, match=said):
            settings(tmp_path, **changes)
    with pytest.raises(DataError, match="does not exist"):
        describe(settings(tmp_path, data=(tmp_path / "none.jsonl",)))
    with pytest.raises(DataError, match="no question with an answer of at most 0 tokens"):
        run_joint(settings(tmp_path / "a", longest_answer=0))
    with pytest.raises(DataError, match="takes more than `longest` 150 tokens"):
        run_joint(settings(tmp_path / "b", longest=150))
    assert table({}, {}).startswith("| held out |")


def test_the_recipe_is_read_and_told(small_data, capsys):
    assert len(list(read_examples(small_data))) == 18
    argv = [str(RECIPES / "joint.yaml"), "--dry-run", "--set", f"data=[{small_data}]", "--set", "held_out=[]"]
    assert main(argv) == 0
    assert "200 steps of 4 examples, each with 4 passages of knowledge; loss marginal" in capsys.readouterr().out
