"""The web application: a page to ask on, ``POST /predict`` for programs, ``GET /health`` for watchers.

Handlers run in the event loop, so questions are answered one after the other in the thread that loaded the model and
opened the store; neither is made to be used by two at once.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any, Protocol

from fastapi import FastAPI, File, Form, HTTPException, Request, UploadFile
from fastapi.responses import HTMLResponse, JSONResponse

from kemm import __version__
from kemm.cli.screen import plain
from kg.errors import InputError, KemmError

MAX_PICTURE = 20 * 2**20  # bytes; a phone's photo has 2 to 8 MB


class Predicts(Protocol):
    """What the page needs of a predictor."""

    def predict(self, *, image: Path | None, question: str) -> Any: ...


def create_app(predictor: Predicts) -> FastAPI:
    """The application over one loaded predictor.

    ``POST /predict`` takes a form with ``question`` and, optionally, ``image``, and answers what
    ``kemm predict --json`` prints; what the user can mend is status 400 or 413 with ``{"error": one line}``.
    """
    app = FastAPI(title="kemm", version=__version__, docs_url=None, redoc_url=None)
    page = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")

    @app.get("/", response_class=HTMLResponse)
    async def ask() -> str:
        return page

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok", "version": __version__}

    @app.post("/predict")
    async def predict(
        question: Annotated[str, Form()] = "", image: Annotated[UploadFile | None, File()] = None
    ) -> JSONResponse:
        if not question.strip():
            raise InputError("empty question: say what to ask")
        content = await image.read(MAX_PICTURE + 1) if image is not None else b""
        if len(content) > MAX_PICTURE:
            raise HTTPException(413, f"the picture has more than {MAX_PICTURE // 2**20} MB")
        if not content:  # a form without a chosen file sends an empty one
            return JSONResponse(plain(predictor.predict(image=None, question=question).as_dict()))
        with tempfile.TemporaryDirectory(prefix="kemm-") as folder:
            path = Path(folder) / "picture"
            path.write_bytes(content)
            return JSONResponse(plain(predictor.predict(image=path, question=question).as_dict()))

    @app.exception_handler(KemmError)
    async def refuse(_: Request, error: KemmError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, status_code=400)

    @app.exception_handler(HTTPException)
    async def explain(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)}, status_code=error.status_code)

    return app
