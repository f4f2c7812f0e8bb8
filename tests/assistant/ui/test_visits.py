import pytest

from assistant.ui.visits import MOST_EACH, Visits, owner_tag


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def visits(clock):
    return Visits(idle_s=60, longest_s=600, clock=lambda: clock[0])


def test_a_visit_ends_when_nothing_is_asked_for_a_while(visits, clock):
    token = visits.begin("ann")
    clock[0] = 50
    assert visits.user_of(token) == "ann"
    clock[0] = 105
    assert visits.user_of(token) == "ann"
    clock[0] = 170
    assert visits.user_of(token) is None


def test_a_visit_ends_in_any_case(visits, clock):
    token = visits.begin("ann")
    for clock[0] in range(0, 600, 50):
        assert visits.user_of(token) == "ann"
    clock[0] = 601
    assert visits.user_of(token) is None


def test_signing_out_ends_this_visit_alone(visits):
    one, other = visits.begin("ann"), visits.begin("ann")
    visits.end(one)
    assert visits.user_of(one) is None
    assert visits.user_of(other) == "ann"
    assert visits.user_of(None) is None
    assert visits.user_of("guessed") is None


def test_no_token_is_kept_in_memory(visits):
    token = visits.begin("ann")
    assert token not in repr(vars(visits))


def test_one_visit_too_many_ends_the_oldest(visits):
    tokens = [visits.begin("ann") for _ in range(MOST_EACH + 1)]
    assert visits.user_of(tokens[0]) is None
    assert all(visits.user_of(token) == "ann" for token in tokens[1:])


def test_a_file_is_for_who_uploaded_it_and_a_preview_for_who_is_in_its_name(visits, tmp_path):
    upload, page = tmp_path / "a" / "scan.png", tmp_path / "page.css"
    page.write_text("")
    visits.publish(tmp_path)
    visits.uploaded("ann", str(upload))
    preview = tmp_path / f"{owner_tag('ann')}-1.png"
    for path in (upload, preview, tmp_path / "b" / ".." / "a" / "scan.png"):
        assert visits.may_read("ann", str(path))
        assert not visits.may_read("bob", str(path))
    assert visits.may_read("bob", str(page))
    assert not visits.may_read("bob", "/etc/passwd")


def test_a_stream_is_for_who_opened_it(visits):
    assert visits.may_listen("ann", "abc")
    assert not visits.may_listen("bob", "abc")
    assert visits.may_listen("ann", "abc")
