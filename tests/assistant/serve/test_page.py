"""The page behind its wall, through gradio's own client and by URL."""

import json
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AuthenticationError

from assistant.imaging.load import load_picture
from assistant.ui.login import add_user
from assistant.ui.session import preview_file
from tests.assistant.serve.conftest import WAIT_S, start_process, stop_process

PATIENT = {"timeout": WAIT_S}
PASSWORDS = {"ann": "correct horse", "bob": "another one", "eve": "a third one"}


@dataclass
class Page:
    url: str
    audit: Path


@pytest.fixture(scope="module")
def page(tiny_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    for name, password in PASSWORDS.items():
        add_user(folder / "login", name, password)
    words = ("--model", str(tiny_folder), "--login", str(folder / "login"), "--audit", str(folder / "audit.jsonl"))
    process, url = start_process(*words)
    yield Page(url, folder / "audit.jsonl")
    stop_process(process)


@pytest.fixture(scope="module")
def visitor(page):
    made = []

    def visit(name):
        client = httpx.Client(base_url=page.url, timeout=WAIT_S)
        made.append(client)
        assert client.post("/login", data={"username": name, "password": PASSWORDS[name]}).status_code == 200
        return client

    yield visit
    for client in made:
        client.close()


@pytest.fixture
def scan(tmp_path, make_picture):
    path = tmp_path / "scan.png"
    make_picture(5).to_pil().save(path)
    return path


def upload(client, scan, name="scan.png"):
    (path,) = client.post("/gradio_api/upload", files={"files": (name, scan.read_bytes())}).json()
    return path


def event(client, name, data, session):
    """Send one event as the page does, and return what it gave."""
    config = client.get("/config").json()
    called = next(one for one in config["dependencies"] if one["api_name"] == name)
    values = {one["id"]: one["props"].get("value") for one in config["components"]}
    number, data = called["id"], [*data, *(values[one] for one in called["inputs"][len(data) :])]
    sent = client.post("/gradio_api/queue/join", json={"data": data, "fn_index": number, "session_hash": session})
    assert sent.status_code == 200, sent.text
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
        for line in stream.iter_lines():
            told = json.loads(line[5:]) if line.startswith("data:") else {}
            if told.get("msg") == "process_completed":
                return told["output"]
    return pytest.fail("the event has no end")


def message(path, text="What is this?"):
    return {"text": text, "files": [{"path": path, "meta": {"_type": "gradio.FileData"}}]}


def files_in(value):
    if isinstance(value, dict):
        found = [value["path"]] if isinstance(value.get("path"), str) else []
        return found + [path for inner in value.values() for path in files_in(inner)]
    return [path for inner in value for path in files_in(inner)] if isinstance(value, list) else []


def test_gradios_client_signs_in_and_is_offered_no_endpoint(page):
    client = Client(
        page.url, auth=("ann", PASSWORDS["ann"]), verbose=False, analytics_enabled=False, httpx_kwargs=PATIENT
    )
    assert client.view_api(return_format="dict")["named_endpoints"] == {}
    client.close()
    with pytest.raises(AuthenticationError, match="Invalid credentials"):
        Client(page.url, auth=("ann", "wrong password"), verbose=False, analytics_enabled=False, httpx_kwargs=PATIENT)
    with pytest.raises((AuthenticationError, ValueError)):
        Client(page.url, verbose=False, analytics_enabled=False, httpx_kwargs=PATIENT)


def test_a_question_on_the_page_is_answered_in_its_turn_and_noted(page, visitor, scan):
    ann = visitor("ann")
    shown = event(ann, "send", [message(upload(ann, scan))], "annasks")
    told = event(ann, "answer", [None, None], "annasks")
    assert told.get("error") is None
    notes = [json.loads(line) for line in page.audit.read_text().splitlines()]
    assert ("page.ask", "ann") in [(one["what"], one["who"]) for one in notes]
    assert "What is this?" not in page.audit.read_text()
    (preview,) = {path for path in files_in(shown["data"]) if path.endswith(".png")}
    assert ann.get(f"/gradio_api/file={preview}").status_code == 200
    assert visitor("bob").get(f"/gradio_api/file={preview}").status_code == 403


def test_a_report_shows_previews_to_who_asked_alone(page, visitor, scan):
    ann = visitor("ann")
    file = {"path": upload(ann, scan, "study.png"), "meta": {"_type": "gradio.FileData"}}
    told = event(ann, "drafted", [[file], None, "", "auto", None], "annreports")
    assert told.get("error") is None, told
    assert "ma-error" not in str(told["data"])
    notes = [json.loads(line) for line in page.audit.read_text().splitlines()]
    assert ("page.report", "ann") in [(one["what"], one["who"]) for one in notes]


def test_an_upload_is_unreachable_for_another_by_url_and_by_event(visitor, scan):
    ann, bob = visitor("ann"), visitor("bob")
    path = upload(ann, scan, "mine.png")
    shown = ann.get(f"/gradio_api/file={path}")
    assert shown.status_code == 200
    assert shown.headers.get_list("cache-control") == ["no-store"]
    assert "etag" not in shown.headers
    for address in (
        f"/gradio_api/file={path}",
        f"/gradio_api/file/{path}",
        f"/gradio_api/file={path.replace('/', '%2F')}",
        f"/gradio_api/file={Path(path).parent}/../{Path(path).parent.name}/mine.png",
        f"//gradio_api/file={path}",
    ):
        assert bob.get(address).status_code in (403, 404), address
        assert bob.head(address).status_code in (403, 404), address
    sent = bob.post("/gradio_api/queue/join", json={"data": [message(path)], "fn_index": 1, "session_hash": "bobs"})
    assert sent.status_code == 403
    for route in ("run/accept", "api/accept", "call/accept"):
        assert bob.post(f"/gradio_api/{route}", json={"data": [message(path), None]}).status_code in (403, 404)


@pytest.mark.parametrize("address", ["/healthzx", "/v1x", "/docs.json", "/metrics.txt", "/openapi.jsonx", "/readyz-"])
def test_a_path_that_begins_like_one_of_the_apis_is_the_pages(page, address):
    told = httpx.get(page.url + address, timeout=WAIT_S)
    assert told.status_code == 401
    assert "Sign in first" in told.text


def test_another_conversation_cannot_be_listened_to(visitor):
    ann, bob = visitor("ann"), visitor("bob")
    event(ann, "look", [], "annlistens")
    assert bob.get("/gradio_api/queue/data", params={"session_hash": "annlistens"}).status_code == 403
    assert bob.get("/gradio_api/heartbeat/annlistens").status_code == 403
    body = {"data": [], "fn_index": 0, "session_hash": "annlistens"}
    assert bob.post("/gradio_api/queue/join", json=body).status_code == 403


@pytest.mark.parametrize(
    "address",
    [
        "/gradio_api/file=http://far.example/a.png",
        "/gradio_api/file=https%3A%2F%2Ffar.example/a.png",
        "/gradio_api/file=//far.example/a.png",
        "/gradio_api/proxy=http://far.example/a.png",
        "/gradio_api/file=/etc/passwd",
    ],
)
def test_nothing_is_fetched_from_elsewhere_or_read_outside(visitor, address):
    assert visitor("ann").get(address).status_code == 403


@pytest.mark.parametrize(
    "file",
    [
        {"path": "http://far.example/a.png", "meta": {"_type": "gradio.FileData"}},
        {"path": "", "url": "http://far.example/a.png", "meta": {"_type": "gradio.FileData"}},
        {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
    ],
)
def test_an_event_cannot_name_an_address_or_a_file_of_the_machine(visitor, file):
    body = {"data": [{"text": "?", "files": [file]}, None], "fn_index": 1, "session_hash": "annnames"}
    assert visitor("ann").post("/gradio_api/queue/join", json=body).status_code == 403


def test_a_browser_is_led_to_the_form_and_from_it(page):
    with httpx.Client(base_url=page.url, headers={"Accept": "text/html"}, timeout=WAIT_S) as browser:
        led = browser.get("/")
        assert (led.status_code, led.headers["location"]) == (303, "/login")
        form = browser.get("/login")
        assert "<script" not in form.text
        assert form.headers["content-security-policy"].startswith("default-src 'self'")
        wrong = browser.post("/login", data={"username": "bob", "password": "<b>no</b>"})
        assert wrong.status_code == 401
        assert "Name or password is wrong." in wrong.text
        right = browser.post("/login", data={"username": "bob", "password": PASSWORDS["bob"]})
        assert (right.status_code, right.headers["location"]) == (303, "/")
        cookie = right.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert browser.get("/").status_code == 200
        assert browser.get("/logout").headers["location"] == "/login"
        assert browser.get("/").status_code == 303


def test_a_form_of_another_site_is_refused(page):
    form = {"username": "ann", "password": PASSWORDS["ann"]}
    sent = httpx.post(page.url + "/login", data=form, headers={"Origin": "http://far.example"}, timeout=WAIT_S)
    assert sent.status_code == 403


def test_too_many_wrong_passwords_shut_a_name_out_for_a_while(page):
    tries = [
        httpx.post(page.url + "/login", data={"username": "Eve", "password": f"guess {n}"}, timeout=WAIT_S).status_code
        for n in range(6)
    ]
    assert tries == [401] * 5 + [429]
    right = httpx.post(page.url + "/login", data={"username": "eve", "password": PASSWORDS["eve"]}, timeout=WAIT_S)
    assert right.status_code == 429
    assert int(right.headers["retry-after"]) > 200
    noted = [json.loads(line) for line in page.audit.read_text().splitlines()]
    assert ("login", "unknown", "refused") in [(one["what"], one["who"], one.get("outcome")) for one in noted]
    assert "Eve" not in page.audit.read_text()


def test_a_broken_upload_is_told_without_a_trace(visitor, tmp_path):
    ann = visitor("ann")
    broken = tmp_path / "broken.dcm"
    broken.write_text("no picture")
    told = event(ann, "send", [message(upload(ann, broken, "broken.dcm"))], "annbreaks")
    assert "This cannot be used" in json.dumps(told["data"])
    assert "Traceback" not in json.dumps(told)


def test_a_preview_is_named_by_its_owner(tmp_path, monkeypatch, scan):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    picture = load_picture(scan)
    names = [Path(preview_file(picture, user)).name.partition("-")[0] for user in ("ann", "ann", "bob", None)]
    assert names[0] == names[1]
    assert len(set(names)) == 3
