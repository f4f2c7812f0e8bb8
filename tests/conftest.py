"""What every test gets: no network, no telemetry, a state folder of its own, one compute thread."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

# Read when the libraries are imported, and inherited by the commands that tests start.
os.environ.update(
    HF_HUB_OFFLINE="1",
    GRADIO_ANALYTICS_ENABLED="False",
    TOKENIZERS_PARALLELISM="false",
    NO_PROXY="127.0.0.1,localhost,::1",
)
# One thread is fastest for the small models of these tests, and the sums come out the same everywhere.
os.environ.setdefault("OMP_NUM_THREADS", "1")


class OutsideConnectionError(RuntimeError):
    """A test tried to reach another machine."""


def _is_loopback(host: object) -> bool:
    """Whether `host`, an address or a name, is this machine."""
    if host is None or host in ("", "localhost", b"localhost"):
        return True
    text = host.decode(errors="replace") if isinstance(host, bytes) else str(host)
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


class NetworkGuard:
    """Refuses and notes down every look-up and connection that leaves this machine."""

    def __init__(self) -> None:
        self.tried: list[str] = []
        self.open = False
        """True while a test marked `download` runs."""

    def check(self, host: object) -> None:
        """Raise OutsideConnectionError unless `host` is this machine."""
        if not self.open and not _is_loopback(host):
            self.tried.append(str(host))
            raise OutsideConnectionError(f"This test tried to reach {host!r}. Use loopback, or mark it `download`.")

    def guarded(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return `socket.connect` or `connect_ex` with the check in front."""

        def checked(connection: socket.socket, address: Any) -> Any:
            if connection.family in (socket.AF_INET, socket.AF_INET6):
                self.check(address[0])
            return original(connection, address)

        return checked


@pytest.fixture(scope="session", autouse=True)
def _network_guard() -> Iterator[NetworkGuard]:
    guard = NetworkGuard()
    getaddrinfo = socket.getaddrinfo

    def checked_getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        guard.check(host)
        return getaddrinfo(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guard.guarded(socket.socket.connect))
        patch.setattr(socket.socket, "connect_ex", guard.guarded(socket.socket.connect_ex))
        patch.setattr(socket, "getaddrinfo", checked_getaddrinfo)
        yield guard


@pytest.fixture(autouse=True)
def outside_connections(_network_guard: NetworkGuard, request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Fail a test that tried to leave this machine, even when some library swallowed the refusal.

    The list holds the hosts tried so far; a test about the guard itself empties it.
    """
    _network_guard.open = request.node.get_closest_marker("download") is not None
    yield _network_guard.tried
    tried = sorted(set(_network_guard.tried))
    _network_guard.tried.clear()
    if tried:
        pytest.fail(f"tried to reach {', '.join(tried)}; tests use loopback only")


@pytest.fixture(autouse=True)
def state_dir(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give every test an empty folder for what the assistant keeps between runs."""
    folder = str(tmp_path_factory.mktemp("state"))
    monkeypatch.setenv("MEDASSIST_STATE_DIR", folder)
    return folder
