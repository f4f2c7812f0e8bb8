import json

import pytest

from assistant.errors import RetrievalError
from retrieval.adaptive import worth_keeping
from retrieval.evaluate import Pair
from retrieval.manifest import read_manifest
from retrieval.retriever import IndexRetriever
from retrieval.tune import DROPS, FLOORS, fit_adaptive, main
from retrieval.write import build_index

PAIRS = [
    Pair("collapsed lung", ("pneumothorax",)),
    Pair("What is the effective dose in millisievert?", ("dose",)),
    Pair("Which sourdough bread needs baking powder?", ()),
    Pair("collapsed chimney of the lung of a whale in spring", ()),
]


@pytest.fixture
def retriever(tmp_path, corpus, encoder):
    build_index(corpus, encoder, tmp_path / "index")
    return IndexRetriever.open(tmp_path / "index", encoder)


def test_what_is_fitted_is_no_worse_than_what_was(retriever):
    result = fit_adaptive(retriever, PAIRS)
    assert result["floor"] in FLOORS
    assert result["drop"] in DROPS
    assert result["value"] >= result["value_before"]
    assert result["value"] > 0.9


def test_questions_of_one_kind_alone_fit_nothing(retriever):
    with pytest.raises(RetrievalError, match="None of the 2 questions should find nothing"):
        fit_adaptive(retriever, PAIRS[:2])
    with pytest.raises(RetrievalError, match="None of the 2 questions should find something"):
        fit_adaptive(retriever, PAIRS[2:])


def test_the_command_stores_the_fit_unless_it_is_a_dry_run(tmp_path, corpus, tiny_folder, capsys):
    from retrieval.encoder import FolderEncoder

    build_index(corpus, FolderEncoder(tiny_folder), tmp_path / "index")
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("".join(json.dumps({"question": p.question, "expected": list(p.expected)}) + "\n" for p in PAIRS))
    asked = [str(tmp_path / "index"), str(pairs), "--model", str(tiny_folder)]
    assert main([*asked, "--dry-run"]) == 0
    assert read_manifest(tmp_path / "index").search == {}
    assert main(asked) == 0
    told = json.loads(capsys.readouterr().out.split("}\n", 1)[1])
    assert read_manifest(tmp_path / "index").search == {"floor": told["floor"], "drop": told["drop"]}
    opened = IndexRetriever.open(tmp_path / "index", FolderEncoder(tiny_folder))
    assert opened.settings.floor == told["floor"]
    pairs.write_text("{}\n")
    assert main(asked) == 2
    assert "is no pair" in capsys.readouterr().err


def test_pieces_that_do_not_fit_the_budget_are_passed_over():
    supports, costs = [0.9, 0.9, 0.9, 0.9], [60, 50, 30, 20]
    assert worth_keeping(supports, floor=0.5, drop=0.5, most=4, costs=costs, budget=100) == [0, 2]
    assert worth_keeping(supports, floor=0.5, drop=0.5, most=4, costs=costs, budget=10) == [0]
    assert worth_keeping(supports, floor=0.5, drop=0.5, most=4, costs=costs) == [0, 1, 2, 3]
