import os
import sys

import pytest

from assistant.cluster import session
from assistant.cluster.session import ray_session, shares
from assistant.errors import WorklistError


def test_without_ray_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(WorklistError, match=r"needs Ray, which is not installed.*medassist\[ray\]"), ray_session():
        pytest.fail("began")
    assert "RAY_AUTH_TOKEN" not in os.environ


@pytest.mark.parametrize(
    ("machines", "actors", "expected"),
    [
        ([{"CPU": 8.0}], None, (1, {"num_cpus": 8, "num_gpus": 0})),
        ([{"CPU": 8.0}], 3, (3, {"num_cpus": 2, "num_gpus": 0})),
        ([{"CPU": 64.0, "GPU": 8.0}], None, (8, {"num_cpus": 8, "num_gpus": 1})),
        ([{"CPU": 64.0, "GPU": 8.0}], 2, (2, {"num_cpus": 32, "num_gpus": 1})),
        ([{"CPU": 1.0}, {"CPU": 1.0}], None, (2, {"num_cpus": 1, "num_gpus": 0})),
        ([{"CPU": 8.0}, {"CPU": 8.0}], 1, (1, {"num_cpus": 8, "num_gpus": 0})),
        ([{"CPU": 8.0}, {"CPU": 8.0}], 3, (3, {"num_cpus": 4, "num_gpus": 0})),
        ([{"CPU": 16.0}, {"CPU": 4.0}], 2, (2, {"num_cpus": 8, "num_gpus": 0})),
        ([{"CPU": 4.0}, {"CPU": 32.0, "GPU": 4.0}], None, (4, {"num_cpus": 8, "num_gpus": 1})),
    ],
)
def test_each_actor_gets_its_share_of_one_machine(machines, actors, expected):
    assert shares(machines, actors) == expected


def test_more_actors_than_machines_can_hold_are_refused():
    with pytest.raises(WorklistError, match=r"9 actors are asked for, but Ray finds 8 GPU\(s\)\. Ask for --actors 8"):
        shares([{"CPU": 64.0, "GPU": 8.0}], 9)
    with pytest.raises(WorklistError, match=r"3 actors are asked for, but Ray finds 2 CPU\(s\) on 2 machines"):
        shares([{"CPU": 1.0}, {"CPU": 1.0}], 3)
    with pytest.raises(WorklistError, match=r"4 actors .* finds 2 CPU\(s\) beside its GPUs\. Ask for --actors 2"):
        shares([{"CPU": 2.0, "GPU": 8.0}], 4)


@pytest.mark.parametrize(
    ("address", "why"),
    [("127.0.0.1:1", "Connection refused"), ("head", "give HOST:PORT"), ("head:ray", "give HOST:PORT")],
)
def test_a_cluster_that_nobody_answers_for_is_told_at_once(address, why):
    pytest.importorskip("ray", reason="knocks after the import")
    told = rf"cluster at {address} cannot be joined \(.*{why}.*ray start --head"
    with pytest.raises(WorklistError, match=told), ray_session(address):
        pytest.fail("joined")


def test_the_folders_of_killed_runs_go_and_those_of_others_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(session.tempfile, "gettempdir", lambda: "/tmp")
    gone = max(int(line) for line in os.listdir("/proc") if line.isdigit()) + 100_000
    with session._private_folder() as inner:
        first, name = os.path.dirname(inner), os.path.basename(os.path.dirname(inner))
        assert os.stat(first).st_mode & 0o777 == 0o700
        assert name.startswith(f"medassist-ray-{os.getpid()}-")
        old = os.path.join("/tmp", f"medassist-ray-{gone}-test")
        os.mkdir(old)
        with session._private_folder():
            assert not os.path.exists(old)
            assert os.path.exists(first)
    assert not os.path.exists(first)
