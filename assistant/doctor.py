"""`doctor`: is everything here that the assistant needs, does it fit together, and how fast is it?"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from assistant.commands.opened import Opened, Opener
from assistant.config import AssistantConfig
from assistant.errors import AssistantError

DISTRIBUTION = "medassist"
MIN_FREE_DISK_GB = 1.0
MIN_FREE_MEMORY_GB = 2.0


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str
    """What was found and, when it is wrong, what to do."""


def run_doctor(config: AssistantConfig, open_assistant: Opener, *, as_json: bool = False) -> int:
    """Check this installation and write what was found to stdout.

    Args:
        config: the model and index to check.
        open_assistant: loads them.
        as_json: write one JSON object instead of lines.
    Returns:
        0 when all is right, 1 otherwise.
    """
    checks: list[Check] = []
    for check in all_checks(config, open_assistant):
        checks.append(check)
        if not as_json:
            sys.stdout.write(f"{'ok  ' if check.ok else 'FAIL'} {check.name:<10} {check.detail}\n")
            sys.stdout.flush()
    well = all(check.ok for check in checks)
    if as_json:
        sys.stdout.write(json.dumps({"ok": well, "checks": [asdict(check) for check in checks]}) + "\n")
    else:
        wrong = sum(not check.ok for check in checks)
        sys.stdout.write("All is right.\n" if well else f"{wrong} of {len(checks)} checks failed.\n")
    return 0 if well else 1


def all_checks(config: AssistantConfig, open_assistant: Opener) -> Iterator[Check]:
    """Yield every check, cheap ones first; a check that itself breaks counts as failed.

    Args:
        config: the model and index to check.
        open_assistant: loads them.
    Yields:
        One check at a time.
    """
    for name, look in _MACHINE_CHECKS.items():
        yield _guarded(name, look)
    yield from _model_checks(config, open_assistant)


def _guarded(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except Exception as error:  # one broken check must not hide the others
        return Check(name, False, f"{type(error).__name__}: {error}. Install the package again.")


def _python() -> Check:
    found = platform.python_version()
    ok = sys.version_info >= (3, 11)
    return Check("python", ok, found if ok else f"{found}; install Python 3.11 or newer")


def requirements() -> list[str]:
    """Return what the package says it needs, extras left out: from its metadata, else from `pyproject.toml`."""
    try:
        listed = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        import tomllib

        path = Path(__file__).parent.parent / "pyproject.toml"
        listed = tomllib.loads(path.read_text(encoding="utf-8"))["project"]["dependencies"]
    return [one for one in listed if "extra ==" not in one.replace("extra==", "extra ==")]


def _packages() -> Check:
    from packaging.requirements import Requirement

    found: list[str] = []
    faults: list[str] = []
    for line in requirements():
        need = Requirement(line)
        if need.marker and not need.marker.evaluate():
            continue
        try:
            version = metadata.version(need.name)
        except metadata.PackageNotFoundError:
            faults.append(f"{need.name} is missing")
            continue
        found.append(f"{need.name} {version}")
        if not need.specifier.contains(version, prereleases=True):
            faults.append(f"{need.name} {version} is outside {need.specifier}")
    if faults:
        return Check("packages", False, "; ".join(faults) + f". Run: pip install --upgrade {DISTRIBUTION}")
    return Check("packages", True, ", ".join(found))


def _cpu() -> Check:
    import torch

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    capability = torch.backends.cpu.get_cpu_capability()
    return Check("cpu", True, f"{usable} cores, {capability}, torch uses {torch.get_num_threads()} threads")


def _gpu() -> Check:
    import torch

    if not torch.cuda.is_available():
        return Check("gpu", True, "none; the starter does not need one, a 7B model in 4 bits is slow without")
    cards = (torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count()))
    return Check("gpu", True, ", ".join(f"{card.name} {card.total_memory / 1e9:.0f} GB" for card in cards))


def _memory() -> Check:
    path = Path("/proc/meminfo")
    if not path.exists():
        return Check("memory", True, "not measured on this system")
    lines = dict(line.split(":", 1) for line in path.read_text(encoding="ascii").splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024 / 1e9
    mend = (
        "" if free >= MIN_FREE_MEMORY_GB else f"; the starter takes up to {MIN_FREE_MEMORY_GB:.0f} GB: close programs"
    )
    return Check("memory", not mend, f"{free:.1f} GB free{mend}")


def _disk() -> Check:
    folder = Path(tempfile.gettempdir())
    free = shutil.disk_usage(folder).free / 1e9
    with tempfile.NamedTemporaryFile(dir=folder) as handle:
        handle.write(b"written")
    mend = "" if free >= MIN_FREE_DISK_GB else f"; uploads need {MIN_FREE_DISK_GB:.0f} GB: free some, or set TMPDIR"
    return Check("disk", not mend, f"{folder} can be written, {free:.1f} GB free{mend}")


def _images() -> Check:
    from PIL import features

    missing = [name for name in ("jpg", "zlib", "webp", "libtiff") if not features.check(name)]
    if missing:
        return Check("images", False, f"Pillow lacks {', '.join(missing)}. Install Pillow from its wheel.")
    return Check("images", True, "JPEG, PNG, WebP, TIFF")


def _dicom() -> Check:
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import AllTransferSyntaxes

    read: list[str] = []
    unread: list[str] = []
    for syntax in AllTransferSyntaxes:
        try:
            decoder = get_decoder(syntax)
        except NotImplementedError:  # video, and syntaxes that carry no pixels
            continue
        (read if decoder.is_available else unread).append(syntax.name)
    mend = f"; not readable: {', '.join(unread)}" if unread else ""
    return Check("dicom", bool(read), f"{len(read)} transfer syntaxes: {', '.join(read)}{mend}")


def _burned_in() -> Check:
    from assistant.deidentify.shown import can_clean, cleans

    if not cleans():
        return Check("burned in", True, "text in pictures stays, as --pixels keep asks for")
    if can_clean():
        return Check("burned in", True, "text in pictures is found by RapidOCR, and blacked out where they are shown")
    mend = "RapidOCR cannot be loaded: reports with pictures are refused. Install it: pip install 'medassist[deid]'"
    return Check("burned in", False, mend)


def _offline() -> Check:
    flags = {name: os.environ.get(name, "unset") for name in ("HF_HUB_OFFLINE", "GRADIO_ANALYTICS_ENABLED")}
    quiet = flags["GRADIO_ANALYTICS_ENABLED"] == "False"
    mend = "" if quiet else "; set GRADIO_ANALYTICS_ENABLED=False"
    return Check("offline", quiet, ", ".join(f"{name}={value}" for name, value in flags.items()) + mend)


_MACHINE_CHECKS: dict[str, Callable[[], Check]] = {
    "python": _python,
    "packages": _packages,
    "cpu": _cpu,
    "gpu": _gpu,
    "memory": _memory,
    "disk": _disk,
    "images": _images,
    "dicom": _dicom,
    "burned in": _burned_in,
    "offline": _offline,
}


def _model_checks(config: AssistantConfig, open_assistant: Opener) -> Iterator[Check]:
    """Load the model with its index, which checks the contract and the fingerprints, and ask one question."""
    started = time.perf_counter()
    try:
        opened = open_assistant(config)
    except AssistantError as error:
        yield Check("model", False, str(error))
        return
    except Exception as error:
        yield Check("model", False, f"{type(error).__name__}: {error}. Check the folder {config.model}.")
        return
    seconds = time.perf_counter() - started
    yield Check(
        "model", True, f"{opened.model_name} {opened.model_fingerprint}, loaded in {seconds:.1f} s with imports"
    )
    yield Check("encoder", True, _encoder(opened))
    index = opened.index_fingerprint
    yield Check("index", True, f"{index}, made with this model's encoder" if index else "none")
    for name in config.also:
        yield _other(name, config, open_assistant)
    yield _guarded("engine", lambda: Check("engine", True, opened.assistant.engine))
    yield _guarded("answer", lambda: _answer(opened))


def _other(name: str, config: AssistantConfig, open_assistant: Opener) -> Check:
    """Load one of the models beside the first, with its index."""
    from assistant.choice import settings_of
    from assistant.model.weights import own_bytes

    started = time.perf_counter()
    try:
        opened = open_assistant(settings_of(config, name))
    except Exception as error:
        told = str(error) if isinstance(error, AssistantError) else f"{type(error).__name__}: {error}."
        return Check(name, False, told)
    seconds, model = time.perf_counter() - started, opened.assistant.model
    whose = f" beside those of {model.base.name}, which it shares" if model.base is not None else ""
    index = opened.index_fingerprint or "none"
    return Check(
        name, True, f"{opened.model_name} {opened.model_fingerprint}, loaded in {seconds:.1f} s, "
        f"{own_bytes(model) / 1e6:,.1f} MB of weights{whose}, index {index}",
    )  # fmt: skip


def _encoder(opened: Opened) -> str:
    """Say in which numbers the encoder computes, and what its gate found."""
    from assistant.model.encoding import verdicts

    model = opened.assistant.model
    told = f"pictures {model.encoding}, texts {model.text.encoding}"
    found = verdicts(model)
    return f"{told} ({'; '.join(found)})" if found else told


def _answer(opened: Opened) -> Check:
    """Ask about a drawn image twice: the first answer also warms the program up."""
    import numpy as np

    from assistant.conversation import Question
    from assistant.imaging.picture import Picture

    ramp = np.linspace(0, 255, 128, dtype=np.uint8)
    times: list[float] = []
    for turned in (ramp[:, None], ramp[None, :]):
        pixels = np.broadcast_to(turned[..., None], (128, 128, 3)).copy()
        started = time.perf_counter()
        answer = opened.assistant.answer(Question("What kind of image is this?", (Picture(pixels),)))
        times.append(time.perf_counter() - started)
    kind = "an abstention" if answer.abstained else "an answer"
    return Check(
        "answer", bool(answer.text), f"{kind} about a drawn ramp in {times[1]:.2f} s (first: {times[0]:.2f} s)"
    )
