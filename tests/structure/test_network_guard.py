"""The guard of tests/conftest.py lets nothing out, and loopback through."""

from __future__ import annotations

import socket

import pytest


def test_connecting_to_another_machine_is_refused_and_noted(outside_connections: list[str]) -> None:
    with socket.socket() as connection, pytest.raises(RuntimeError, match=r"tried to reach '192\.0\.2\.1'"):
        connection.connect(("192.0.2.1", 80))
    assert outside_connections == ["192.0.2.1"]
    outside_connections.clear()


def test_looking_up_a_name_is_refused_and_noted(outside_connections: list[str]) -> None:
    with pytest.raises(RuntimeError, match="tried to reach 'example.invalid'"):
        socket.create_connection(("example.invalid", 80))
    assert outside_connections == ["example.invalid"]
    outside_connections.clear()


def test_loopback_is_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        connection, _ = server.accept()
        with connection:
            client.sendall(b"ok")
            assert connection.recv(2) == b"ok"
