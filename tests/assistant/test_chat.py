import logging

import numpy as np
import pytest

from assistant.chat import MedicalAssistant
from assistant.config import GenerationConfig
from assistant.conversation import NOT_FOR_CLINICAL_USE, SECTIONS, Answer, Question, ReportRequest, Turn
from assistant.errors import ConfigError


class ShelfRetriever:
    """Finds the pieces whose titles stand in the query; keeps what it was asked."""

    fingerprint = "shelf"

    def __init__(self, *pieces):
        self.pieces = pieces
        self.asked = []

    def search(self, query, *, image_embedding=None, k=3, modality=None, exclude_patient=None):
        self.asked.append((query, image_embedding, k, modality, exclude_patient))
        return [piece for piece in self.pieces if piece.title.lower() in query.lower()][:k]


SHORT = GenerationConfig(max_new_tokens=12, report_max_new_tokens=24, batch_size=4)


@pytest.fixture
def shelf(make_evidence):
    return ShelfRetriever(
        make_evidence("Glioma", "A glioma is a tumor that grows inside the brain. Its margins are often ill defined."),
        make_evidence("Pneumothorax", "A pneumothorax is air in the pleural space. A thin white line marks the lung."),
    )


@pytest.fixture(scope="module")
def assistant(tiny_model):
    return MedicalAssistant(tiny_model, settings=SHORT)


def with_contract(model, **changes):
    """The same weights under another contract."""
    import dataclasses

    return dataclasses.replace(model, contract=model.contract.replace(**changes))


def test_an_answer_says_who_made_it_and_that_it_is_a_draft(assistant, tiny_model, make_picture):
    answer = assistant.answer(Question("What is seen here?", (make_picture(),)))
    assert (answer.model_name, answer.model_fingerprint) == ("tiny", tiny_model.fingerprint)
    assert answer.cautions.count(NOT_FOR_CLINICAL_USE) == 1
    assert answer.seconds > 0
    assert 0 < answer.confidence < 1
    assert not answer.abstained
    assert answer.text


def test_a_closed_question_gets_one_of_its_options(assistant, make_picture):
    for seed in range(4):
        picture = make_picture(seed)
        assert assistant.answer(Question("Is there a mass?", (picture,))).text in ("Yes", "No")
        choice = Question("Which is it?", (picture,), options=("Glioma", "Cyst", "Normal"))
        answer = assistant.answer(choice)
        assert answer.text in choice.options
        assert answer.confidence > 0


def test_the_confidence_of_a_closed_answer_is_its_share(assistant, make_picture, tiny_model):
    from assistant import prompts
    from assistant.confidence import shares
    from assistant.engine.features import PictureEncoder
    from assistant.engine.generate import Generator

    picture = make_picture(5)
    answer = assistant.answer(Question("Is there a mass?", (picture,)))
    generator = Generator(tiny_model, SHORT)
    prompt = generator.encoder.encode(
        prompts.conversation("Is there a mass?", images=1), PictureEncoder(tiny_model).encode([picture])
    )
    probabilities = np.exp(generator.score_options(prompt, ["Yes", "yes", "No", "no"]))
    yes, no = shares(np.log([probabilities[:2].sum(), probabilities[2:].sum()]).tolist())
    assert answer.confidence == pytest.approx(yes if answer.text == "Yes" else no, abs=1e-3)


def test_many_questions_get_what_each_gets_alone(assistant, make_picture, shelf):
    asked = [
        Question("What is seen here?", (make_picture(1),)),
        Question("Is there a mass?", (make_picture(2),)),
        Question("Write me a poem"),
        Question("Compare the two.", (make_picture(1), make_picture(3))),
        Question("What is a glioma?"),
        Question("And now?", (make_picture(1),), (Turn("user", "What is seen?"), Turn("assistant", "A mass"))),
    ]
    together = list(assistant.answers(iter(asked)))
    assert [one.text for one in together] == [assistant.answer(one).text for one in asked]
    assert [one.confidence for one in together] == pytest.approx(
        [assistant.answer(one).confidence for one in asked], abs=1e-3
    )


@pytest.mark.parametrize("text", ["What is seen here?", "Is there a mass?"])
def test_a_stream_ends_with_the_answer_that_was_streamed(assistant, make_picture, text):
    question = Question(text, (make_picture(2),))
    *pieces, last = assistant.stream(question)
    assert isinstance(last, Answer)
    assert "".join(pieces) == last.text == assistant.answer(question).text


def test_without_a_picture_the_evidence_is_quoted_with_its_number(tiny_model, shelf):
    answer = MedicalAssistant(tiny_model, shelf, SHORT).answer(Question("What is a pneumothorax?"))
    assert answer.text.startswith('"A pneumothorax is air in the pleural space." [1]')
    assert answer.evidence[0].title == "Pneumothorax"
    assert not answer.abstained
    assert 0 < answer.confidence <= 1
    streamed = list(MedicalAssistant(tiny_model, shelf, SHORT).stream(Question("What is a pneumothorax?")))
    assert streamed[0] == answer.text


def test_an_empty_search_is_said(tiny_model, shelf):
    answer = MedicalAssistant(tiny_model, shelf, SHORT).answer(Question("What is a hamartoma?"))
    assert answer.abstained
    assert "the search found no evidence" in answer.text
    assert answer.evidence == ()


def test_no_picture_and_no_index_is_said(assistant):
    answer = assistant.answer(Question("What is a glioma?"))
    assert answer.abstained
    assert "no evidence index is loaded" in answer.text


def test_a_follow_up_is_searched_with_what_came_before(tiny_model, shelf):
    history = (Turn("user", "What is a pneumothorax?"), Turn("assistant", "Air."))
    answer = MedicalAssistant(tiny_model, shelf, SHORT).answer(Question("Where is the line in it?", history=history))
    assert answer.evidence[0].title == "Pneumothorax"


def test_a_search_for_an_image_uses_its_embedding_modality_and_patient(tiny_model, shelf, make_picture):
    picture = make_picture(1, modality="MRI", patient_key="k1")
    question = Question("Which is it?", (picture,), options=("Glioma", "Cyst"))
    MedicalAssistant(tiny_model, shelf, SHORT).answer(question)
    query, embedding, k, modality, patient = shelf.asked[-1]
    assert query.startswith("Which is it? ")
    assert embedding.shape == (24,)
    assert (modality, patient) == ("MRI", "k1")
    assert k > SHORT.evidence_count, "some of it may be about other images"


def test_an_answer_is_cited_where_the_evidence_is_about_it(tiny_model, shelf, make_picture):
    question = Question("Which is it?", (make_picture(1),), options=("Glioma",))
    answer = MedicalAssistant(tiny_model, shelf, SHORT).answer(question)
    assert answer.text == "Glioma [1]"
    assert [piece.title for piece in answer.evidence] == ["Glioma"]


def test_evidence_stands_in_the_prompt_where_the_model_was_trained_so(tiny_model, shelf, make_picture):
    shown = with_contract(tiny_model, capabilities={"text_only": "quote", "evidence_in_prompt": "yes"})
    question = Question("Is there a glioma?", (make_picture(1),))
    (case,) = MedicalAssistant(shown, shelf, SHORT)._question_cases([question])
    assert case.prompt is not None
    assert "Evidence:\n[1] Glioma: A glioma is a tumor" in case.prompt.text
    (plain,) = MedicalAssistant(tiny_model, shelf, SHORT)._question_cases([question])
    assert plain.prompt is not None
    assert "Evidence" not in plain.prompt.text


def test_a_model_that_writes_from_evidence_does_so_without_a_picture(tiny_model, shelf):
    writing = with_contract(tiny_model, capabilities={"text_only": "generate"})
    answer = MedicalAssistant(writing, shelf, SHORT).answer(Question("What is a glioma?"))
    assert not answer.text.startswith('"')
    assert answer.evidence[0].title == "Glioma"


def test_an_unsure_model_abstains_and_says_what_would_help(tiny_model, make_picture):
    careful = MedicalAssistant(tiny_model, settings=GenerationConfig(max_new_tokens=12, abstain_below=1.0))
    answer = careful.answer(Question("What is seen here?", (make_picture(),)))
    assert answer.abstained
    assert "Not sure enough to say" in answer.text
    assert "larger model" in answer.text
    assert 0 < answer.confidence < 1


def test_calibration_and_thresholds_come_from_the_contract(tiny_model, make_picture):
    question = Question("Is there a mass?", (make_picture(),))
    changed = with_contract(tiny_model, calibration={"closed_a": 0.0, "closed_b": 0.0, "abstain_below_closed": 0.6})
    answer = MedicalAssistant(changed, settings=SHORT).answer(question)
    assert answer.abstained
    assert answer.confidence == 0.5


def test_an_unfamiliar_picture_stops_questions_and_reports(tiny_model, make_picture, monkeypatch):
    from assistant.known import Kinds, KnownPictures, pooled

    strict = with_contract(tiny_model, calibration={"ood_distance": 2.0})
    picture = make_picture(1)
    own = MedicalAssistant(strict, settings=SHORT)
    features = own._encoder.encode([picture])[0]

    def know(mean):
        parts = (np.zeros(len(mean)), np.ones(len(mean)), mean[None], np.zeros((1, 1, len(mean))))
        kinds = Kinds(*parts, variance=np.ones((1, 1)), rest=np.ones(1))
        return KnownPictures(features.joint[None], np.zeros(1, int), ["CT"], kinds)

    own._known = know(pooled(features) + 5)
    answer = own.answer(Question("What is seen here?", (picture,)))
    assert answer.abstained
    assert "unlike anything this model has seen" in answer.text
    report = own.report(ReportRequest((picture,)))
    assert report.abstained
    assert "unlike anything" in report.sections["impression"]
    own._known = know(pooled(features))
    assert not own.answer(Question("What is seen here?", (picture,))).abstained


def test_questions_out_of_scope_are_not_generated(assistant, make_picture):
    answer = assistant.answer(Question("What dose of aspirin should I take?", (make_picture(),)))
    assert answer.abstained
    assert answer.confidence == 0.0


def test_a_premise_against_the_header_is_stopped(assistant, make_picture):
    picture = make_picture(modality="Dermoscopy")
    answer = assistant.answer(Question("Is there a nodule in this chest CT?", (picture,)))
    assert answer.abstained
    assert "speaks of CT, but the image looks like Dermoscopy" in answer.text


def test_cautions_of_pictures_and_questions_reach_the_reader(assistant, make_picture):
    picture = make_picture(cautions=("The window was assumed.",))
    answer = assistant.answer(Question("Has the nodule grown?", (picture,)))
    assert "The window was assumed." in answer.cautions
    assert any("no prior image was given" in caution for caution in answer.cautions)


def test_an_empty_question_is_refused(assistant, make_picture):
    with pytest.raises(ConfigError, match="The question is empty"):
        assistant.answer(Question(" ", (make_picture(),)))


def test_too_many_pictures_are_refused(assistant, make_picture):
    pictures = tuple(make_picture(seed) for seed in range(20))
    with pytest.raises(ConfigError, match=r"with its 20 picture\(s\) takes \d+ tokens, but tiny takes 256"):
        assistant.answer(Question("What is seen here?", pictures))


def test_a_long_history_is_cut_to_what_fits(assistant, make_picture):
    history = tuple(Turn("user" if turn % 2 == 0 else "assistant", "word " * 30) for turn in range(40))
    answer = assistant.answer(Question("What is seen in this image now?", (make_picture(),), history))
    assert answer.text


def test_a_report_has_its_sections_in_order(assistant, tiny_model, make_picture):
    report = assistant.report(ReportRequest((make_picture(modality="CT"),), indication="Cough"))
    assert tuple(report.sections) == SECTIONS
    assert report.sections["technique"]
    assert report.model_fingerprint == tiny_model.fingerprint
    assert report.cautions.count(NOT_FOR_CLINICAL_USE) == 1


def test_many_reports_are_what_each_is_alone(assistant, make_picture):
    requests = [ReportRequest((make_picture(seed),)) for seed in range(6)]
    requests.append(ReportRequest((make_picture(7),), priors=(make_picture(8),)))
    together = list(assistant.reports(iter(requests), batch_size=3))
    assert [one.sections for one in together] == [assistant.report(one).sections for one in requests]


def test_a_prior_is_read_by_itself_and_what_was_read_is_compared(assistant, make_picture):
    prior, current = make_picture(1), make_picture(2)
    request = ReportRequest((current,), priors=(prior,))
    (case,) = assistant._report_cases([request])
    assert (case.pictures, case.earlier.pictures) == ((current,), (prior,))
    assert "prior" not in case.prompt.text
    assert case.asides[-1] is case.earlier
    report = assistant.report(request)
    assert list(report.sections) == ["technique", "comparison", "findings", "impression"]
    alone = assistant.report(ReportRequest((current,)))
    assert report.sections["findings"] == alone.sections["findings"]


def test_where_a_model_can_tell_change_a_prior_stands_before_the_current_picture(tiny_model, make_picture):
    prior, current = make_picture(1), make_picture(2)
    able = MedicalAssistant(with_contract(tiny_model, capabilities={"comparison": "written"}), settings=SHORT)
    (case,) = able._report_cases([ReportRequest((current,), priors=(prior,))])
    assert case.pictures == (prior, current)
    assert "prior" in case.prompt.text


def test_a_report_without_a_picture_is_refused(assistant):
    with pytest.raises(ConfigError, match="has no picture"):
        assistant.report(ReportRequest(()))


def test_logs_carry_no_question_and_no_answer(assistant, make_picture, caplog):
    caplog.set_level(logging.DEBUG)
    answer = assistant.answer(Question("Is Mrs Example's nodule malignant?", (make_picture(),)))
    assert answer.text
    assert "answered 1 question(s)" in caplog.text
    assert "Example" not in caplog.text
    assert "nodule" not in caplog.text
