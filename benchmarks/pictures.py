"""Command: take the pictures of the page that stand in the docs. `python -m benchmarks.pictures --out docs`.

Needs Chromium and playwright. It starts the page with the shipped starter, uses it as a person does, and compares
nothing: whoever takes new pictures looks at them.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import assistant
from assistant.ending import run_command

ROOT = Path(assistant.__file__).parent.parent
EXAMPLES = ROOT / "assistant" / "starter" / "examples"
ARGUMENTS = ["--no-sandbox", "--headless", "--disable-gpu", "--disable-background-networking"]
_QUIET_MS = 900
"""Until what fades in has faded in."""


@contextmanager
def running_page() -> Iterator[str]:
    """Start the page in a process of its own, and wait for its model.

    Yields:
        Its address.
    """
    with tempfile.TemporaryDirectory() as state:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "app.py"), "serve", "--port", "0"], stdout=subprocess.PIPE, text=True,
            env={**os.environ, "MEDASSIST_STATE_DIR": state},
        )  # fmt: skip
        assert process.stdout is not None
        try:
            found = re.search(r"http://[\d.]+:\d+", process.stdout.readline())
            assert found, "the page did not start"
            while b"ready" not in urlopen(f"{found.group()}/healthz", timeout=60).read():
                time.sleep(0.3)
            yield found.group()
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
            process.stdout.close()


def ask(tab: Any, question: str, image: Path | None = None) -> None:
    """Ask, and wait for the answer."""
    if image is not None:
        tab.locator("#question input[type=file]").set_input_files(str(image))
        tab.locator("#question .thumbnail-item").first.wait_for()
    before = tab.locator("#conversation .bot").count()
    box = tab.get_by_placeholder("Ask about")
    box.fill(question)
    box.press("Enter")
    tab.locator("#conversation .bot").nth(before).get_by_text("Confidence").wait_for()


def take_ask(tab: Any, out: Path) -> None:
    """Take the page with an answer, then the form under it."""
    ask(tab, "Is there a pneumothorax?", EXAMPLES / "chest-xray.png")
    tab.wait_for_timeout(_QUIET_MS)
    tab.screenshot(path=out / "page.png")
    tab.locator("#conversation button[title=Dislike], #conversation button[aria-label=Dislike]").last.click()
    tab.get_by_label("Why").click()
    tab.get_by_role("option", name="Wrong side or place").click()
    tab.get_by_label("A better answer").fill("Yes, on the left.")
    tab.wait_for_timeout(_QUIET_MS)
    tab.locator("#judging").screenshot(path=out / "feedback.png")


def take_report(tab: Any, out: Path) -> None:
    """Take a report that was edited and accepted."""
    tab.get_by_role("tab", name="Report").click()
    tab.locator("#study input[type=file]").first.set_input_files(str(EXAMPLES / "chest-xray.png"))
    tab.get_by_text("chest-xray.png").wait_for()
    tab.get_by_role("button", name="Draft report").click()
    tab.locator("[role=meter]:visible").wait_for()
    tab.wait_for_timeout(_QUIET_MS)
    box = tab.get_by_label("Findings")
    box.fill(box.input_value().replace("20 mm", "15 mm") + " The heart is not enlarged.")
    tab.keyboard.press("Tab")
    tab.locator("#changes ins").first.wait_for()
    tab.get_by_role("button", name="Accept this text").click()
    tab.get_by_text("Accepted by").wait_for()
    tab.wait_for_timeout(_QUIET_MS)
    tab.screenshot(path=out / "report.png")


def take_volume(tab: Any, out: Path) -> None:
    """Take a phantom volume, shown at the slice that the model read."""
    from data_recipes.phantom_volume import make_phantom_volume, write_nifti

    with tempfile.TemporaryDirectory() as folder:
        volume = make_phantom_volume(990002, 1, kind="brain_mr")
        ask(tab, "What abnormality is seen?", write_nifti(volume, Path(folder) / "brain.nii.gz"))
    tab.locator("#chat-slices label").first.wait_for()
    tab.wait_for_timeout(_QUIET_MS)
    tab.screenshot(path=out / "volume.png")


def main(arguments: list[str] | None = None) -> int:
    """Take all pictures.

    Args:
        arguments: without the program's name; None takes those of the process.
    Returns:
        0; 2 without a browser.
    """
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the pictures go")
    out: Path = parser.parse_args(arguments).out
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        sys.stderr.write("There is no Chromium on this machine; install it with: apt-get install chromium\n")
        return 2
    out.mkdir(parents=True, exist_ok=True)
    with running_page() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        for take, size in ((take_ask, (1280, 900)), (take_report, (1280, 1120)), (take_volume, (1280, 900))):
            tab = browser.new_page(viewport={"width": size[0], "height": size[1]})
            tab.set_default_timeout(120_000)
            tab.goto(url)
            tab.get_by_placeholder("Ask about").wait_for()
            take(tab, out)
            tab.close()
        browser.close()
    print("".join(f"{one}\n" for one in sorted(out.glob("*.png"))), end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
