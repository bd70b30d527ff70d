"""The web application passes question and picture on, answers in JSON, and explains what it refuses."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="needs the extra `serve`")
pytest.importorskip("python_multipart", reason="needs the extra `serve`")
from fastapi.testclient import TestClient

from kemm.serve.app import MAX_PICTURE, create_app
from kg.errors import UnreadableImage


@dataclass
class Answer:
    text: str

    def as_dict(self) -> dict[str, Any]:
        cited = {"head": "Italy", "relation": "capital", "tail": "Rome", "source": "<b>atlas</b>", "effect": 0.5}
        return {"answer": self.text, "confidence": 0.9, "known": True, "citations": [cited]}


class SizeTeller:
    """Answers with the question and the picture's size, so that a test sees what arrived."""

    def predict(self, *, image: Path | None, question: str) -> Answer:
        if image is None:
            return Answer(f"{question} without a picture")
        try:
            return Answer(f"{question} {Image.open(image).size}")
        except OSError:
            raise UnreadableImage("the picture can't be read") from None


@pytest.fixture
def client() -> TestClient:
    return TestClient(create_app(SizeTeller()))


def png(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


def test_question_and_picture_arrive(client: TestClient) -> None:
    said = client.post("/predict", data={"question": "How big?"}, files={"image": ("flag.png", png(7, 5))})
    assert said.status_code == 200
    assert said.json()["answer"] == "How big? (7, 5)"
    assert said.json()["citations"][0]["source"] == "<b>atlas</b>"


@pytest.mark.parametrize("files", [None, {"image": ("", b"")}, {"image": ("x.png", b"")}])
def test_a_form_without_a_picture_is_a_question_alone(client: TestClient, files: Any) -> None:
    # A browser sends an empty part without a name for a file that wasn't chosen.
    assert client.post("/predict", data={"question": "Who?"}, files=files).json()["answer"] == "Who? without a picture"


@pytest.mark.parametrize(
    ("question", "picture", "status", "error"),
    [
        ("  ", b"", 400, "empty question: say what to ask"),
        ("Who?", b"not a picture", 400, "the picture can't be read"),
        ("Who?", b"0" * (MAX_PICTURE + 1), 413, "the picture has more than 20 MB"),
    ],
)
def test_what_is_refused_is_explained(
    client: TestClient, question: str, picture: bytes, status: int, error: str
) -> None:
    said = client.post("/predict", data={"question": question}, files={"image": ("x.png", picture)})
    assert (said.status_code, said.json()) == (status, {"error": error})


def test_the_page_loads_nothing_from_elsewhere_and_sets_text_only_as_text(client: TestClient) -> None:
    page = client.get("/").text
    assert 'type="file"' in page and 'name="question"' in page
    assert "http://" not in page and "https://" not in page and "innerHTML" not in page


def test_health_says_ok(client: TestClient) -> None:
    assert client.get("/health").json()["status"] == "ok"
