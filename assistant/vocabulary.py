"""The names this project uses for modalities and body regions, and how others' names map onto them."""

from __future__ import annotations

MODALITIES: tuple[str, ...] = (
    "X-ray",
    "CT",
    "MRI",
    "Ultrasound",
    "Mammography",
    "Fundus photography",
    "Dermoscopy",
    "Blood-smear microscopy",
    "Histopathology",
    "Endoscopy",
    "OCT",
    "Nuclear medicine",
)

# DICOM (0008,0060) Modality, defined terms of PS3.3 C.7.3.1.1.1, to the names above.
DICOM_MODALITIES: dict[str, str] = {
    "CR": "X-ray",
    "DX": "X-ray",
    "RF": "X-ray",
    "XA": "X-ray",
    "RG": "X-ray",
    "IO": "X-ray",
    "PX": "X-ray",
    "MG": "Mammography",
    "CT": "CT",
    "MR": "MRI",
    "US": "Ultrasound",
    "IVUS": "Ultrasound",
    "OP": "Fundus photography",
    "OPT": "OCT",
    "OCT": "OCT",
    "DMS": "Dermoscopy",
    "GM": "Blood-smear microscopy",
    "SM": "Histopathology",
    "ES": "Endoscopy",
    "NM": "Nuclear medicine",
    "PT": "Nuclear medicine",
}

_ALIASES: dict[str, str] = {
    "xray": "X-ray",
    "x ray": "X-ray",
    "x-ray": "X-ray",
    "radiograph": "X-ray",
    "radiography": "X-ray",
    "chest x-ray": "X-ray",
    "cxr": "X-ray",
    "plain film": "X-ray",
    "computed tomography": "CT",
    "ct scan": "CT",
    "cat scan": "CT",
    "magnetic resonance": "MRI",
    "magnetic resonance imaging": "MRI",
    "mr": "MRI",
    "mri scan": "MRI",
    "us": "Ultrasound",
    "ultrasonography": "Ultrasound",
    "sonography": "Ultrasound",
    "echography": "Ultrasound",
    "fundus": "Fundus photography",
    "fundus photograph": "Fundus photography",
    "retinal photograph": "Fundus photography",
    "dermatoscopy": "Dermoscopy",
    "dermoscopic": "Dermoscopy",
    "blood smear": "Blood-smear microscopy",
    "blood smear microscopy": "Blood-smear microscopy",
    "blood film": "Blood-smear microscopy",
    "histopathology (h&e)": "Histopathology",
    "histology": "Histopathology",
    "h&e-stained histopathology": "Histopathology",
    "endoscopy (colonoscopy)": "Endoscopy",
    "colonoscopy": "Endoscopy",
    "optical coherence tomography": "OCT",
    "optical coherence tomography (oct)": "OCT",
    "scintigraphy": "Nuclear medicine",
    "pet": "Nuclear medicine",
    "mammogram": "Mammography",
}


def canonical_modality(name: str | None) -> str | None:
    """Return this project's name for a modality, or None when `name` names none.

    Args:
        name: free text such as "Chest X-ray", "ct scan" or a DICOM code such as "DX".
    Returns:
        A name of `MODALITIES`, or None.
    """
    if not name:
        return None
    text = " ".join(name.strip().lower().split())
    for modality in MODALITIES:
        if text == modality.lower():
            return modality
    return _ALIASES.get(text) or DICOM_MODALITIES.get(name.strip().upper())
