"""The gateway: text from another server, our own in another process, and everything else from here."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from assistant.chat import MedicalAssistant
from assistant.conversation import Question, ReportRequest
from assistant.errors import AssistantError, ConfigError, ModelError
from assistant.imaging.load import load_picture
from assistant.model.load import load_model, starter_folder
from assistant.sampling import Sampling
from assistant.serve.settings import ServeConfig
from assistant.serve.upstream import UpstreamWriter
from assistant.serve.upstream_address import check_address
from tests.assistant.serve.conftest import SETTINGS, WAIT_S, soon, start_process, stop_process


@pytest.fixture(scope="module")
def upstream(tiny_folder, tmp_path_factory):
    audit = tmp_path_factory.mktemp("upstream") / "audit.jsonl"
    process, url = start_process("--model", str(tiny_folder), "--no-page", "--raw", "--audit", str(audit))
    yield f"{url}/v1"
    stop_process(process)


@pytest.fixture(scope="module")
def writer_to():
    made = []

    def make(address, **settings):
        made.append(UpstreamWriter(ServeConfig(upstream=address, **settings), SETTINGS))
        return made[-1]

    yield make
    for writer in made:
        writer.close()


@pytest.fixture(scope="module")
def both(upstream, tiny_model, writer_to):
    """The assistant with the other server's text, and with its own."""
    writer = writer_to(upstream)
    return MedicalAssistant(tiny_model, None, SETTINGS, writer), MedicalAssistant(tiny_model, None, SETTINGS)


def told(answer):
    return (answer.text, answer.abstained, answer.cautions, pytest.approx(answer.confidence, abs=1e-4), answer.usage)


def test_the_answers_are_those_of_the_model_at_home(both, make_picture):
    there, here = both
    questions = [Question(f"What is number {n}?", (make_picture(n),)) for n in range(3)]
    assert [told(one) for one in there.answers(questions)] == [told(one) for one in here.answers(questions)]


def test_so_are_sampled_ones_reports_and_streams(both, make_picture):
    there, here = both
    sampled = Question("What is it?", (make_picture(1),), sampling=Sampling(temperature=1.2, seed=5, max_new_tokens=12))
    assert told(there.answer(sampled)) == told(here.answer(sampled))
    request = ReportRequest((make_picture(2),), (make_picture(3),), "cough")
    assert there.report(request).sections == here.report(request).sections
    pieces = list(there.stream(Question("What is it?", (make_picture(4),))))
    assert told(pieces[-1]) == told(here.answer(Question("What is it?", (make_picture(4),))))


def test_a_choice_that_was_written_has_its_own_probability(both, make_picture):
    from assistant.engine.row import Generated
    from assistant.serve.upstream import _scores

    written = Generated("Yes.", (), (-0.1, -0.1), True)
    yes, capital, no = _scores(written, ("yes", "Yes", "no"))
    assert yes == pytest.approx(-0.2)
    assert capital == float("-inf")
    assert no == pytest.approx(-1.708, abs=0.01)
    assert _scores(Generated("Maybe", (), (-0.1,), True), ("yes", "no")) == [float("-inf")] * 2
    there, _ = both
    assert there.answer(Question("Is it a mass?", (make_picture(1),), options=("glioma", "normal"))).text


def test_the_gateway_is_served_and_noted_with_the_other_model(upstream, tiny_folder, tmp_path, asking):
    import openai

    audit = tmp_path / "audit.jsonl"
    process, url = start_process(
        "--model", str(tiny_folder), "--no-page", "--upstream", upstream, "--audit", str(audit)
    )
    try:
        with openai.OpenAI(base_url=f"{url}/v1", api_key="none", timeout=WAIT_S) as client:
            made = client.chat.completions.create(model="tiny", messages=asking())
            assert made.model_extra["medassist"]["model"]["name"] == "tiny"
            chunks = list(client.chat.completions.create(model="tiny", messages=asking(), stream=True))
            assert chunks[-1].model_extra["medassist"]["answer"] == made.choices[0].message.content
    finally:
        stop_process(process)
    assert json.loads(audit.read_text().splitlines()[-1])["upstream"] == "tiny"


def test_a_server_that_has_gone_is_told(tiny_model, make_picture, start_server, writer_to):
    other = start_server(raw=True)
    writer = writer_to(f"{other.url}/v1")
    gone = writer_to("http://127.0.0.1:9/v1", upstream_model="x")
    question = Question("What is it?", (make_picture(1),))
    with pytest.raises(ModelError, match=r"http://127\.0\.0\.1:9/v1 does not answer \(ConnectError\)\. Start it"):
        MedicalAssistant(tiny_model, None, SETTINGS, gone).answer(question)
    wrong = writer_to(f"{other.url}/v1", upstream_model="other")
    with pytest.raises(AssistantError, match=r"refused with status 404 \(model_not_found\)"):
        MedicalAssistant(tiny_model, None, SETTINGS, wrong).answer(question)
    assert MedicalAssistant(tiny_model, None, SETTINGS, writer).answer(question).text
    with pytest.raises(ModelError, match="lists no models. Is that the address"):
        UpstreamWriter(ServeConfig(upstream=other.url), SETTINGS)


def test_a_server_without_probabilities_is_refused(tiny_model, make_picture, start_server, writer_to):
    reviewed = start_server()
    writer = writer_to(f"{reviewed.url}/v1")
    with pytest.raises(AssistantError, match=r"refused with status 400 \(unsupported_parameter\)"):
        MedicalAssistant(tiny_model, None, SETTINGS, writer).answer(Question("What?", (make_picture(1),)))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (
            "http://far.example/v1",
            "far.example, which is not this machine: .* allow it by name: --upstream-host far.exa",
        ),
        ("http://10.0.0.3:8000/v1", "on 10.0.0.3, which is not this machine"),
        ("http://127.0.0.1.far.example/v1", "not this machine"),
        ("http://127.0.0.1@far.example/v1", "give an address such as"),
        ("file:///etc/passwd", "give an address such as"),
        ("127.0.0.1:8000", "give an address such as"),
        ("http://127.0.0.1:80a/v1", "give an address such as"),
        ("http://[::1/v1", "give an address such as"),
    ],
)
def test_an_upstream_beyond_this_machine_must_be_allowed_by_name(address, message):
    with pytest.raises(ConfigError, match=message):
        check_address(address, ())


def test_an_allowed_host_and_loopback_are_taken():
    assert check_address("https://gpu.example:8000/v1/", ("gpu.example",)) == "https://gpu.example:8000/v1"
    for host in ("127.0.0.1", "localhost", "[::1]", "127.1.2.3"):
        assert check_address(f"http://{host}:8000/v1", ())


def test_a_missing_key_file_is_told(tmp_path):
    serve = ServeConfig(upstream="http://127.0.0.1:9/v1", upstream_key=str(tmp_path / "gone"))
    with pytest.raises(ConfigError, match="key of the upstream server cannot be read from"):
        UpstreamWriter(serve, SETTINGS)


def test_the_model_here_gives_a_text_the_probabilities_that_its_writer_gave(tiny_model, make_picture):
    here = MedicalAssistant(tiny_model, None, SETTINGS)
    (case,) = here._question_cases([Question("What is it?", (make_picture(1),))])
    text = "a small mass"
    weighed = here.scorer.weigh(case.prompt, text, ended=True)
    assert sum(weighed) == pytest.approx(here.scorer.score_options(case.prompt, [text])[0], abs=1e-4)
    assert here.scorer.weigh(case.prompt, text, ended=False) == pytest.approx(weighed[:-1], abs=1e-5)
    assert here.scorer.weigh(case.prompt, "", ended=False) == ()


@pytest.fixture(scope="module")
def transformers_serve():
    """Another project's server: that of transformers, with the starter."""
    from transformers.cli.serve import is_serve_available

    if not is_serve_available():
        pytest.skip("transformers[serving] is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [Path(sys.executable).with_name("transformers"), "serve", starter_folder(), "--device", "cpu", "--dtype",
         "float32", "--host", "127.0.0.1", "--port", str(port)],
        env={**os.environ, "HF_HUB_OFFLINE": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    yield f"http://127.0.0.1:{port}/v1"
    process.terminate()
    process.wait(30)


@pytest.mark.slow
def test_a_server_of_another_project_gives_the_answers_of_the_model_at_home(transformers_serve, writer_to):
    model = load_model(starter_folder(), device="cpu")
    writer = writer_to(transformers_serve, upstream_model=str(starter_folder()), upstream_score_here=True)
    here = MedicalAssistant(model, None, SETTINGS)
    there = MedicalAssistant(model, None, SETTINGS, writer)
    writer.scorer = there.scorer
    soon(lambda: writer.link.state != "down")
    pictures = [load_picture(path) for path in sorted((starter_folder() / "examples").glob("*.png"))]
    for text in ("What abnormality is seen?", "Describe the image."):
        for picture in pictures:
            answer, expected = there.answer(Question(text, (picture,))), here.answer(Question(text, (picture,)))
            assert (answer.text, answer.abstained) == (expected.text, expected.abstained)
            # A text that was cut may be read back in other tokens than it was written in.
            assert answer.confidence == pytest.approx(expected.confidence, abs=5e-3)
