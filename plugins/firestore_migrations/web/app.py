"""The application: its routes, the headers of every answer, and what becomes of an error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, HTTPException, Request, status
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as AnyHTTPException

from firestore_migrations.errors import (
    ConfigurationError,
    FirestoreMigrationsError,
    Refused,
    StorageError,
    Unavailable,
    UnknownVersion,
)
from firestore_migrations.web import actions, pages
from firestore_migrations.web.rendering import STATIC, render

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'self'; base-uri 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_STATUS: tuple[tuple[type[FirestoreMigrationsError], int], ...] = (
    (Unavailable, status.HTTP_503_SERVICE_UNAVAILABLE),
    (UnknownVersion, status.HTTP_404_NOT_FOUND),
    (Refused, status.HTTP_409_CONFLICT),
    (StorageError, status.HTTP_503_SERVICE_UNAVAILABLE),
    (ConfigurationError, status.HTTP_400_BAD_REQUEST),
)

app = FastAPI(title="Firestore migrations", docs_url=None, redoc_url=None, openapi_url=None)
app.mount("/static", StaticFiles(directory=STATIC), name="static")
app.include_router(pages.router)
app.include_router(actions.router)


@app.middleware("http")
async def set_headers(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
    """Every answer: nothing from elsewhere is loaded, nobody else may frame it, and data is kept nowhere."""
    response = await answer(request)
    headers = dict(_HEADERS)
    if "/static/" in request.url.path:
        headers["Cache-Control"] = "max-age=31536000, immutable"  # their addresses change with their contents
    for name, value in headers.items():
        response.headers[name] = value
    return response


@app.exception_handler(FirestoreMigrationsError)
def of_ours(request: Request, error: FirestoreMigrationsError) -> Response:
    """An error of ours: what happened, and what to do next."""
    code = next((code for kind, code in _STATUS if isinstance(error, kind)), status.HTTP_500_INTERNAL_SERVER_ERROR)
    return _refusal(request, code, error.what, error.next_step)


@app.exception_handler(AnyHTTPException)
def of_http(request: Request, error: HTTPException) -> Response:
    """Who is not logged in, may not do that, or has followed a wrong link."""
    return _refusal(request, error.status_code, str(error.detail))


@app.exception_handler(RequestValidationError)
def of_bad_input(request: Request, _error: RequestValidationError) -> Response:
    """A link with a value that it cannot have."""
    what = "This address has a value that it cannot have."
    return _refusal(request, status.HTTP_400_BAD_REQUEST, what, "Go back, and follow the links of the page.")


@app.exception_handler(Exception)
def of_a_defect(request: Request, _error: Exception) -> Response:
    """A defect of this page; the server's log says which."""
    what = "This page has a defect; nothing was changed by looking at it."
    next_step = "The log of Airflow's API server says more; please report it. The terminal shows the same: "
    return _refusal(request, status.HTTP_500_INTERNAL_SERVER_ERROR, what, f"{next_step}`firestore-migrations status`.")


def _refusal(request: Request, code: int, what: str, next_step: str = "") -> Response:
    return render(request, "error.html", {"what": what, "next_step": next_step, "code": code}, code)
