"""The settings of the questions to come: comparing, evidence, temperature."""

from assistant.ui.looking import Looking
from assistant.ui.session import Session, Wishes


def asked(session, picture=None, wishes=None):
    pictures = [] if picture is None else [picture]
    return session.asked("What is seen?", pictures, [{"role": "user"}, {"role": "assistant"}], None, wishes)


def test_a_new_image_is_put_after_the_one_before_it(make_picture):
    first, second = make_picture(1), make_picture(2)
    session = asked(asked(Session(), first), second, Wishes(compare=True))
    assert session.put().pictures == (first, second)
    assert session.compared
    assert asked(session).put().pictures == (first, second)


def test_without_the_wish_a_new_image_begins_a_new_subject(make_picture):
    session = asked(asked(Session(), make_picture(1)), make_picture(2))
    assert len(session.put().pictures) == 1
    assert not session.compared


def test_two_images_stand_side_by_side_the_earlier_one_first(service, make_picture):
    looking = Looking(service)
    one = asked(Session(), make_picture(1))
    assert looking.pair(one) == ""
    html = looking.pair(asked(one, make_picture(2), Wishes(compare=True)))
    assert html.index("alt='Earlier image'") < html.index("alt='Current image'")
    assert html.count("data:image/jpeg;base64,") == 2


def test_a_temperature_draws_anew_each_time(make_picture):
    warm = asked(Session(), make_picture(1), Wishes(temperature=0.8))
    assert warm.put().sampling.temperature == 0.8
    assert warm.put().sampling.seed != warm.put().sampling.seed
    cold = asked(Session(), make_picture(1))
    assert (cold.put().sampling.temperature, cold.put().sampling.seed) == (None, None)


def test_the_search_can_be_switched_off(opened):
    session = asked(Session(), None, Wishes(evidence=False))
    answer = opened.assistant.answer(session.put())
    assert answer.abstained
    assert "the search for evidence is off" in answer.text
