import numpy as np
import pytest

from assistant.case import Case
from assistant.config import GenerationConfig
from assistant.conversation import Question, ReportRequest
from assistant.domain import Domain
from assistant.engine.features import PictureFeatures
from assistant.guard import Sight, Stop
from assistant.lookup import Lookup, statement_of


class Recorder:
    """Finds what it was given and keeps what it was asked."""

    fingerprint = "recorder"

    def __init__(self, *found):
        self.found = found
        self.asked = []

    def search(self, query, *, image_embedding=None, k=3, modality=None, exclude_patient=None):
        self.asked.append((query, k, modality, exclude_patient))
        return self.found[:k]


@pytest.fixture
def piece(make_evidence):
    return make_evidence("Glioma", "A tumor.")


def test_a_search_after_the_answer_holds_the_answer_but_no_plain_yes(piece, make_picture):
    recorder = Recorder(piece)
    lookup = Lookup(recorder, GenerationConfig(evidence_count=2))
    picture = make_picture(patient_key="k")
    case = Case((picture,), question=Question("Which tumor?", (picture,)), modality="MRI")
    assert lookup.about(case, "Glioma") == (piece,)
    lookup.about(case, "Yes")
    assert [asked for asked, *_ in recorder.asked] == ["Glioma", "Which tumor? Glioma", "Which tumor?"]
    assert {tuple(more) for _, _, *more in recorder.asked} == {("MRI", "k")}


def test_a_report_is_searched_by_indication_and_impression(piece, make_picture):
    recorder = Recorder(piece)
    case = Case((make_picture(),), request=ReportRequest((make_picture(),), indication="Headache"))
    Lookup(recorder, GenerationConfig()).about(case, "Glioma.")
    assert [asked for asked, *_ in recorder.asked] == ["Glioma.", "Headache Glioma."]


def test_what_is_found_on_another_kind_of_image_or_region_makes_room_for_what_is_not(make_evidence, make_picture):
    told = {"knee": ("MRI", "knee"), "chest": ("X-ray", "chest"), "glioma": ("MRI", "brain"), "any": (None, None)}
    cards = [make_evidence(name, "Text.", modality=kind, anatomy=region) for name, (kind, region) in told.items()]
    case = Case((make_picture(),), request=ReportRequest((make_picture(),)), modality="MRI")
    lookup = Lookup(Recorder(*cards), GenerationConfig(evidence_count=2))
    assert [one.title for one in lookup.about(case, "Glioma.", "MRI of the brain.")] == ["glioma", "any"]
    assert [one.title for one in lookup.about(case, "Glioma.")] == ["knee", "glioma"], "nothing tells the region"
    shown = make_picture(anatomy="knee")
    case = Case((shown,), request=ReportRequest((shown,)), modality="MRI")
    assert [one.title for one in lookup.about(case, "Tear.", "MRI of the brain.")] == ["knee", "any"]
    lookup = Lookup(Recorder(*cards), GenerationConfig(evidence_count=2, evidence_elsewhere=True))
    assert [one.title for one in lookup.about(case, "Tear.")] == ["knee", "chest"]


def test_a_question_alone_is_narrowed_by_the_modality_it_names(piece):
    recorder = Recorder(piece)
    lookup = Lookup(recorder, GenerationConfig())
    assert lookup.on_subject(Question("What does the CT of a stroke show?")) == (piece,)
    assert recorder.asked == [("What does the CT of a stroke show?", 3, "CT", None)]


def test_nothing_to_search_and_nothing_found_are_told_apart(piece):
    question = Question("What is a glioma?")
    for lookup in (Lookup(None, GenerationConfig()), Lookup(Recorder(piece), GenerationConfig(evidence_count=0))):
        stop = lookup.on_subject(question)
        assert isinstance(stop, Stop)
        assert "no evidence index is loaded" in stop.text
    stop = Lookup(Recorder(), GenerationConfig()).on_subject(question)
    assert isinstance(stop, Stop)
    assert "found no evidence" in stop.text


def test_yes_claims_what_was_asked_and_no_claims_nothing():
    question = Question("Is there a glioma?")
    assert statement_of(question, "Yes") == "Is there a glioma?"
    assert statement_of(question, "No") == ""
    assert statement_of(question, "Glioma") == "Glioma"
    assert statement_of(None, "Glioma.") == "Glioma."


def test_a_header_that_the_search_contradicts_is_told_once(piece, make_picture):
    class Routing(Recorder):
        def route(self, image_embedding):
            return Domain("MRI", 0.97, "brain", 0.9, {"MRI": 0.97, "CT": 0.03})

    lookup = Lookup(Routing(piece), GenerationConfig())
    features = [PictureFeatures(np.zeros((1, 2), np.float32), np.zeros(2, np.float32))]
    said = "The file's header says CT, but the search took the image for MRI (97%). The header was believed."
    assert lookup.conflicts(Case((make_picture(modality="CT"),), features=features)) == [said]
    for named in ("MRI", None, "Endoscopy"):
        assert lookup.conflicts(Case((make_picture(modality=named),), features=features)) == []
    warned = Case((make_picture(modality="CT"),), features=features, sights=[Sight(0.9, "MRI", 0.99)])
    assert lookup.conflicts(warned) == []
    assert Lookup(Recorder(piece), GenerationConfig()).conflicts(warned) == []


def test_evidence_on_a_finding_is_sought_by_question_and_by_name_and_what_bears_the_name_comes_first(
    make_evidence, make_picture
):
    found = {
        "What can be mistaken for mass?": [make_evidence("Normal abdomen", "T."), make_evidence("Lung mass", "T.")],
        "mass": [make_evidence("Brain mass", "T.", anatomy="head"), make_evidence("Lung mass", "T.")],
    }

    class Searching(Recorder):
        def search(self, query, **options):
            return found[query]

        def route(self, image_embedding):
            return Domain("CT", 0.9, "head", 0.9, {"CT": 1.0}, {"CT": {"head": 0.95, "chest": 0.05}})

    features = [PictureFeatures(np.zeros((1, 2), np.float32), np.zeros(2, np.float32))]
    case = Case((make_picture(),), modality="CT", features=features)
    lookup = Lookup(Searching(), GenerationConfig(evidence_count=3))
    pieces = lookup.on_finding(case, "What can be mistaken for mass?", "Mass.")
    assert [piece.title for piece in pieces] == ["Brain mass", "Lung mass", "Normal abdomen"]
    assert Lookup(None, GenerationConfig()).on_finding(case, "What is it?", "Mass") == ()


def test_a_region_is_told_only_where_another_could_have_been():
    regions = {"CT": {"head": 0.95, "chest": 0.05}, "MRI": {"brain": 0.6, "knee": 0.4}, "Ultrasound": {"breast": 1.0}}
    domain = Domain("MRI", 0.5, "brain", 0.5, {"MRI": 0.5, "CT": 0.5}, regions)
    assert [domain.region_of(one) for one in ("CT", "MRI", None, "Ultrasound", "X-ray")] == ["head", *[None] * 4]
