"""The page docs/adapt.md works as it is written: its commands, in order, on a small folder of own images."""

from __future__ import annotations

import importlib
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import app

ROOT = Path(__file__).resolve().parents[2]
SHORT = ["--set", "steps=4", "--set", "pictures=4", "--set", "report_every=2", "--set", "longest=300"]


def commands() -> list[list[str]]:
    """Return the page's commands, as words after `python`."""
    blocks = re.findall(
        r"^```bash\n(.*?)^```", (ROOT / "docs" / "adapt.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    return [shlex.split(line)[1:] for block in blocks for line in block.splitlines()]


def write_folder(root: Path, count: int = 24) -> None:
    """Write pictures with a bright or a dark middle, called malignant and benign, and their manifest."""
    from PIL import Image

    (root / "images").mkdir(parents=True)
    records = []
    for number in range(count):
        bright = number % 2 == 0
        pixels = np.random.default_rng(number).integers(60, 120, (64, 64, 3), dtype=np.uint8)
        pixels[20:44, 20:44] = 220 if bright else 20
        Image.fromarray(pixels).save(root / "images" / f"us-{number:03}.png")
        label = "malignant" if bright else "benign"
        asked = [
            ("Is the lesion benign or malignant?", label.capitalize(), "OPEN"),
            ("Is the lesion malignant?", "Yes" if bright else "No", "CLOSED"),
        ]
        records.append({
            "id": f"us-{number:03}", "image": f"images/us-{number:03}.png",
            "modality": "Ultrasound", "anatomy": "breast",
            "labels": [label], "qa": [{"question": q, "answer": a, "answer_type": kind} for q, a, kind in asked],
            "report": None, "split": "train" if number < count // 2 else "dev", "group": f"patient-{number}",
            "licence": "internal", "source": "Our department", "attribution": "Our department",
        })  # fmt: skip
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (root / "manifest.jsonl").write_text(lines, encoding="utf-8")


def run(words: list[str]) -> None:
    """Run a command of the page in this process; training is cut short."""
    if words[0] == "app.py":
        # The page itself is tried in a browser elsewhere; here the same model answers a question.
        picture = ["export/images/us-001.png", "--question", "Is the lesion benign or malignant?", "--json"]
        assert app.main(words[1:] if words[1] == "ask" else ["ask", *picture, *words[2:]]) == 0
        return
    module, arguments = words[1], words[2:]
    if module == "training.sft":
        arguments += SHORT
    code = importlib.import_module(module).main(arguments)
    # Parity measures: on a model that was cut short and sees noise, bfloat16 may well answer otherwise.
    assert code == 0 or (module == "training.parity" and code == 1), words


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_page_leads_from_a_folder_to_an_answer(tmp_path, monkeypatch, capsys):
    write_folder(tmp_path / "export")
    (tmp_path / "training").symlink_to(ROOT / "training")
    monkeypatch.chdir(tmp_path)
    found = commands()
    assert found[0][1] == "data_recipes.build"
    assert found[-1][:2] == ["app.py", "chat"]
    for words in found:
        run(words)
    printed = capsys.readouterr()
    answer = json.loads(printed.out[printed.out.rindex('\n{"answer"') :])
    assert answer["model"]["name"]
    assert (
        Path("runs/after/table.md").read_text(encoding="utf-8").startswith("|") or Path("runs/after/table.md").exists()
    )
    assert json.loads(Path("models/ours/contract.json").read_text(encoding="utf-8"))["calibration"]
    lines = Path("runs/adapt/metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2, 4]
