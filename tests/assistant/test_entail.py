import pytest

from assistant.entail import Entailment
from assistant.errors import ModelError
from assistant.grounding import ground


@pytest.fixture(scope="module")
def make_judge(tmp_path_factory, tiny_folder):
    """Return a function that writes a tiny classifier with given labels."""
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    def make(labels):
        folder = tmp_path_factory.mktemp("judge")
        tokenizer = AutoTokenizer.from_pretrained(tiny_folder / "text_tower")
        config = BertConfig(
            vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
            max_position_embeddings=64, id2label=dict(enumerate(labels)),
            label2id={name: place for place, name in enumerate(labels)},
        )  # fmt: skip
        BertForSequenceClassification(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return make


def test_a_model_of_three_labels_gives_probabilities(make_judge):
    judge = Entailment.open(make_judge(["CONTRADICTION", "NEUTRAL", "ENTAILMENT"]))
    verdicts = judge([("A long piece of evidence. " * 40, "A glioma."), ("Short.", "A mass.")] * 10)
    assert len(verdicts) == 20
    assert all(0 < one.entailed < 1 and 0 < one.contradicted < 1 for one in verdicts)
    assert verdicts[0] == pytest.approx(verdicts[2], abs=1e-5)


def test_a_model_of_two_labels_never_contradicts(make_judge, make_evidence):
    judge = Entailment.open(make_judge(["entailment", "not_entailment"]))
    assert judge([("a", "b")])[0].contradicted == 0.0
    assert len(ground("A glioma is seen.", [make_evidence("Glioma", "A glioma.")], judge=judge)) == 1


def test_what_is_no_entailment_model_is_refused(make_judge, tmp_path):
    with pytest.raises(ModelError, match=r"has labels a, b, none of them entailment"):
        Entailment.open(make_judge(["A", "B"]))
    with pytest.raises(ModelError, match=r"There is no entailment model in .*nowhere"):
        Entailment.open(tmp_path / "nowhere")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="cannot be loaded"):
        Entailment.open(tmp_path)
