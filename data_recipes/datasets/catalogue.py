"""What is known of each public data set: licence, home, layout, and whether the layout was seen or is from memory.

Licences are as the sets' own pages state them; read the page before you use a set. Kept apart from the modules that
read the sets, so that listing them imports nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

VQA, REPORTS, TEXT = "Questions about pictures", "Captions and reports", "Text"


@dataclass(frozen=True)
class Card:
    """One data set."""

    kind: str
    """`VQA`, `REPORTS` or `TEXT`."""
    title: str
    """Its name and what it holds, for `--list`."""
    licence: str
    """Stands in every example, unless the set names one for each figure."""
    home: str
    """Where to get it."""
    layout: str
    """Files that the recipe looks for, by the names the set gives them."""
    splits: str
    """Whose splits are used, and what a group is."""
    verified: str = "yes"
    """"yes" where samples of the true layout were read; else "layout unverified", or which part is."""
    hub: str | None = None
    """Repository for `--source hub`, where the set is openly there."""
    fetches: bool = False
    """Whether `--fetch` can fetch its pictures from links in the set."""


UNVERIFIED = "layout unverified"
_PHYSIONET = "PhysioNet Credentialed Health Data License 1.5.0"

CARDS: dict[str, Card] = {
    "vqa-rad": Card(
        VQA,
        "VQA-RAD: clinicians' questions on 315 radiology pictures",
        "CC0-1.0",
        "https://osf.io/89kps/",
        "trainset.json and testset.json, or 'VQA_RAD Dataset Public.json', with images/*.jpg; "
        "or the hub's data/{train,test}-*.parquet",
        "own; a group is a picture. All test pictures are also in train, so `clean` leaves few for training: "
        "`fresh` splits anew",
        "trainset.json and testset.json; the two others unverified",
        hub="flaviagiammarino/vqa-rad",
    ),
    "slake": Card(
        VQA,
        "SLAKE: questions in English and Chinese, with masks and boxes",
        "CC-BY-4.0",
        "https://www.med-vqa.com/slake/",
        "train.json, validate.json, test.json and imgs/xmlab*/{source.jpg,mask.png,detection.json}, or imgs.zip",
        "own; a group is a picture. Chinese questions go to *-zh.jsonl",
        "the questions; detection.json unverified",
        hub="BoKelvin/SLAKE",
    ),
    "pathvqa": Card(
        VQA,
        "PathVQA: questions made from pathology textbooks' figures",
        "MIT (pictures from textbooks: rights unclear)",
        "https://github.com/UCSD-AI4H/PathVQA",
        "the hub's data/{train,validation,test}-*.parquet, or {train,val,test}.{json,jsonl} with images/",
        "own; a group is a picture",
        UNVERIFIED,
        hub="flaviagiammarino/path-vqa",
    ),
    "pmc-vqa": Card(
        VQA,
        "PMC-VQA: multiple choice on figures of open-access articles",
        "CC-BY-SA (figures: as their articles)",
        "https://huggingface.co/datasets/xmcmic/PMC-VQA",
        "{train,test}_2.csv with figures/ (version 2), or {train,test}.csv with images/ (version 1)",
        "own; a group is an article",
        UNVERIFIED,
        hub="RadGenome/PMC-VQA",
    ),
    "vqa-med-2019": Card(
        VQA,
        "VQA-Med 2019: modality, plane, organ and abnormality",
        "CC-BY-4.0",
        "https://zenodo.org/records/10499039",
        "All_QA_Pairs_train.txt, All_QA_Pairs_val.txt, VQAMed2019_Test_Questions_w_Ref_Answers.txt, and folders "
        "Train_images, Val_images, VQAMed2019_Test_Images",
        "own; a group is a picture",
        "the test file; train and val unverified",
    ),
    "vqa-med-2021": Card(
        VQA,
        "VQA-Med 2021: abnormality questions",
        "not stated by its page (ImageCLEF 2021)",
        "https://github.com/abachaa/VQA-Med-2021",
        "*Train*QA*.txt and *Val*QA*.txt (picture|question|answer), and "
        "Task1*ReferenceAnswers_mscoco_format_vqa.json for the test",
        "own; a group is a picture",
        "the test file; train and val unverified",
    ),
    "mimic-cxr-vqa": Card(
        VQA,
        "MIMIC-CXR-VQA: questions from Chest ImaGenome's labels",
        _PHYSIONET,
        "https://physionet.org/content/mimic-ext-mimic-cxr-vqa/",
        "train.json, valid.json, test.json as written by its build_dataset.sh, and files/ of MIMIC-CXR-JPG",
        "own; a group is a patient",
        "the README's example and the script that writes the files",
    ),
    "omnimedvqa": Card(
        VQA,
        "OmniMedVQA: multiple choice from 42 open data sets",
        "as each source data set (see its page)",
        "https://huggingface.co/datasets/foreverbeliever/OmniMedVQA",
        "QA_information/Open-access/*.json and Images/",
        "test only",
        UNVERIFIED,
        hub="foreverbeliever/OmniMedVQA",
    ),
    "pathmmu": Card(
        VQA,
        "PathMMU: multiple choice on pathology, checked by experts",
        "CC-BY-ND-4.0",
        "https://huggingface.co/datasets/jamessyx/PathMMU",
        "data.json and images/ or images.zip",
        "own (val becomes dev; test_tiny is a part of test and stands in test_tiny.jsonl); a group is a picture",
        UNVERIFIED,
    ),
    "mediconfusion": Card(
        VQA,
        "MediConfusion: pairs of pictures that look alike to encoders",
        "MIT (figures: as in ROCO, each its own)",
        "https://github.com/MShahabSepehri/MediConfusion",
        "dataset.json, image_dict.json, and pictures under the names of either",
        "test only; a pair shares `truth.pair`",
        fetches=True,
    ),
    "ubench": Card(
        VQA,
        "μ-Bench: microscopy, coarse and fine questions with choices",
        "CC-BY-SA-4.0",
        "https://huggingface.co/datasets/jnirschl/uBench",
        "*.arrow or *.parquet of the hub, pictures inside",
        "own where the rows name them, else test",
        "fields as two public evaluation programs read them; files unverified",
        hub="jnirschl/uBench",
    ),
    "mmmu-health": Card(
        VQA,
        "MMMU, health and medicine: five subjects of college examinations",
        "Apache-2.0 (pictures: as their sources)",
        "https://huggingface.co/datasets/MMMU/MMMU",
        "{Basic_Medical_Science,Clinical_Medicine,Diagnostics_and_Laboratory_Medicine,Pharmacy,Public_Health}/"
        "{dev,validation,test}-*.parquet",
        "own: dev stays, validation becomes test (MMMU's test has no answers)",
        UNVERIFIED,
        hub="MMMU/MMMU",
    ),
    "roco": Card(
        REPORTS,
        "ROCO: radiology figures of open-access articles with captions",
        "each figure its own (licences.txt)",
        "https://github.com/razorx89/roco-dataset",
        "{train,validation,test}/radiology/{captions,licences,dlinks,keywords,cuis}.txt with images/ROCO_*.jpg",
        "own; a group is an article",
        fetches=True,
    ),
    "rocov2": Card(
        REPORTS,
        "ROCOv2: the newer ROCO, with UMLS concepts",
        "CC-BY-NC-SA-4.0 (figures: as their articles)",
        "https://zenodo.org/records/10821435",
        "{train,valid,test}_captions.csv and _concepts.csv with {train,valid,test}/*.jpg, or the hub's *.parquet",
        "own; a group is a picture",
        UNVERIFIED,
        hub="eltorio/ROCOv2-radiology",
    ),
    "iu-xray": Card(
        REPORTS,
        "IU X-ray (Open-i): chest radiographs with reports",
        "CC-BY-NC-ND-4.0",
        "https://openi.nlm.nih.gov/faq",
        "annotation.json with images/ (R2Gen), or indiana_reports.csv, indiana_projections.csv and "
        "images/images_normalized/ (Kaggle)",
        "own for R2Gen, by hash for Kaggle; a group is a study",
    ),
    "mimic-cxr": Card(
        REPORTS,
        "MIMIC-CXR: chest radiographs with reports, R2Gen layout; a local copy only",
        _PHYSIONET,
        "https://physionet.org/content/mimic-cxr-jpg/",
        "annotation.json (R2Gen: train, val and test lists) with images/ or files/",
        "own; a group is a patient",
        "the keys, from an invented sample",
    ),
    "pmc-oa": Card(
        REPORTS,
        "PMC-OA: 1.6 million figures of open-access articles with captions",
        "OpenRAIL (figures: as their articles)",
        "https://huggingface.co/datasets/axiong/pmc_oa",
        "{train,valid,test}.jsonl or pmc_oa.jsonl, with images/ or images.zip",
        "own, else by hash; a group is an article",
        UNVERIFIED,
        hub="axiong/pmc_oa",
    ),
    "pubmedvision": Card(
        REPORTS,
        "PubMedVision: captions and dialogues on PubMed figures, rewritten by a model",
        "Apache-2.0 (figures: as their articles)",
        "https://huggingface.co/datasets/FreedomIntelligence/PubMedVision",
        "PubMedVision_Alignment_VQA.json, PubMedVision_InstructionTuning_VQA.json, with images/ or images_*.zip",
        "by hash; a group is a figure",
        UNVERIFIED,
        hub="FreedomIntelligence/PubMedVision",
    ),
    "llava-med-alignment": Card(
        REPORTS,
        "LLaVA-Med alignment: 500,000 figures with captions",
        "CC-BY-NC-4.0 (figures: as their articles)",
        "https://github.com/microsoft/LLaVA-Med",
        "llava_med_alignment_500k.json, llava_med_image_urls.jsonl, images/*.jpg",
        "by hash; a group is an article",
        UNVERIFIED,
        fetches=True,
    ),
    "llava-med-instruct": Card(
        REPORTS,
        "LLaVA-Med instruct: 60,000 dialogues on figures",
        "CC-BY-NC-4.0 (figures: as their articles)",
        "https://github.com/microsoft/LLaVA-Med",
        "llava_med_instruct_60k_inline_mention.json (or _60k, _10k), llava_med_image_urls.jsonl, images/*.jpg",
        "by hash; a group is an article",
        "one record of a file made from it",
        fetches=True,
    ),
    "medquad": Card(
        TEXT,
        "MedQuAD: questions and answers from NIH pages",
        "CC-BY-4.0",
        "https://github.com/abachaa/MedQuAD",
        "*_QA/*.xml",
        "by hash; a group is a topic",
    ),
    "pubmedqa": Card(
        TEXT,
        "PubMedQA: yes, no or maybe from abstracts",
        "MIT",
        "https://github.com/pubmedqa/pubmedqa",
        "ori_pqal.json and test_ground_truth.json, or ori_pqaa.json",
        "own test; the rest by hash. A group is an article",
    ),
    "medqa": Card(
        TEXT,
        "MedQA: questions of the US medical licensing examination",
        "MIT",
        "https://github.com/jind11/MedQA",
        "{train,dev,test}.jsonl, or phrases_no_exclude_{train,dev,test}.jsonl",
        "own",
        "fields from a public loader's test",
        hub="GBaker/MedQA-USMLE-4-options",
    ),
    "medmcqa": Card(
        TEXT,
        "MedMCQA: questions of Indian entrance examinations",
        "Apache-2.0",
        "https://github.com/medmcqa/medmcqa",
        "{train,dev,test}.json (one object a line, `cop` from 1), or the hub's *.parquet (`cop` from 0)",
        "own (its test has no answers and is left out)",
        "fields from a public loader's test",
        hub="openlifescienceai/medmcqa",
    ),
    "ultramedical": Card(
        TEXT,
        "UltraMedical: 410,000 instructions with answers of models",
        "MIT (parts from MedQA, MedMCQA, PubMedQA)",
        "https://huggingface.co/datasets/TsinghuaC3I/UltraMedical",
        "*.json (an array, or one object a line) or *.parquet",
        "by hash; a group is a question",
        hub="TsinghuaC3I/UltraMedical",
    ),
    "ultramedical-preference": Card(
        TEXT,
        "UltraMedical preference: better and worse answers of models",
        "MIT",
        "https://huggingface.co/datasets/TsinghuaC3I/UltraMedical-Preference",
        "*.json (an array, or one object a line) or *.parquet",
        "by hash; a group is a prompt",
        UNVERIFIED,
        hub="TsinghuaC3I/UltraMedical-Preference",
    ),
}
"""Name of the recipe to its card; the module is `data_recipes.datasets.` and the name with underscores."""


def module_of(name: str) -> str:
    """Return the module that builds a set."""
    return f"data_recipes.datasets.{name.replace('-', '_')}"
