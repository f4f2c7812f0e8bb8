import numpy as np
import pytest

from assistant.grounding import SUPPORTED, Verdict, denies, ground, unsupported


@pytest.fixture
def evidence(make_evidence):
    return [
        make_evidence("Atelectasis", "Atelectasis is collapse of lung tissue. It is common after surgery."),
        make_evidence("Pleural effusion", "Pleural effusion blunts the costophrenic angle. There is no pneumothorax."),
    ]


def test_each_sentence_is_marked_with_what_bears_it(evidence):
    text = "The costophrenic angle is blunted by a pleural effusion [2]. The aorta is calcified and wide."
    first, second = ground(text, evidence)
    assert first.sentence == "The costophrenic angle is blunted by a pleural effusion."
    assert (first.evidence, first.cited, first.supported) == ((2,), (2,), True)
    assert first.score >= SUPPORTED
    assert (second.evidence, second.supported) == ((), False)
    assert unsupported([first, second]) == ["The aorta is calcified and wide."]


def test_what_the_evidence_denies_is_no_support(evidence):
    (affirmed,) = ground("There is a pneumothorax.", evidence)
    (denied,) = ground("There is no pneumothorax.", evidence)
    assert not affirmed.supported
    assert denied.evidence == (2,)
    assert denies("No effusion.", "There is an effusion.")
    assert not denies("No effusion.", "Without effusion.")


def test_a_citation_after_the_stop_belongs_to_the_sentence_before(evidence):
    (only,) = ground("Pleural effusion blunts the costophrenic angle. [2]", evidence)
    assert only.cited == (2,)


def test_far_meaning_weighs_less_than_near_meaning(evidence):
    def embed(texts):
        vectors = np.zeros((len(texts), 2), dtype=np.float32)
        vectors[:, 1] = 1.0
        vectors[0] = (1.0, 0.0) if "far" in texts[0] else (0.0, 1.0)
        return vectors

    said = "Atelectasis is collapse of tissue"
    (near,), (far,) = ground(said, evidence, embed=embed), ground(f"{said} far", evidence, embed=embed)
    assert near.score > far.score > 0


def test_an_entailment_model_can_speak_for_and_against(evidence):
    said = "Pleural effusion blunts the costophrenic angle."

    def judged(entailed, contradicted):
        return ground(said, evidence, judge=lambda pairs: [Verdict(entailed, contradicted)] * len(pairs))[0]

    assert judged(0.95, 0.0).evidence == (2, 1)
    assert judged(0.05, 0.9).evidence == ()
    assert judged(0.05, 0.9).score < 0.1


def test_without_evidence_nothing_is_supported(make_evidence):
    (only,) = ground("A mass is seen.", [])
    assert (only.score, only.supported) == (0.0, False)
    assert ground("[1]", []) == ()
    assert only.to_dict() == {"sentence": "A mass is seen.", "supported": False, "evidence": [], "score": 0.0,
                              "cited": []}  # fmt: skip
