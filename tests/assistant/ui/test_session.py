from pathlib import Path

import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from assistant.conversation import Answer, Turn
from assistant.errors import ImageError
from assistant.ui.session import MAX_UPLOADS, Session, View, preview, preview_file, read_uploads

SCAN = Answer("A scan.", 0.9, False, (), (), "tiny", "feed", 0.1)
ASKED = {"role": "user", "content": ["?"]}


def test_a_follow_up_keeps_pictures_and_turns(make_picture):
    first = Session().asked("What?", [make_picture(1)], [ASKED]).answered(SCAN)
    second = first.asked("Where?", [], [ASKED])
    assert second.pictures == first.pictures
    assert second.turns == (Turn("user", "What?"), Turn("assistant", "A scan."))
    assert len(second.shown) == 2


def test_new_pictures_begin_a_new_subject_and_leave_the_page_as_it_is(make_picture):
    first = Session().asked("What?", [make_picture(1)], [ASKED]).answered(SCAN)
    second = first.asked("And this?", [make_picture(2)], [ASKED])
    assert second.turns == ()
    assert len(second.pictures) == 1
    assert len(second.shown) == 2


def test_a_withdrawn_question_is_no_turn():
    assert Session().asked("What?", [], [ASKED]).withdrawn() == Session(shown=(ASKED,))


def test_uploads_are_deleted_once_read(upload):
    path = upload("scan.png")
    (picture,) = read_uploads([path])
    assert picture.size == (30, 40)
    assert not Path(path).exists()


def test_uploads_are_deleted_when_one_is_broken_and_only_its_number_is_told(upload, uploads):
    paths = [upload("scan.png"), upload("broken.png", b"no picture")]
    with pytest.raises(ImageError, match=r"^Image 2: ") as caught:
        read_uploads(paths)
    assert str(uploads) not in str(caught.value)
    assert not any(Path(path).exists() for path in paths)


def test_too_many_images_are_refused(upload):
    paths = [upload(f"{number}.png") for number in range(MAX_UPLOADS + 1)]
    with pytest.raises(ImageError, match=f"{MAX_UPLOADS + 1} images were sent. Send at most {MAX_UPLOADS}"):
        read_uploads(paths)


@pytest.mark.parametrize(
    ("width", "height", "shown"), [(30, 20, (256, 171)), (300, 200, (300, 200)), (2560, 1280, (640, 320))]
)
def test_previews_are_neither_tiny_nor_huge(make_picture, width, height, shown):
    assert preview(make_picture(0, width, height)).size == shown


def test_a_preview_holds_pixels_and_nothing_else(make_picture, uploads):
    path = Path(preview_file(make_picture(0)))
    assert uploads in path.parents
    with Image.open(path) as image:
        assert image.info == {}
        assert image.size == (256, 192)


def test_a_state_leads_back_to_any_of_its_questions(make_picture):
    first = Session().asked("What?", [make_picture(1)], [ASKED, ASKED]).answered(SCAN)
    second = first.asked("Where?", [], [ASKED, ASKED])
    assert [second.at(place).text for place in range(4)] == ["What?", "What?", "Where?", "Where?"]
    assert second.at(3).earlier is first
    assert first.at(0).earlier == Session()


def test_exchanges_are_what_was_answered(make_picture):
    first = Session().asked("What?", [make_picture(1)], [ASKED]).answered(SCAN)
    after = first.asked("Stopped?", [], [ASKED]).withdrawn().told([ASKED]).asked("Where?", [], [ASKED]).answered(SCAN)
    assert [question.text for question, _ in after.exchanges()] == ["What?", "Where?"]


def test_a_region_is_put_after_the_picture_and_not_kept(make_picture):
    whole, part = make_picture(1), make_picture(2)
    first = Session().asked("What?", [whole], [ASKED]).answered(SCAN)
    second = first.asked("And here?", [], [ASKED], part)
    assert second.put().pictures == (whole, part)
    assert second.answered(SCAN).asked("And now?", [], [ASKED]).put().pictures == (whole,)


def test_questions_that_were_offered_vanish_once_one_is_asked():
    offered = {"role": "assistant", "content": "A scan.", "options": [{"value": "Where?"}]}
    first = Session().asked("What?", [], [ASKED, ASKED]).answered(SCAN).growing(offered)
    second = first.asked("Where?", [], [ASKED, ASKED])
    assert "options" not in second.shown[1]
    assert "options" in (second.earlier or second).shown[1]


def test_frame_and_window_are_for_files_that_have_them(upload):
    many = Path(get_testdata_file("examples_ybr_color.dcm")).read_bytes()
    scan = Path(get_testdata_file("CT_small.dcm")).read_bytes()
    paths = [upload("many.dcm", many), upload("ct.dcm", scan), upload("a.png")]
    moving, bone, plain = read_uploads(paths, View(7, "bone"))
    (usual,) = read_uploads([upload("ct.dcm", scan)])
    assert (moving.frame, moving.frames) == (7, 30)
    assert bone.content_id != usual.content_id
    assert plain.frame == 0
