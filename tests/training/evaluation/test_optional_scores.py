"""Scorers that bring weights: what is refused, how a function becomes a scorer, and a small real CheXbert."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertModel

from assistant.errors import ConfigError
from training.evaluation.chexbert import CONDITIONS, CheXbert
from training.evaluation.optional_scores import OPTIONAL, from_function, open_scorer
from training.evaluation.scorer import Pair

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "left", "effusion", "clear", "lungs", "nodule"]


@pytest.fixture
def folder(tmp_path):
    """A tiny BERT with fourteen random heads, in the form that CheXbert is read from."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    weights = {f"bert.{name}": value for name, value in BertModel(config, add_pooling_layer=False).state_dict().items()}
    for number in range(len(CONDITIONS)):
        classes = 2 if number == len(CONDITIONS) - 1 else 4
        weights[f"linear_heads.{number}.weight"] = torch.randn(classes, 16)
        weights[f"linear_heads.{number}.bias"] = torch.randn(classes)
    config.save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    save_file({name: value.contiguous() for name, value in weights.items()}, tmp_path / "model.safetensors")
    return tmp_path


def test_chexbert_labels_a_report_alone_as_in_a_batch(folder):
    model = CheXbert(folder)
    reports = ["left effusion", "clear lungs", "left nodule effusion clear lungs"]
    together = model.label(reports)
    assert together.shape == (3, len(CONDITIONS))
    assert together.dtype == bool
    assert np.array_equal(together, np.concatenate([model.label([one]) for one in reports]))
    assert model.label([]).shape == (0, len(CONDITIONS))


def test_equal_reports_agree_in_every_label(folder):
    scorer = open_scorer("chexbert", folder)
    report = "left effusion clear lungs"
    found = scorer.score([Pair(report, report, "report", "report")], "a")
    assert found.value == 1


def test_a_folder_that_is_no_chexbert_is_refused(folder, tmp_path_factory):
    with pytest.raises(ConfigError, match=r"lacks config\.json, vocab\.txt, model\.safetensors, which chexbert needs"):
        open_scorer("chexbert", tmp_path_factory.mktemp("empty"))
    save_file({"bert.x": torch.zeros(1)}, folder / "model.safetensors")
    with pytest.raises(ConfigError, match=r"model\.safetensors is no CheXbert: "):
        open_scorer("chexbert", folder)


@pytest.mark.parametrize("name", OPTIONAL)
def test_missing_weights_and_missing_packages_are_told(name, tmp_path):
    with pytest.raises(ConfigError, match=rf"lacks .*, which {name} needs.*nothing is fetched"):
        open_scorer(name, tmp_path)
    for file in OPTIONAL[name].files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    if importlib.util.find_spec(str(OPTIONAL[name].package)) is None:
        with pytest.raises(ConfigError, match=rf"{name} needs the package \w+, which is not installed: pip install"):
            open_scorer(name, tmp_path)


def test_an_unknown_name_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"No scorer with weights is called 'bert'\. There are: chexbert, green, "):
        open_scorer("bert", tmp_path)


def test_a_function_becomes_a_scorer_of_reports():
    scorer = from_function(
        "same", "Equal.", "here", lambda said, true: [a == b for a, b in zip(said, true, strict=True)]
    )
    pairs = [Pair("a", "a", "report"), Pair("a", "b", "report"), Pair("yes", "yes", "closed")]
    found = scorer.score(pairs, "abc")
    assert (found.value, found.n) == (0.5, 2)
    some = from_function("some", "Some.", "here", lambda said, true: [None, 1.0])
    assert some.score(pairs[:2], "ab").n == 1
    short = from_function("short", "Short.", "here", lambda said, true: [])
    with pytest.raises(ValueError, match="short gave 0 scores for 2 reports"):
        short.score(pairs[:2], "ab")


PACKAGES = {
    "radgraph": """
class F1RadGraph:
    def __init__(self, *, reward_level, model_type, model_cache_dir, tokenizer_cache_dir):
        assert (reward_level, model_type) == ("partial", "radgraph-xl")
        assert model_cache_dir == tokenizer_cache_dir

    def __call__(self, *, hyps, refs):
        each = [len(hyp) / len(ref) for hyp, ref in zip(hyps, refs)]
        return sum(each) / len(each), each, [], []
""",
    "green_score": """
import pathlib

class GREEN:
    def __init__(self, model_name, output_dir="."):
        self.output_dir = pathlib.Path(output_dir)

    def __call__(self, refs, hyps):
        (self.output_dir / "results.csv").write_text("reports")
        each = [len(hyp) / len(ref) for hyp, ref in zip(hyps, refs)]
        return sum(each) / len(each), 0.0, each, "", None
""",
    "RaTEScore": """
class RaTEScore:
    def __init__(self, bert_model, eval_model, use_gpu=True):
        assert bert_model.endswith("ner") and eval_model.endswith("synonyms")

    def compute_score(self, candidate_list, reference_list):
        return [len(said) / len(true) for said, true in zip(candidate_list, reference_list)]
""",
}
"""Small packages with the interfaces that the three document; a score is the report's length over the true one's."""


@pytest.mark.parametrize("name", OPTIONAL)
def test_the_packages_are_called_by_the_interface_that_they_document(name, tmp_path, monkeypatch):
    package = str(OPTIONAL[name].package)
    if importlib.util.find_spec(package) is not None:
        pytest.skip(f"{package} itself is installed")
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / f"{package}.py").write_text(PACKAGES[package])
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    weights = tmp_path / "weights"
    for file in OPTIONAL[name].files:
        (weights / file).parent.mkdir(parents=True, exist_ok=True)
        (weights / file).touch()
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    try:
        scorer = open_scorer(name, weights)
        found = scorer.score([Pair("ab", "abcd", "report"), Pair("abc", "abcd", "report")], "xy")
    finally:
        sys.modules.pop(package, None)
    assert (found.value, found.n) == (0.625, 2)
    assert not list(here.iterdir())
