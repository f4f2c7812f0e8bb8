import pytest

from assistant.case import Case
from assistant.conversation import ReportRequest
from assistant.domain import Domain
from assistant.errors import ConfigError
from assistant.fitting import checks_of, parts_of, set_template
from assistant.guard import Stop
from assistant.report_template import Asked, Check, ReportTemplate
from assistant.template_files import Templates, shipped


def looks(modality, anatomy, probability=0.97):
    return Domain(modality, probability, anatomy, probability, {modality: probability})


@pytest.fixture
def given(make_picture):
    """Return a function that makes a case; `seen` is its modality where the header tells none."""

    def make(modality=None, anatomy=None, view=None, seen=None):
        picture = make_picture(modality=modality, anatomy=anatomy, view=view)
        return Case((picture,), request=ReportRequest((picture,)), modality=modality or seen)

    return make


@pytest.mark.parametrize(
    ("header", "look", "chosen"),
    [
        (("X-ray", "chest", "PA"), None, ("chest-xray", "header")),
        (("X-ray", "knee", None), None, ("generic", "header")),
        (("X-ray", "lung", None), None, ("chest-xray", "header")),
        (("CT", "head", "axial"), None, ("ct-head", "header")),
        (("CT", "skull", "axial"), None, ("ct-head", "header")),
        (("CT", "abdomen and pelvis", None), None, ("ct-abdomen", "header")),
        (("MRI", "brain", None), None, ("brain-mri", "header")),
        (("Dermoscopy", None, None), None, ("dermoscopy", "header")),
        (("X-ray", None, None), looks("X-ray", "chest"), ("chest-xray", "look")),
        (("X-ray", None, None), looks("X-ray", "chest", 0.4), ("generic", "header")),
        (("X-ray", None, None), looks("CT", "head"), ("generic", "header")),
        (("X-ray", "knee", None), looks("X-ray", "chest"), ("generic", "header")),
        (("X-ray", None, None), None, ("generic", "header")),
    ],
)
def test_auto_goes_by_the_header_and_then_by_the_look(given, header, look, chosen):
    case = given(*header)
    set_template(case, "auto", shipped(), look)
    assert (case.template.name, case.chosen_by) == chosen
    assert case.stop is None
    assert case.cautions == []


@pytest.mark.parametrize(
    ("seen", "look", "chosen"),
    [
        ("Ultrasound", looks("Ultrasound", "breast"), "breast-ultrasound"),
        ("Ultrasound", looks("Ultrasound", "liver"), "generic"),
        ("Blood-smear microscopy", None, "blood-smear"),
        (None, looks("CT", "head"), "generic"),
    ],
)
def test_without_a_header_auto_goes_by_the_look(given, seen, look, chosen):
    case = given(seen=seen)
    set_template(case, "auto", shipped(), look)
    assert (case.template.name, case.chosen_by) == (chosen, "look")


def test_the_look_of_an_image_unlike_anything_known_chooses_nothing(given):
    case = given(seen="Fundus photography")
    case.stop = Stop("Unlike anything known.", "Send another.")
    set_template(case, "auto", shipped(), looks("Fundus photography", "retina"))
    assert case.template.name == "generic"


def test_a_template_of_another_world_is_refused_and_the_one_that_fits_is_named(given):
    case = given(modality="Dermoscopy")
    set_template(case, "chest-xray", shipped(), None)
    assert case.stop.text == (
        "The template chest-xray is for X-ray, but the image is Dermoscopy. "
        "Use --template dermoscopy or --template auto."
    )


@pytest.mark.parametrize(
    ("header", "look", "name", "said"),
    [
        (("CT", "chest", None), None, "chest-xray", "is for X-ray, but the image is CT."),
        (("X-ray", "knee", None), None, "chest-xray", "of chest, lung, rib or heart, but the file's header says knee."),
        (("X-ray", None, None), looks("X-ray", "knee"), "chest-xray", "but the image looks like one of knee."),
        (("X-ray", "chest", "CC"), None, "chest-xray", "but the file's header says CC."),
        ((None, None, None), None, "chest-xray", "nothing checks that it fits."),
    ],
)
def test_a_near_miss_is_a_doubt_and_never_silent(given, header, look, name, said):
    case = given(*header)
    set_template(case, name, shipped(), look)
    assert case.stop is None
    (doubt,) = case.doubts
    assert doubt in case.cautions
    assert said in doubt


@pytest.mark.parametrize(
    ("header", "name"), [(("X-ray", "chest", "PA"), "chest-xray"), (("CT", "head", None), "ct-head"),
                         ((None, None, None), "generic"), (("Fundus photography", "eye", None), "fundus")]
)  # fmt: skip
def test_a_template_that_fits_says_nothing(given, header, name):
    case = given(*header)
    set_template(case, name, shipped(), None)
    assert (case.template.name, case.chosen_by, case.cautions, case.stop) == (name, "name", [], None)


def test_an_own_template_for_the_same_kind_goes_before_a_shipped_one(given):
    own = ReportTemplate("our-chest", "Ours", "X-ray", ("chest",), ("PA",))
    templates = Templates({"our-chest": own, **shipped().by_name}, frozenset({"our-chest"}))
    case = given("X-ray", "chest", "PA")
    set_template(case, "auto", templates, None)
    assert case.template is own
    other = given("X-ray", "chest", "lateral")
    set_template(other, "auto", templates, None)
    assert other.template.name == "chest-xray"


def test_an_unknown_name_is_told(given):
    with pytest.raises(ConfigError, match="no report template 'foot'"):
        set_template(given(), "foot", shipped(), None)


def test_questions_are_put_about_the_current_pictures_alone(make_picture):
    before, now = make_picture(1), make_picture(2)
    questions = (Asked("Is there a mass?", {"Yes": "A mass.", "No": "No mass."}),
                 Asked("Normal, benign or malignant?", {"normal": "a", "benign": "b", "malignant": "c"}))  # fmt: skip
    template = ReportTemplate("own", "Own", questions=questions, checks=(Check("cyst", "Is there a cyst?"),))
    case = Case(
        (before, now), request=ReportRequest((now,), (before,)), features=["first", "second"], template=template
    )
    yes_no, choice = parts_of(case)
    (check,) = checks_of(case)
    assert all(one.pictures == (now,) and one.features == ["second"] for one in (yes_no, choice, check))
    assert (yes_no.question.options, yes_no.options) == ((), ("Yes", "No"))
    assert choice.options == ("normal", "benign", "malignant")
    assert [option for option, _ in check.forms] == ["Yes", "No"]
    assert parts_of(Case((now,))) == checks_of(Case((now,))) == []
