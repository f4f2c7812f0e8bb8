import pytest

from assistant.errors import ConfigError
from assistant.imaging.terms import BODY_PARTS
from assistant.questions import YES_NO, options_in
from assistant.template_files import listing, load_templates, shipped

OWN = "name: knee-xray\ntitle: Knee X-ray\nmodality: X-ray\nanatomy: [knee]\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "knee.yaml").write_text(OWN)
    return tmp_path


def test_the_kinds_that_ship_are_those_a_department_expects():
    assert set(shipped().by_name) == {
        "chest-xray", "ct-head", "ct-abdomen", "brain-mri", "breast-ultrasound", "fundus", "dermoscopy", "blood-smear",
        "pathology", "generic",
    }  # fmt: skip
    assert next(reversed(shipped().by_name)) == "generic"
    assert all(one.critical and one.normal for one in shipped())


def test_shipped_templates_keep_the_words_that_models_are_trained_on():
    assert all(one.prompt is None and not one.questions for one in shipped())


def test_shipped_checks_are_questions_that_yes_or_no_answers():
    asked = [check.ask for template in shipped() for check in template.checks]
    assert asked
    assert all(tuple(options_in(one)) == YES_NO for one in asked)


def test_shipped_regions_are_words_that_headers_are_read_as():
    assert all(region in BODY_PARTS.values() for template in shipped() for region in template.anatomy)


def test_own_templates_stand_beside_those_that_ship(folder):
    templates = load_templates([folder])
    assert next(iter(templates)).name == "knee-xray"
    assert set(templates.by_name) == {"knee-xray", *shipped().by_name}
    assert templates.own == {"knee-xray"}


def test_an_own_template_takes_the_place_of_a_shipped_one(tmp_path):
    (tmp_path / "mine.yaml").write_text("name: ct-head\ntitle: Our heads\nmodality: CT\n")
    assert load_templates([tmp_path / "mine.yaml"]).get("ct-head").title == "Our heads"


def test_mistakes_of_all_files_are_told_together(folder):
    (folder / "bad.yaml").write_text("name: X\ntitle: X\n")
    (folder / "worse.yml").write_text("name: [")
    (folder / "twin.yaml").write_text(OWN)
    with pytest.raises(ConfigError) as raised:
        load_templates([folder])
    for part in ("bad.yaml has 1 mistake(s)", "worse.yml is not valid YAML", "are both named 'knee-xray'"):
        assert part in str(raised.value)


def test_a_source_that_holds_nothing_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"holds no \.yaml file"):
        load_templates([tmp_path])
    with pytest.raises(ConfigError, match=r"missing\.yaml does not exist"):
        load_templates([tmp_path / "missing.yaml"])


def test_unknown_names_are_told_with_the_nearest():
    with pytest.raises(
        ConfigError, match=r"no report template 'chest-xry'. Did you mean 'chest-xray'\? Use auto or one"
    ):
        shipped().get("chest-xry")
    with pytest.raises(ConfigError, match=r"(?s)'spine'.*'foot'"):
        shipped().check(["auto", "spine", "generic", "foot", "spine"])


def test_a_shipped_template_stands_by_name_and_an_own_one_by_content(folder):
    assert shipped().key("ct-head") == "ct-head"
    assert shipped().key("auto") == "auto"
    before = load_templates([folder])
    assert before.key("ct-head") == "ct-head"
    (folder / "knee.yaml").write_text(OWN.replace("title: Knee", "title: Our knee"))
    after = load_templates([folder])
    assert before.key("knee-xray") != after.key("knee-xray")
    assert before.key("auto") != after.key("auto") != "auto"


def test_the_list_says_what_each_is_for_and_whose_it_is(folder):
    lines = listing(load_templates([folder])).splitlines()
    assert lines[0].split() == ["NAME", "TITLE", "FOR", "CRITICAL", "FINDINGS", "FROM"]
    assert len(lines) == 12
    assert any(line.startswith("knee-xray") and line.endswith("your own") for line in lines)
    assert any("chest-xray" in line and "X-ray: chest, lung, rib, …" in line for line in lines)
