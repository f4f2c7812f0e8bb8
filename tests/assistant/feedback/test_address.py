from pathlib import Path

import pytest

from assistant.errors import ConfigError
from assistant.feedback.address import address_of


def test_the_usual_place_is_the_state_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("MEDASSIST_STATE_DIR", str(tmp_path))
    assert address_of("default").file == tmp_path / "feedback.sqlite"


def test_none_is_none():
    assert address_of("none") is None


@pytest.mark.parametrize("text", ["/a/b.sqlite", "sqlite:////a/b.sqlite"])
def test_a_file_is_named_by_path_or_address(text):
    assert address_of(text).file == Path("/a/b.sqlite")


def test_a_server_is_reached_by_the_driver_of_the_extra_and_shown_without_its_password():
    found = address_of("postgresql://ann:secret@db.example:5433/words")
    assert found.url == "postgresql+pg8000://ann:secret@db.example:5433/words"
    assert found.shown == "postgresql://ann@db.example:5433/words"
    assert found.file is None


def test_a_socket_is_named_by_its_folder():
    assert address_of("postgresql://ann@/words?host=/run/pg").url.endswith("/words?unix_sock=/run/pg/.s.PGSQL.5432")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mysql://x/y", "begins with mysql://"),
        ("sqlite://", "begins with sqlite://"),
        ("", "feedback is ''"),
        ("folder/", "feedback is 'folder/'"),
        ("postgresql://x:port/y", "port .* is no number"),
        ("postgresql://x/y?ssl=1", "has 'ssl'"),
    ],
)
def test_what_cannot_be_meant_is_told(text, message):
    with pytest.raises(ConfigError, match=message):
        address_of(text)
