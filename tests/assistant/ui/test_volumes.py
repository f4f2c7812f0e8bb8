from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from assistant.conversation import Question
from assistant.errors import ImageError
from assistant.feedback.recent import subject_of
from assistant.imaging.images import load_images
from assistant.ui.judging import Judging
from assistant.ui.looking import Looking, view_of
from assistant.ui.region import Region, crop
from assistant.ui.report_tab import Drafting, seen_in
from assistant.ui.session import Session, View, Wishes, read_uploads
from assistant.ui.talking import Conversation
from assistant.ui.viewer import Stack, open_stack, pick, turn
from assistant.ui.volumes import OF_ORGAN, caption, faces, lettered, place_of, windows_of


@pytest.fixture
def nifti(volumes, upload):
    return lambda: upload("Doe^Jane.nii.gz", (volumes / "head.nii.gz").read_bytes())


@pytest.fixture
def series(volumes, upload):
    return lambda name="series": [upload(one.name, one.read_bytes()) for one in sorted((volumes / name).iterdir())]


def sent(text, *paths):
    return {"text": text, "files": list(paths)}


@pytest.fixture
def tab(service):
    return Conversation(service)


@pytest.fixture
def answered(tab, nifti):
    _, session, _ = list(tab.answer(tab.accept(sent("What is seen?", nifti()), Session())[2]))[-1]
    return session


def test_a_nifti_file_and_a_series_become_one_volume_and_are_deleted(nifti, series, volumes):
    for paths, same in (([nifti()], "head.nii.gz"), (series(), "series")):
        made, expected = read_uploads(paths), load_images(volumes / same)
        assert len(made) == 8
        assert all(np.array_equal(one.pixels, other.pixels) for one, other in zip(made, expected, strict=True))
        assert not any(Path(path).exists() for path in paths)


def test_the_answer_is_that_of_ask_and_names_its_slice(tab, service, answered, volumes):
    expected = service.get().assistant.answer(Question("What is seen?", load_images(volumes / "head.nii.gz")))
    assert answered.answer.text == expected.text
    (note,), (other,) = answered.answer.slices, expected.slices
    assert (note.section.number, note.why, note.score) == (other.section.number, other.why, other.score)
    assert note.section.text in answered.shown[-1]["content"]
    _, _, panel = list(tab.answer(tab.accept(sent("And now?"), answered)[2]))[-1]
    assert "Slices read" in panel
    assert len(answered.shown[0]["content"]) == 1, "the volume is shown as one picture"


def test_two_series_at_once_are_refused_and_no_name_of_a_file_is_told(tab, series, uploads):
    _, shown, session, panel = tab.accept(sent("What?", *series(), *series("mr")), Session())
    assert "a mixture of 2 series (8, 8 slices)" in panel
    assert str(uploads) not in panel
    assert session.pictures == ()


def test_a_cut_off_volume_is_told_by_its_number(upload, volumes):
    content = (volumes / "head.nii.gz").read_bytes()
    path = upload("Doe^Jane.nii.gz", content[: len(content) // 2])
    with pytest.raises(
        ImageError, match=r"^Image 1: this is no NIfTI volume that can be read, or it is cut off"
    ) as told:
        read_uploads([path])
    assert "Doe" not in str(told.value)
    assert not Path(path).exists()


def test_a_volume_is_shown_before_it_is_asked_about_and_read_once(service, nifti):
    looking, path = Looking(service), nifti()
    view, seen, group, slider, windows, shown = looking.look(sent("", path), "")
    assert (group["visible"], slider["maximum"], windows["choices"][0]) == (True, 8, (OF_ORGAN, ""))
    assert shown["label"].startswith("Axial slice 5 of 8 at ")
    after, view = looking.turn(2, "bone", seen, view), view_of(2, "bone", view)
    assert (view.window, after["label"][:18]) == ("bone", "Axial slice 2 of 8")
    held = view.held.found[0].volume
    pictures = read_uploads([path], view)
    assert pictures[0].volume is held
    assert np.array_equal(pictures[0].pixels, held.pictures("bone")[0].pixels)


def test_the_viewer_opens_at_the_slice_that_was_read_and_a_choice_leads_back_to_it(answered):
    number = answered.answer.slices[0].section.number
    stack, group, slider, _, slices, html = open_stack(answered.pictures, answered.answer.slices, Stack())
    assert (group["visible"], slider["value"], len(slices["choices"])) == (True, number, 1)
    assert f"slice {number} of 8" in html
    other = 1 if number > 1 else 2
    stack, html = turn(other, None, stack)
    assert f"slice {number} of 8" not in html
    assert "slice 8 of 8" in turn(99, None, stack)[1]
    slider, html = pick(0, other, stack)
    assert (slider["value"], stack.place(number)) == (number, number - 1)
    assert f"slice {number} of 8" in html
    assert pick(7, other, stack)[0]["value"] == other  # nothing stands there


def test_without_a_volume_there_is_no_viewer(make_picture):
    stack, group, *_, html = open_stack([make_picture(1)], (), Stack())
    assert (stack.place(1), group["visible"], html) == (-1, False, "")
    assert turn(3, "bone", stack)[1] == ""
    assert stack.view(3, "bone", True) == View()


def test_a_window_chosen_in_the_viewer_counts_for_the_next_question(tab, answered):
    stack, *_ = open_stack(answered.pictures, answered.answer.slices, Stack())
    assert stack.view(2, OF_ORGAN, False).window is None
    view = stack.view(2, "bone", False)  # what the controls show counts, also before the slice is drawn anew
    session = tab.accept(sent("And the bone?"), answered, view=view)[2]
    assert np.array_equal(session.pictures[0].pixels, session.pictures[0].volume.pictures("bone")[0].pixels)
    stack, html = turn(2, "bone", stack)
    assert "<img" in html
    assert open_stack(session.pictures, (), stack)[0].window == "bone"
    assert stack.view(2, OF_ORGAN, False).window == OF_ORGAN  # and back


def test_one_slice_can_be_asked_about_alone_or_a_region_of_it(tab, answered, service):
    stack, *_ = open_stack(answered.pictures, answered.answer.slices, Stack())
    _, region, _ = Looking(service).canvas(answered, place=stack.place(3))
    assert region.place == 2
    alone = tab.accept(sent("This one?"), answered, view=stack.view(3, OF_ORGAN, True), region=region)[2]
    assert [one.section.number for one in alone.put().pictures] == [3]
    _, done, _ = list(tab.answer(alone))[-1]
    assert done.answer.slices[0].section.number == 3
    assert "Of 8 slices the model read 1: axial slice 3 of 8" in " ".join(done.answer.cautions)
    part = tab.accept(sent("Here?"), answered, region=region.clicked((0.1, 0.1)).clicked((0.6, 0.6)))[2]
    whole, piece = part.put().pictures
    assert whole.section.number == 3
    assert piece.section is None
    assert tab.again(5, done)[2].alone is alone.alone


def test_a_box_on_a_slice_that_is_no_longer_shown_counts_for_nothing(tab, answered):
    stack, *_ = open_stack(answered.pictures, answered.answer.slices, Stack())
    box = Region((0.1, 0.1), (0.6, 0.6), place=2)
    turned = tab.accept(sent("This one?"), answered, view=stack.view(6, OF_ORGAN, True), region=box)[2]
    assert [one.section.number for one in turned.put().pictures] == [6]
    stayed = tab.accept(sent("This one?"), answered, view=stack.view(3, OF_ORGAN, True), region=box)[2]
    assert [one.section is None for one in stayed.put().pictures] == [False, True]


def test_a_crop_of_a_slice_keeps_its_place_out_of_the_choice_of_slices(answered):
    part = crop(answered.pictures[0], Region((0.1, 0.1), (0.5, 0.5)))
    assert part.section is None
    assert part.pixels.shape[0] < answered.pictures[0].pixels.shape[0]


def test_a_volume_is_compared_as_a_whole(tab, answered, nifti):
    session = tab.accept(sent("Compared?", nifti()), answered, wishes=Wishes(compare=True))[2]
    assert len(session.pictures) == 16
    assert [one.section.number for one in faces(session.pictures)] == [5, 5]
    assert "Earlier image" in Looking(tab.service).pair(session)


def test_what_is_kept_for_feedback_is_the_slice_that_was_read(service, answered):
    subject = Judging(service).subject(2, answered)
    assert [one.section for one in subject.asked.pictures] == [answered.answer.slices[0].section]
    assert subject_of("a", answered.last, answered.answer).size < sum(one.pixels.nbytes for one in answered.pictures)


def test_the_report_tab_takes_a_series_and_shows_its_slices(service, series):
    *_, last = Drafting(service).draft(series(), None, None)
    draft = last[4]
    assert len(last[0]) == 1
    pictures, notes = seen_in(draft)
    assert (len(pictures), len(notes)) == (8, 1)
    assert "Slices read" in last[5]
    assert len(draft.source.pictures()) == 1, "an export shows the slice that was read"
    assert seen_in(None) == ((), ())


def test_a_slice_is_drawn_with_letters_and_says_where_it_lies(answered):
    picture = answered.pictures[0]
    plain, drawn = picture.to_pil().resize((256, 256)), lettered(picture.to_pil().resize((256, 256)), picture)
    assert not np.array_equal(np.asarray(plain), np.asarray(drawn))
    assert caption(picture).startswith("Axial slice 1 of 8 at ")
    assert "slices 5.0 mm apart" in caption(picture)
    assert windows_of(picture.volume)[0] == OF_ORGAN


def test_pictures_that_are_no_slices_are_left_as_they_are(make_picture):
    picture = make_picture(1)
    image = Image.new("RGB", (32, 32))
    assert lettered(image.copy(), picture).tobytes() == image.tobytes()
    assert caption(picture) == ""
    assert place_of([picture, picture], ()) == 1
