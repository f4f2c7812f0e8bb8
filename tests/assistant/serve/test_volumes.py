"""Volumes through the API: a NIfTI file, or the slices of a series as so many images."""

import base64

import httpx
import openai
import pytest

from assistant.conversation import Question, ReportRequest
from assistant.imaging.images import load_images
from tests.assistant.serve.conftest import WAIT_S


def url(path, **more):
    return {"url": f"data:application/octet-stream;base64,{base64.b64encode(path.read_bytes()).decode()}", **more}


def message(*images, text="What is seen?"):
    parts = [{"type": "image_url", "image_url": one} for one in images]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]


def ask(server, *images):
    return server.client().chat.completions.create(model="tiny", messages=message(*images))


def series(volumes, name="series"):
    return [url(one) for one in sorted((volumes / name).iterdir())]


@pytest.mark.parametrize("name", ["head.nii.gz", "series"])
def test_a_volume_is_answered_as_on_the_command_line(server, volumes, name):
    images = [url(volumes / name)] if name.endswith("gz") else series(volumes)
    made = ask(server, *images)
    expected = server.service.get().assistant.answer(Question("What is seen?", load_images(volumes / name)))
    assert made.choices[0].message.content == expected.text
    (slice_,) = made.model_extra["medassist"]["slices"]
    assert slice_["slice"] == expected.slices[0].section.number
    assert slice_["position_mm"] == expected.slices[0].to_dict()["position_mm"]


def test_a_report_takes_a_volume_and_a_prior_one(server, volumes):
    body = {"model": "tiny", "images": [url(volumes / "head.nii.gz", window="bone")], "priors": series(volumes)}
    told = httpx.post(f"{server.url}/v1/reports", json=body, timeout=WAIT_S).json()
    pictures, priors = load_images(volumes / "head.nii.gz", window="bone"), load_images(volumes / "series")
    expected = server.service.get().assistant.report(ReportRequest(pictures, priors))
    assert told["sections"] == expected.sections
    assert told["slices"][0]["slice"] == expected.slices[0].section.number


def test_two_series_are_refused_with_the_reason(server, volumes):
    images = (*series(volumes), *series(volumes, "mr"))
    with pytest.raises(openai.BadRequestError, match=r"a mixture of 2 series \(8, 8 slices\)") as told:
        ask(server, *images)
    assert told.value.code == "invalid_image"


def test_a_cut_off_volume_names_its_field(server, volumes, tmp_path):
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes((volumes / "head.nii.gz").read_bytes()[:3000])
    images = (*series(volumes), url(cut))
    with pytest.raises(openai.BadRequestError, match="no NIfTI volume that can be read, or it is cut off") as told:
        ask(server, *images)
    assert told.value.param == "messages[0].content[8].image_url.url"


def test_a_series_has_one_window_and_counts_as_one_image(server, volumes, image_url):
    slices = series(volumes)
    others = [{"url": image_url(seed)} for seed in range(4)]
    ask(server, *slices, *others[:1])
    with pytest.raises(openai.BadRequestError, match="5 images were sent. Send at most 4"):
        ask(server, *slices, *others)
    wished = ({**slices[0], "window": "bone"}, {**slices[1], "window": "brain"}, *slices[2:])
    with pytest.raises(openai.BadRequestError, match="2 windows were wished for the slices of one series. Name one"):
        ask(server, *wished)
