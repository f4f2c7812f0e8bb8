import json
import os
import signal
import socket
import stat
from urllib.error import HTTPError
from urllib.parse import urlencode

import pytest

from assistant.errors import ConfigError
from assistant.ui.server import SECURITY_HEADERS, listen, private_uploads


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the page puts what it keeps while it runs."""
    return tmp_path_factory.mktemp("tmp")


@pytest.fixture(scope="module")
def page(start_page, folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        return start_page()


def uploads_in(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith("medassist-")]


def test_the_page_and_its_health_are_served_with_every_security_header(page):
    for path in ("/", "/healthz", "/config"):
        response = page.get(path)
        assert response.status == 200
        for name, value in SECURITY_HEADERS.items():
            assert response.headers[name] == value
        assert response.headers.get_all("cache-control") == ["no-store"]


def test_the_page_is_up_before_the_model_and_says_when_it_is_ready(page):
    assert json.load(page.get("/healthz"))["status"] == "ok"
    page.wait_until_loaded()
    assert json.load(page.get("/healthz"))["model"] == "ready"


def test_the_browser_may_fetch_images_from_this_page_only():
    policy = dict(part.strip().split(" ", 1) for part in SECURITY_HEADERS["Content-Security-Policy"].split(";"))
    assert policy["img-src"] == "'self' data: blob:"
    assert policy["connect-src"] == "'self'"


def test_a_request_under_a_foreign_name_is_refused(page):
    with pytest.raises(HTTPError, match="400") as caught:
        page.get("/", host="far.example")
    caught.value.close()


@pytest.mark.parametrize("path", ["file=http://far.example/a.png", "file=//far.example/a", "proxy=http://far.example/"])
def test_nothing_is_fetched_for_a_visitor_from_elsewhere(page, path):
    with pytest.raises(HTTPError, match="403") as caught:
        page.get(f"/gradio_api/{path}")
    caught.value.close()


def test_nothing_is_kept_watched_or_offered_to_scripts(page):
    config = json.load(page.get("/config"))
    assert config["run_history"] is False
    assert config["analytics_enabled"] is False
    assert {one["api_visibility"] for one in config["dependencies"]} == {"private"}
    assert json.load(page.get("/gradio_api/info"))["named_endpoints"] == {}
    with pytest.raises(HTTPError, match="40[134]") as caught:
        page.get("/monitoring")
    caught.value.close()


def test_no_font_is_fetched_from_outside(page):
    assert "fonts.g" not in page.get("/theme.css").read().decode()
    assert "fonts.googleapis.com/css" not in page.get("/").read().decode()


def test_with_a_login_nothing_is_shown_before_it_and_a_page_that_is_ended_keeps_nothing(
    start_page, tmp_path, monkeypatch
):
    path = tmp_path / "login"
    path.write_text("ann:correct horse\n")
    path.chmod(0o600)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    page = start_page("--login", str(path))
    assert uploads_in(tmp_path)
    for attempt in (None, urlencode({"username": "ann", "password": "wrong"}).encode()):
        with pytest.raises(HTTPError, match="40[01]") as caught:
            page.get("/login" if attempt else "/config", attempt)
        caught.value.close()
    right = urlencode({"username": "ann", "password": "correct horse"}).encode()
    assert page.get("/login", right).status == 200
    assert page.get("/config").status == 200
    page.stop(signal.SIGTERM)
    assert page.process.returncode == 0
    assert not uploads_in(tmp_path)


def test_ctrl_c_ends_the_page_and_leaves_no_upload_folder(page, folder):  # the last that needs the page
    assert uploads_in(folder)
    page.get("/healthz")
    page.stop(signal.SIGINT)
    assert page.process.returncode == 0
    assert not uploads_in(folder)


def test_uploads_are_private_and_end_with_the_page(monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", "before")
    with private_uploads() as folder:
        (folder / "scan.png").write_bytes(b"pixels")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert os.environ["GRADIO_TEMP_DIR"] == str(folder)
    assert not folder.exists()
    assert os.environ["GRADIO_TEMP_DIR"] == "before"


def test_a_port_that_is_taken_is_told_with_the_mend():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1 port {port} .*Try --port"):
            listen("127.0.0.1", port)


def test_port_0_takes_a_free_one():
    with listen("127.0.0.1", 0) as listener:
        assert isinstance(listener, socket.socket)
        assert listener.getsockname()[1] > 0
