import json

import pytest
from PIL import Image

from assistant.errors import RetrievalError
from retrieval.ablation import lost, main, run, shown, summary
from retrieval.arms import Arm, bootstrap, whole_documents
from retrieval.asked import Asked, follows, is_copied, read_asked
from retrieval.corpus import read_corpora
from retrieval.retriever import IndexRetriever
from retrieval.write import build_index


def asked(truth, *, text="What?", options=(), documents=(), name="q"):
    return Asked(name, text, truth, (), tuple(options), tuple(documents), "card", name)


def test_a_short_truth_must_be_named_and_a_closed_one_chosen_first():
    assert asked("Pneumothorax").right("A small pneumothorax. [1]")
    assert not asked("Pneumothorax").right("Effusion")
    closed = asked("Yes", options=("Yes", "No"))
    assert closed.right("Yes, no doubt")
    assert not closed.right("No. Yes")
    assert asked("No").right("no")


def test_a_passage_is_answered_by_words_of_its_own_and_enough_of_them():
    truth = asked("Skin folds imitate the pleural line and cross the rib cage in many patients.")
    assert truth.right('Pneumothorax: "Skin folds imitate the pleural line and cross the rib cage." [1]')
    assert not truth.right("Skin folds")
    assert not truth.right("The costophrenic angle is blunted by a meniscus of fluid in the chest")


def test_copying_and_form_are_told(make_evidence_of):
    piece = make_evidence_of("one two three four five six seven eight nine ten")
    assert is_copied('"two three four five six seven eight nine" [1]', [piece])
    assert not is_copied("nine eight seven six five four three two", [piece])
    assert follows(asked("Yes"), "No")
    assert not follows(asked("Yes"), "Perhaps")
    assert not follows(asked("Left"), "word " * 40)


@pytest.fixture
def make_evidence_of():
    from assistant.evidence import Evidence

    return lambda text: Evidence("x", "passage", "X", text, "s", "l", 1.0)


@pytest.fixture
def retriever(tmp_path, corpus, encoder):
    build_index(corpus, encoder, tmp_path / "index")
    return IndexRetriever.open(tmp_path / "index", encoder)


def test_each_arm_gives_its_own_evidence(retriever):
    documents = whole_documents(retriever)
    question = asked("truth", documents=("pneumothorax",))

    def found(kind, k=2):
        return [one.id for one in Arm(kind, retriever, documents, 0, question).search("collapsed lung chest", k=k)]

    assert found("oracle") == ["pneumothorax"]
    assert found("retrieved")[0] == "pneumothorax"
    assert "pneumothorax" not in {name.partition("#")[0] for name in found("wrong")}
    assert found("wrong")
    mixed = found("mixed")
    assert mixed[-1] == "pneumothorax"
    assert len(mixed) == 2
    assert found("random") == found("random")
    assert documents["pneumothorax"].text.endswith("cross the rib cage.")


def test_the_interval_of_a_share_draws_groups():
    alone = bootstrap([True, False] * 50, [str(n) for n in range(100)])
    together = bootstrap([True, False] * 50, [str(n // 20) for n in range(100)])
    assert alone[0] < 0.5 < alone[1]
    assert together == (0.5, 0.5)
    assert bootstrap([], []) == (0.0, 1.0)


@pytest.fixture
def examples(tmp_path):
    Image.new("RGB", (32, 32), (120, 20, 20)).save(tmp_path / "a.png")
    lines = [
        {"id": "t1", "images": [], "messages": _pair("What imitates a pneumothorax?", "Skin folds imitate the line."),
         "task": "vqa", "truth": {"needs": "card", "documents": ["pneumothorax"]}},
        {"id": "i1", "images": ["a.png"], "messages": _pair("Is there a mass?", "No"), "task": "vqa",
         "choices": ["Yes", "No"], "truth": {"needs": "image", "documents": ["pneumothorax"]}},
        {"id": "r1", "images": ["a.png"], "messages": _pair("Write a report.", "Findings: none."), "task": "report"},
    ]  # fmt: skip
    path = tmp_path / "examples.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def _pair(question, answer):
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def test_questions_are_read_and_reports_left_out(examples, tmp_path):
    one, other = read_asked(examples)
    assert (one.needs, one.documents, one.images) == ("card", ("pneumothorax",), ())
    assert (other.needs, other.documents, other.options) == ("image", (), ("Yes", "No"))
    assert other.group == str(tmp_path / "a.png")
    (tmp_path / "bad.jsonl").write_text('{"id": 1}\n')
    with pytest.raises(RetrievalError, match=r"bad\.jsonl:1: .* is no example"):
        read_asked(tmp_path / "bad.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(RetrievalError, match="holds no question"):
        read_asked(tmp_path / "empty.jsonl")
    with pytest.raises(RetrievalError, match="There is no example file"):
        read_asked(tmp_path / "none.jsonl")


def test_the_whole_ablation_runs_and_is_shown(examples, tiny_folder, cards, tmp_path, capsys):
    from assistant.model.load import load_model
    from retrieval.encoder import ModelEncoder

    model = load_model(tiny_folder, device="cpu")
    encoder = ModelEncoder(model)
    build_index(read_corpora([cards]), encoder, tmp_path / "own")
    result = run(model, IndexRetriever.open(tmp_path / "own", encoder), read_asked(examples))
    assert set(result["arms"]) == {"none", "random", "retrieved", "oracle", "wrong", "mixed"}
    assert result["arms"]["none"]["card"]["abstained"] == 1.0
    assert list(result["pieces"]) == [0, 1, 2, 3, 4, 5]
    assert not result["evidence_in_prompt"]
    assert "| oracle | card | 1 |" in shown(result)
    asked_for = [str(examples), "--index", str(tmp_path / "own"), "--model", str(tiny_folder), "--limit", "1"]
    assert main([*asked_for, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["questions"] == 1
    assert main([str(tmp_path / "none.jsonl")]) == 2


def test_a_lost_answer_is_one_that_was_right():
    from retrieval.ablation import Outcome

    def outcome(right, abstained=False):
        return Outcome(asked("Yes"), "", right, abstained, False, True)

    before, after = [outcome(True), outcome(True), outcome(False)], [outcome(True), outcome(False, True), outcome(True)]
    assert lost(before, after) == {"right_before": 2, "lost": 1, "of_these_abstained": 1, "share": 0.5}
    assert lost(before[2:], after[2:])["share"] is None
    assert summary(before)["all"]["right"] == pytest.approx(2 / 3)
