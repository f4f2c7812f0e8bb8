import io

from fastapi import FastAPI
from starlette.testclient import TestClient

from assistant.ui.session import read_uploads
from assistant.ui.uploads import add_upload_route, forget, upload_root


def post(uploads, names, content=b"pixels", most=None):
    """Upload files through the route, in one request each."""
    app = FastAPI()
    add_upload_route(app, most=most)
    with TestClient(app) as client:
        return [client.post("/gradio_api/upload", files={"files": (name, io.BytesIO(content))}) for name in names]


def test_equal_files_of_two_people_are_two_files(uploads):
    first, second = (answer.json()[0] for answer in post(uploads, ["scan.png", "scan.png"]))
    assert first != second
    assert first.endswith("scan.png")
    forget([first])
    with open(second, "rb") as stream:
        assert stream.read() == b"pixels"


def test_a_file_that_was_read_leaves_no_folder(uploads, make_picture):
    buffer = io.BytesIO()
    make_picture(1).to_pil().save(buffer, "PNG")
    (answer,) = post(uploads, ["scan.png"], buffer.getvalue())
    read_uploads(answer.json())
    assert list(upload_root().iterdir()) == []


def test_what_is_no_upload_is_never_deleted(uploads, tmp_path):
    shipped = tmp_path / "example.png"
    shipped.write_bytes(b"an example")
    inside = uploads / "previews" / "shown.png"
    inside.parent.mkdir()
    inside.write_bytes(b"a preview")
    forget([str(shipped), str(inside), str(upload_root() / ".." / "previews" / "shown.png")])
    assert shipped.exists()
    assert inside.exists()


def test_too_large_a_file_is_refused_and_leaves_nothing(uploads):
    (answer,) = post(uploads, ["large.png"], b"x" * 5000, most=1000)
    assert answer.status_code == 413
    assert "maximum allowed size" in answer.text
    assert list(upload_root().iterdir()) == []


def test_a_name_cannot_lead_out_of_the_folder(uploads):
    (answer,) = post(uploads, ["../../../etc/passwd"])
    assert str(upload_root()) in answer.json()[0]
    assert ".." not in answer.json()[0]
