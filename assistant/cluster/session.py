"""Ray, begun so that nothing leaves the machine: no telemetry, no dashboard, loopback, a secret of its own.

What Ray keeps of a run of its own (logs, sockets) lies in a private folder that goes when the run ends.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from assistant.errors import WorklistError

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
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))  # Ray tells there of actors that ended
        try:
            import ray
        except ImportError:
            raise WorklistError(
                "--engine ray needs Ray, which is not installed. Install it: pip install 'medassist[ray]'."
            ) from None
        shared: dict[str, Any] = {"log_to_driver": False, "logging_level": "CRITICAL", "_skip_env_hook": True}
        try:
            if address:
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
            raise WorklistError(f"{where} ({type(error).__name__}: {error}).") from error
        stack.callback(ray.shutdown)
        yield ray


def shares(resources: Mapping[str, float], actors: int | None) -> tuple[int, dict[str, float]]:
    """Return how many actors to begin, and what of the machines each gets.

    Args:
        resources: of the cluster, as Ray counts them: `CPU`, `GPU`.
        actors: how many are wanted; None takes one a GPU, or one without GPUs.
    Returns:
        the number, and `num_cpus` and `num_gpus` of one.
    Raises:
        WorklistError: there are fewer CPUs or GPUs than actors.
    """
    cpus, gpus = int(resources.get("CPU", 1)), int(resources.get("GPU", 0))
    count = actors or gpus or 1
    if gpus and count > gpus:
        raise WorklistError(f"{count} actors are asked for, but Ray finds {gpus} GPU(s). Ask for --actors {gpus}.")
    if count > cpus:
        raise WorklistError(f"{count} actors are asked for, but Ray finds {cpus} CPU(s). Ask for --actors {cpus}.")
    return count, {"num_cpus": cpus // count, "num_gpus": 1 if gpus else 0}


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
