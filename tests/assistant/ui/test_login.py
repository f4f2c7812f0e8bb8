import pytest

from assistant.errors import ConfigError
from assistant.ui.login import read_login


@pytest.fixture
def login_file(tmp_path):
    def write(text, mode=0o600):
        path = tmp_path / "login"
        path.write_text(text)
        path.chmod(mode)
        return path

    return write


def test_the_right_password_opens_and_others_do_not(login_file):
    login = read_login(login_file("# staff\n\nann:correct horse:staple\nbob:another one\n"))
    assert login("ann", "correct horse:staple")
    assert login("bob", "another one")
    assert not login("ann", "another one")
    assert not login("eve", "correct horse:staple")
    assert not login("", "")


def test_no_password_is_kept_in_memory(login_file):
    login = read_login(login_file("ann:correct horse\n"))
    assert "correct horse" not in repr(vars(login))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ann\n", "line 1 is not name:password"),
        ("\nann:short\n", "line 2 is not name:password with a password of 8 characters"),
        (":long enough\n", "line 1 is not"),
        ("# nobody\n", "names nobody"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(login_file, text, message):
    with pytest.raises(ConfigError, match=message):
        read_login(login_file(text))


def test_a_file_that_others_can_read_is_refused(login_file):
    with pytest.raises(ConfigError, match=r"can be read by other users of this machine\. Run: chmod 600"):
        read_login(login_file("ann:correct horse\n", mode=0o644))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"gone cannot be read"):
        read_login(tmp_path / "gone")
