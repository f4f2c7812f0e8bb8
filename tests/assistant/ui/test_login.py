import pytest

from assistant.errors import ConfigError
from assistant.ui.login import Throttle, add_user, plain_passwords, read_login


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
    assert not login("ann", "x" * 5000)


def test_no_password_is_kept_in_memory(login_file):
    login = read_login(login_file("ann:correct horse\n"))
    assert "correct horse" not in repr(vars(login))


def test_a_user_who_is_added_has_only_a_hash_in_the_file(tmp_path):
    path = tmp_path / "login"
    add_user(path, "ann", "correct horse")
    add_user(path, "bob", "another one")
    add_user(path, "ann", "a new password")
    assert "horse" not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert plain_passwords(path) == 0
    login = read_login(path)
    assert login("ann", "a new password")
    assert login("bob", "another one")
    assert not login("ann", "correct horse")
    assert not login("ann", path.read_text().splitlines()[0].partition(":")[2])


def test_equal_passwords_have_different_hashes(tmp_path):
    path = tmp_path / "login"
    add_user(path, "ann", "correct horse")
    add_user(path, "bob", "correct horse")
    assert len({line.partition(":")[2] for line in path.read_text().splitlines()}) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ann\n", "line 1 is not name:secret"),
        ("\nann:short\n", "ann: The password has 5 characters; use 8 or more"),
        (":long enough\n", "line 1 is not"),
        ("# nobody\n", "names nobody"),
        ("ann:long enough\nann:long enough too\n", "line 2 names ann a second time"),
        ("ann:scrypt$16384$8$5$broken\n", "ann: the password's hash is damaged. Set it again: python app.py users add"),
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


def test_a_name_with_a_line_break_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is no name for a login or key"):
        add_user(tmp_path / "login", "ann\nbob", "correct horse")


def test_after_five_failures_a_source_waits_until_the_first_is_forgotten():
    now = [0.0]
    throttle = Throttle(most=5, window_s=300, clock=lambda: now[0])
    for _ in range(5):
        assert throttle.wait_s("ann") == 0
        throttle.failed("ann")
        now[0] += 10
    assert throttle.wait_s("ann") == pytest.approx(250)
    assert throttle.wait_s("bob") == 0
    now[0] = 301
    assert throttle.wait_s("ann") == 0


def test_a_source_that_got_in_begins_anew():
    throttle = Throttle(most=2, clock=lambda: 0.0)
    throttle.failed("ann")
    throttle.succeeded("ann")
    throttle.failed("ann")
    assert throttle.wait_s("ann") == 0
