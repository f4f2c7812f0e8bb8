"""A tiny random model, assembled and loaded like any other, for the tests of what answers with it."""

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
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from assistant.evidence import Evidence
from assistant.imaging.picture import Picture

if TYPE_CHECKING:
    from assistant.model.loaded import LoadedModel

_WORDS = (
    "Is there a glioma in this MRI? Yes. No. What kind of image is this? meningioma benign malignant normal. "
    "Technique: Findings: Impression: The right and left lung are clear. Write a report."
)


def _tokenizer(folder: Path, kind: str) -> Any:
    """A byte-level tokenizer for a language model, or a WordPiece-like one for a BERT."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"] if kind == "bert" else ["<pad>", "<s>", "</s>"]
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator([_WORDS] * 3, trainer)
    if kind == "bert":
        made.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
        )
        names = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    else:
        names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, **names)
    tokenizer.save_pretrained(folder)
    return tokenizer


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder: 32-pixel pictures of 16 patches, two layers everywhere, random weights."""
    from assistant.model.build import assemble_folder
    from assistant.model.openclip import make_openclip_folder

    root = tmp_path_factory.mktemp("tiny")
    encoder = make_openclip_folder(
        root / "encoder",
        timm_name="vit_tiny_patch16_224",
        image_size=32,
        embed_dim=24,
        trunk_args={"embed_dim": 32, "depth": 2, "num_heads": 2, "patch_size": 8},
        text_config={
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "max_position_embeddings": 64,
        },
        tokenizer=_tokenizer(root / "bert", "bert"),
        context_length=64,
    )
    _tokenizer(root / "tokenizer", "llama")
    llm = {
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "initializer_range": 0.3,
    }
    return assemble_folder(
        encoder, llm, root / "tokenizer", root / "model", name="tiny", capabilities={"text_only": "quote"}
    )


@pytest.fixture(scope="session")
def tiny_model(tiny_folder: Path) -> LoadedModel:
    """The tiny model, loaded."""
    from assistant.model.load import load_model

    return load_model(tiny_folder, device="cpu")


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
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
    gc.collect()


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
