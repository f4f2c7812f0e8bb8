import os

import pytest

from assistant.access import remove_entry
from assistant.commands.access import run_access
from assistant.errors import ConfigError
from assistant.serve.keys import KeyRing, add_key, new_key


def test_a_key_opens_and_only_its_hash_is_kept(tmp_path):
    path = tmp_path / "keys"
    key = add_key(path, "lab")
    ring = KeyRing(path)
    assert ring.name_of(key) == "lab"
    assert ring.name_of(key + "x") is None
    assert ring.name_of("") is None
    assert key not in path.read_text()
    assert ring.name_of(path.read_text().strip().partition(":")[2]) is None
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_removed_key_ends_at_once_and_a_new_one_begins(tmp_path):
    path = tmp_path / "keys"
    first = add_key(path, "first")
    ring = KeyRing(path)
    second = add_key(path, "second")
    assert ring.name_of(second) == "second"
    remove_entry(path, "first", what="key file", make="")
    assert ring.name_of(first) is None
    path.write_text("broken")
    os.utime(path, ns=(1, 1))
    assert ring.name_of(second) is None


def test_a_key_that_is_replaced_within_a_tick_of_the_clock_ends_too(tmp_path):
    path = tmp_path / "keys"
    old = add_key(path, "lab")
    ring, before = KeyRing(path), path.stat()
    assert ring.name_of(old) == "lab"
    new, kept = new_key()
    path.write_text(f"lab:{kept}\n")  # as long as before
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert ring.name_of(old) is None
    assert ring.name_of(new) == "lab"


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "holds no key. Make one"), ("lab\n", "line 1 is not name:secret"), ("lab:abc\n", "has no SHA-256 of a key")],
)
def test_a_bad_file_is_refused(tmp_path, text, message):
    path = tmp_path / "keys"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=message):
        KeyRing(path)


def test_the_command_makes_lists_and_removes_keys(tmp_path, capsys):
    path = tmp_path / "keys"
    assert run_access("keys", "add", path, "lab") == 0
    key = capsys.readouterr().out.strip()
    assert KeyRing(path).name_of(key) == "lab"
    with pytest.raises(ConfigError, match="has a key of lab already"):
        run_access("keys", "add", path, "lab")
    assert run_access("keys", "list", path, None) == 0
    assert capsys.readouterr().out == "lab\n"
    with pytest.raises(ConfigError, match="has no eve. It has: lab"):
        run_access("keys", "remove", path, "eve")
    assert run_access("keys", "remove", path, "lab") == 0
    assert path.read_text() == ""
    with pytest.raises(ConfigError, match="keys remove needs a name"):
        run_access("keys", "remove", path, None)


def test_a_password_comes_from_a_pipe(tmp_path, monkeypatch):
    import io

    from assistant.ui.login import read_login

    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse\n"))
    run_access("users", "add", tmp_path / "login", "ann")
    assert read_login(tmp_path / "login")("ann", "correct horse")
