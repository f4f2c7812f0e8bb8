import json

from benchmarks.volumes import main


def test_the_slice_with_the_lesion_is_the_one_reported(capsys):
    assert main(["--count", "2", "--slices", "12"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["volumes"] == 2
    assert result["reported_with_the_slice"] == result["with_its_position"] == 1.0
    assert result["chance"] == 0.083
