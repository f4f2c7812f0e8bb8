import dataclasses
import json

import pytest

from assistant.errors import RetrievalError
from retrieval.adaptive import worth_keeping
from retrieval.evaluate import Pair
from retrieval.manifest import read_manifest
from retrieval.retriever import IndexRetriever
from retrieval.tune import DROPS, FLOORS, fit_adaptive, fit_wording, main
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


def wording_index(folder, encoder):
    from retrieval.corpus import read_corpora

    base = {"source": "S", "licence": "CC0-1.0", "title": "Gout"}
    told = {
        "what": "Gout is a joint disease. It is old, and treated by many.",
        "treat": "Colchicine is given to treat gout, and drugs lower uric acid. Gout hurts.",
        "risk": "Older men are at risk of gout more often. Gout runs in families.",
    }
    lines = [{**base, "id": name, "text": text} for name, text in told.items()]
    lines.append(
        {**base, "id": "pseudo", "title": "Gout of the pseudo kind", "text": "Gout is like pseudogout of a joint."}
    )
    (folder / "gout.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    build_index(read_corpora([folder / "gout.jsonl"]), encoder, folder / "gout")
    return IndexRetriever.open(folder / "gout", encoder)


WORDED = [
    Pair("Who is at risk for gout?", ("risk",)),
    Pair("What are the treatments for gout?", ("treat",)),
    Pair("What is gout?", ("what",)),
]


def test_wording_is_fitted_where_it_helps_and_left_out_where_it_does_not(tmp_path, encoder, retriever):
    found = wording_index(tmp_path, encoder)
    result = fit_wording(found, WORDED)
    assert result["mrr"] >= result["mrr_before"]
    settings = dataclasses.replace(found.settings, form=0.5, title=0.4, floor=0.0, drop=0.0)
    first = [found.with_settings(settings).search(one.question, k=1)[0].id for one in WORDED]
    assert first == ["risk", "treat", "what"]
    assert fit_wording(retriever, PAIRS)["form"] == 0.0


def test_a_build_with_questions_stores_the_wording_and_a_search_takes_it_up(tmp_path, encoder):
    from retrieval.build import tune

    found = wording_index(tmp_path, encoder)
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("".join(json.dumps({"question": p.question, "expected": p.expected}) + "\n" for p in WORDED))
    manifest = tune(tmp_path / "gout", encoder, pairs)
    opened = IndexRetriever.open(tmp_path / "gout", encoder)
    assert opened.settings.form == manifest.search.get("form", 0.0)
    assert opened.settings.title == manifest.search.get("title", 0.0)
    assert set(manifest.search) <= {"form", "title"}
    assert found.settings.form == 0.0


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
