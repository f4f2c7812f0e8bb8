"""Pictures, evidence, DICOM images and a real archive, for the tests of what answers with a model."""

from __future__ import annotations

import gc
import io
import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assistant.evidence import Evidence
from assistant.imaging.picture import Picture


@pytest.fixture(scope="session")
def adapter_folder(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter on the tiny model: random LoRA on queries and values, and a connector that was moved."""
    import torch
    from peft import LoraConfig

    from assistant.model.adapter import wrap
    from assistant.model.load import load_model
    from assistant.model.save import save_adapter

    base = load_model(tiny_folder, device="cpu")
    settings = LoraConfig(
        r=4,
        target_modules=r".*language_model.*\.(q_proj|v_proj)",
        modules_to_save=["multi_modal_projector"],
        init_lora_weights=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = wrap(base.llava, settings)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "modules_to_save" in name:
                parameter.mul_(1.5)
    return save_adapter(model, base, tmp_path_factory.mktemp("adapters") / "lora", name="tiny-lora")


@pytest.fixture(scope="session")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a head CT as `head.nii.gz` and as the slices in `series`, and slices of a brain MR in `mr`."""
    from data_recipes.phantom_volume import make_phantom_volume, write_nifti, write_series

    made = tmp_path_factory.mktemp("volumes")
    phantom = make_phantom_volume(5, 1, kind="head_ct", slices=8, size=64)
    write_nifti(phantom, made / "head.nii.gz")
    write_series(phantom, made / "series")
    write_series(make_phantom_volume(5, 2, kind="brain_mr", slices=8, size=64), made / "mr")
    return made


@pytest.fixture(scope="session")
def make_picture() -> Callable[..., Picture]:
    """Return a function that makes a noise picture from a seed; equal seeds give equal pixels."""

    def make(seed: int = 0, width: int = 40, height: int = 30, **fields: Any) -> Picture:
        pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
        return Picture(pixels, **fields)

    return make


@pytest.fixture(scope="session")
def make_evidence() -> Callable[..., Evidence]:
    """Return a function that makes a piece of evidence."""

    def make(title: str, text: str, **fields: Any) -> Evidence:
        values = {"id": title.lower(), "kind": "passage", "source": "a card", "licence": "CC0-1.0", "score": 1.0}
        return Evidence(**{**values, **fields, "title": title, "text": text})

    return make


class Orthanc:
    """A real archive on loopback, with a storage folder of its own, over DICOMweb and DIMSE."""

    def __init__(self, program: str, folder: Path) -> None:
        plugin = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
        self.program = program
        self.http, self.dicom, self.receive = (_free_port() for _ in range(3))
        settings = {
            "HttpPort": self.http, "RemoteAccessAllowed": False, "AuthenticationEnabled": False,
            "DicomAet": "ARCHIVE", "DicomPort": self.dicom, "DicomCheckCalledAet": True,
            "DicomModalities": {"medassist": ["MEDASSIST", "127.0.0.1", self.receive]},
            "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"),
            "Plugins": [str(plugin)] if plugin.exists() else [],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }  # fmt: skip
        self.file = folder / "orthanc.json"
        self.file.write_text(json.dumps(settings))
        self.url = f"http://127.0.0.1:{self.http}/dicom-web"
        self.peer = f"ARCHIVE@127.0.0.1:{self.dicom}"
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [self.program, str(self.file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.http}/system", timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("Orthanc did not start")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def put(self, content: bytes) -> None:
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}/instances", content, method="POST")
        urllib.request.urlopen(request, timeout=10).close()

    def count(self, modality: str) -> int:
        """Count the instances of a modality."""
        query = json.dumps({"Level": "Instance", "Query": {"Modality": modality}}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}/tools/find", query, method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return len(json.load(answer))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    program = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
    if not program:
        pytest.skip("Orthanc is not installed")
    made = Orthanc(program, tmp_path)
    yield made
    made.kill()


@pytest.fixture
def tidy() -> Iterator[None]:
    """Wait for pynetdicom's threads, and let go of the sockets that it leaves to the garbage collector."""
    before = set(threading.enumerate())
    gc.freeze()  # what is there already need not be looked through, which takes a second with torch loaded
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
    gc.collect()
    gc.unfreeze()


@pytest.fixture(scope="session")
def dicom_image() -> Callable[..., Any]:
    """`dicom_image(number, part=1, Keyword=value, …)` makes a small radiograph of study `number`, read from a file."""
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    def make(number: int, part: int = 1, **elements: Any) -> Any:
        dataset = Dataset()
        dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1", f"1.2.3.4.{number}.{part}"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"1.2.3.4.{number}", f"1.2.3.4.{number}.2.1"
        dataset.PatientID, dataset.PatientName, dataset.Modality = f"P{number}", f"Doe^Nr{number}", "CR"
        dataset.StudyDate, dataset.InstanceNumber, dataset.SeriesNumber = "20240131", part, 1
        dataset.Rows = dataset.Columns = 32
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
        noise = np.random.default_rng(100 * number + part).integers(0, 255, (32, 32), dtype=np.uint8)
        dataset.PixelData = noise.tobytes()
        dataset["PixelData"].VR = "OB"
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        stream = io.BytesIO()
        dataset.save_as(stream, enforce_file_format=True)
        stream.seek(0)
        return pydicom.dcmread(stream)

    return make


@pytest.fixture(scope="session")
def send() -> Callable[..., list[int]]:
    """`send(port, images, calling="CR1", called="MEDASSIST")` sends by C-STORE; returns statuses, -1 for none."""

    def sent(port: int, images: Any, calling: str = "CR1", called: str = "MEDASSIST", **more: Any) -> list[int]:
        from pynetdicom import AE

        entity = AE(ae_title=calling)
        for one in {str(image.SOPClassUID) for image in images}:
            entity.add_requested_context(one, ["1.2.840.10008.1.2.1"])
        association = entity.associate("127.0.0.1", port, ae_title=called, **more)
        if not association.is_established:
            return []
        statuses = []
        for one in images:
            if association.is_established:
                statuses.append(getattr(association.send_c_store(one), "Status", -1))
        if association.is_established:
            association.release()
        return statuses

    return sent
