from dataclasses import replace

import pytest

from assistant.conversation import Answer
from assistant.ui.followups import _BY_MODALITY, MOST, followups
from assistant.ui.session import Session
from assistant.vocabulary import MODALITIES

SCAN = Answer("A scan.", 0.9, False, (), (), "tiny", "feed", 0.1)
ASKED = {"role": "user", "content": ["?"]}


def asked(pictures, question="What?", answer=SCAN):
    return Session().asked(question, pictures, [ASKED]).answered(answer)


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_kind_of_picture_has_its_questions(make_picture, modality):
    offered = followups(asked([replace(make_picture(1), modality=modality)]))
    assert offered == list(_BY_MODALITY[modality])[:MOST] or len(offered) == MOST


def test_without_a_header_the_evidence_tells_the_kind(make_picture, make_evidence):
    bare = replace(make_picture(1), modality=None)
    evidence = (make_evidence("One", "a", modality="CT"), make_evidence("Two", "b", modality="CT"))
    assert "Is there a haemorrhage?" in followups(asked([bare], answer=replace(SCAN, evidence=evidence)))
    assert "Is anything abnormal in this image?" in followups(asked([bare]))


def test_what_was_asked_is_not_offered_again(make_picture):
    xray = replace(make_picture(1), modality="X-ray")
    offered = followups(asked([xray], "is there a fracture"))
    assert "Is there a fracture?" not in offered
    assert len(offered) == MOST


def test_nothing_is_offered_without_a_picture_or_an_answer(make_picture):
    assert followups(asked([])) == ()
    assert followups(Session().asked("What?", [make_picture(1)], [ASKED])) == ()
