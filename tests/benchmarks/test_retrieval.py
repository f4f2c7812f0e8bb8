import json

import numpy as np
import pytest

from benchmarks.retrieval import main, recall
from benchmarks.retrieval_parts import clustered, medquad_table, passage_lines


def test_recall_is_the_share_of_true_neighbours_found():
    assert recall(np.array([[1, 2], [3, 9]]), np.array([[2, 1], [3, 4]])) == pytest.approx(0.75)


def test_vectors_and_queries_have_length_one_and_passages_differ():
    for vectors in clustered(50, 8, 5):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)
    assert len({one.text for one in passage_lines(200)}) == 200


def test_inverted_lists_are_measured_against_flat_search(capsys):
    assert main(["large", "--count", "20000"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["recall@10"] > 0.9
    assert result["ratio"] > 0


def test_a_measurement_that_needs_a_corpus_says_so(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["medquad"])
    assert "medquad needs --corpus" in capsys.readouterr().err


def test_questions_are_held_out_of_the_index_text(tmp_path, capsys):
    names = ("Gout", "Lupus", "Anthrax", "Measles", "Scurvy", "Mumps")
    records = [
        {"id": f"m{n}", "source": "s", "licence": "CC0-1.0", "title": name, "text": f"{name} is a disease.",
         "question": f"What is {name} zebraword?"}
        for n, name in enumerate(names)
    ]  # fmt: skip
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    table = medquad_table(tmp_path / "c.jsonl", tmp_path / "out", 4)
    capsys.readouterr()
    assert table["questions"] == 4
    assert table["lexical"]["R@1"] == 1.0
    assert "zebraword" not in (tmp_path / "out" / "index" / "records.jsonl").read_text()
