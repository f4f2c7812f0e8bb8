"""Ray, begun so that nothing leaves the machine: no telemetry, no dashboard, loopback, a secret of its own.

What Ray keeps of a run of its own (logs, sockets) lies in a private folder that goes when the run ends.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from assistant.errors import WorklistError

logger = logging.getLogger(__name__)

OBJECT_STORE_BYTES = 128 * 1024 * 1024
"""Only paths and finished reports pass through it."""
_ALWAYS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
_ALONE = {
    "RAY_AUTH_MODE": "token",
    # Makes Ray take 127.0.0.1 for its own address on Linux too, and then it listens nowhere else.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_enable_metrics_collection": "0",
    # Ray would run its actors at niceness 15, where a machine with other work leaves them next to nothing.
    "RAY_worker_niceness": "0",
}
_HANDED_ON = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK", "HF_HOME")
_PREFIX = "medassist-ray-"
_KNOCK_S = 10


class _ToLog(io.TextIOBase):
    """Takes what is printed into the log, line by line: told with --verbose."""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        for line in filter(str.strip, text.splitlines()):
            logger.info("%s", line)
        return len(text)


@contextlib.contextmanager
def ray_session(address: str | None = None) -> Iterator[Any]:
    """Begin Ray on this machine, or join a cluster that runs; leave it at the end.

    Args:
        address: of the cluster's head, `HOST:PORT` or `auto`; None begins Ray here, for this run alone.
    Yields:
        The module `ray`.
    Raises:
        WorklistError: Ray is not installed, cannot be started or not be reached.
    """
    own = {} if address else {**_ALONE, "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with contextlib.ExitStack() as stack:
        # Before the import: Ray reads them then, and hands them on to the processes that it starts.
        stack.enter_context(_environment({**_ALWAYS, **own}))
        # Ray prints there what its processes wrote before they ended, state dumps of a lost machine too.
        stack.enter_context(contextlib.redirect_stdout(_ToLog()))
        try:
            import ray
        except ImportError:
            raise WorklistError(
                "--engine ray needs Ray, which is not installed. Install it: pip install 'medassist[ray]'."
            ) from None
        shared: dict[str, Any] = {"log_to_driver": False, "logging_level": "CRITICAL", "_skip_env_hook": True}
        try:
            if address:
                _reach(address)
                handed = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
                ray.init(address=address, runtime_env={"env_vars": handed}, **shared)
            else:
                folder = stack.enter_context(_private_folder())
                ray.init(
                    address="local", _node_ip_address="127.0.0.1", include_dashboard=False, _temp_dir=folder,
                    object_store_memory=OBJECT_STORE_BYTES, **shared,
                )  # fmt: skip
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            where = f"The Ray cluster at {address} cannot be joined" if address else "Ray cannot be started"
            mend = " Is it running there, and is the port the one of `ray start --head`?" if address else ""
            raise WorklistError(f"{where} ({type(error).__name__}: {error}).{mend}") from error
        stack.callback(ray.shutdown)
        yield ray


def _reach(address: str) -> None:
    """Knock at a cluster's head, for Ray itself goes on knocking for minutes.

    Raises:
        OSError: nobody answers there.
        ValueError: it is no `HOST:PORT`.
    """
    if address == "auto" or "://" in address:
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError("give HOST:PORT, such as 10.0.0.1:6379, or auto")
    socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_S).close()


def machines_of(ray: Any) -> list[Mapping[str, float]]:
    """Return what each machine of the cluster has, as Ray counts it: `CPU`, `GPU`."""
    return [one["Resources"] for one in ray.nodes() if one["Alive"]]


def shares(machines: Sequence[Mapping[str, float]], actors: int | None) -> tuple[int, dict[str, float]]:
    """Return how many actors to begin, and what of a machine each gets; no actor spreads over two.

    Args:
        machines: from `machines_of`.
        actors: how many are wanted; None takes one a GPU, or one a machine where there are no GPUs.
    Returns:
        the number, and `num_cpus` and `num_gpus` of one.
    Raises:
        WorklistError: the machines have fewer CPUs or GPUs than actors.
    """
    cpus = [int(one.get("CPU", 0)) for one in machines]
    gpus = [int(one.get("GPU", 0)) for one in machines]
    count = actors or sum(gpus) or max(1, sum(map(bool, cpus)))
    among = f" on {len(machines)} machines" if len(machines) > 1 else ""
    if sum(gpus) and count > sum(gpus):
        raise WorklistError(
            f"{count} actors are asked for, but Ray finds {sum(gpus)} GPU(s){among}. Ask for --actors {sum(gpus)}."
        )

    def held(share: int) -> int:
        """Count the actors of so many CPUs that find room."""
        rooms = (min(cpu // share, gpu) if sum(gpus) else cpu // share for cpu, gpu in zip(cpus, gpus, strict=True))
        return sum(rooms)

    if held(1) < count:
        what = "CPU(s) beside its GPUs" if sum(gpus) else "CPU(s)"
        raise WorklistError(
            f"{count} actors are asked for, but Ray finds {held(1)} {what}{among}. Ask for --actors {max(1, held(1))}."
        )
    share = max(share for share in range(1, max(cpus) + 1) if held(share) >= count)
    return count, {"num_cpus": share, "num_gpus": 1 if sum(gpus) else 0}


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _private_folder() -> Iterator[str]:
    """Make a folder for Ray's sockets and logs, and remove those of runs that were killed."""
    # Names of sockets may have about 100 characters, and Ray takes 70 of them.
    parent = Path(tempfile.gettempdir() if len(tempfile.gettempdir()) < 20 else "/tmp")
    for old in parent.glob(f"{_PREFIX}*"):
        owner = old.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not _runs(int(owner)):
            shutil.rmtree(old, ignore_errors=True)
    folder = tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent)
    try:
        yield f"{folder}/r"  # Ray opens the folder that it is given to everybody, but none can pass through ours
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True
