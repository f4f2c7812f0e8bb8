import os
import socket
import stat

import pytest
from fastapi.testclient import TestClient

from assistant.errors import ConfigError
from assistant.ui.login import Login
from assistant.ui.server import SECURITY_HEADERS, build_app, listen, private_uploads


@pytest.fixture
def client(service, uploads):
    with TestClient(build_app(service), base_url="http://127.0.0.1") as made:
        yield made


def test_the_page_and_its_health_are_served_with_every_security_header(client):
    for path in ("/", "/healthz", "/config"):
        response = client.get(path)
        assert response.status_code == 200
        for name, value in SECURITY_HEADERS.items():
            assert response.headers[name] == value
    assert client.get("/healthz").json() == {"status": "ok", "model": "ready"}


def test_the_browser_may_fetch_images_from_this_page_only():
    policy = dict(part.strip().split(" ", 1) for part in SECURITY_HEADERS["Content-Security-Policy"].split(";"))
    assert policy["img-src"] == "'self' data: blob:"
    assert policy["connect-src"] == "'self'"


def test_a_request_under_a_foreign_name_is_refused(client):
    assert client.get("/", headers={"host": "far.example"}).status_code == 400


def test_nothing_is_kept_watched_or_offered_to_scripts(client):
    config = client.get("/config").json()
    assert config["run_history"] is False
    assert config["analytics_enabled"] is False
    assert client.get("/monitoring").status_code in (401, 403, 404)
    assert all(one["api_visibility"] == "private" for one in config["dependencies"])
    info = client.get("/gradio_api/info").json()
    assert info["named_endpoints"] == {}


def test_the_page_names_no_outside_host_to_fetch_from(client):
    config = client.get("/config").json()
    assert "fonts.googleapis" not in str(config["theme"]) + client.get("/theme.css").text


def test_with_a_login_nothing_is_shown_before_it(service, uploads):
    app = build_app(service, login=Login({"ann": "correct horse"}), loopback=False)
    with TestClient(app, base_url="http://assistant.example") as client:
        assert client.get("/config").status_code == 401
        refused = client.post("/login", data={"username": "ann", "password": "wrong"})
        assert refused.status_code == 400
        accepted = client.post("/login", data={"username": "ann", "password": "correct horse"})
        assert accepted.status_code == 200
        assert client.get("/config").status_code == 200


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
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1 port {port} .*Try --port"):
            listen("127.0.0.1", port)


def test_port_0_takes_a_free_one():
    with listen("127.0.0.1", 0) as listener:
        assert isinstance(listener, socket.socket)
        assert listener.getsockname()[1] > 0
