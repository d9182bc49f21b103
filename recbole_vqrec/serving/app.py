"""A run folder as an HTTP service: recommendations, similar items, new items, health, metrics, and a page to try it."""

import asyncio
import contextlib
import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio.to_thread
from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.middleware.trustedhost import TrustedHostMiddleware

from recbole_vqrec import __version__
from recbole_vqrec.errors import AbsentError, PresentError, UnavailableError, VQRecError
from recbole_vqrec.serving import bodies
from recbole_vqrec.serving.guards import CountRequests, LimitSize, Metrics

LOOPBACK = ("127.0.0.1", "localhost", "::1")
THREADS = 4  # requests computed at once; more would only wait for each other on a few cores
ERRORS = {
    400: {"model": bodies.ErrorResponse, "description": "Not JSON, or a wrong host"},
    413: {"model": bodies.ErrorResponse, "description": "Too large"},
    422: {"model": bodies.ErrorResponse, "description": "Not valid"},
    503: {"model": bodies.ErrorResponse, "description": "The run folder is damaged or cannot be written"},
}
READ_ERRORS = {status: ERRORS[status] for status in (400, 503)}
STATUS = {PresentError: 409, AbsentError: 404, UnavailableError: 503}  # of other errors 422
WRITE_ERRORS = {
    **ERRORS,
    401: {"model": bodies.ErrorResponse, "description": "No or a wrong token"},
    403: {"model": bodies.ErrorResponse, "description": "Writes are off"},
}


def create_app(recommender, host="127.0.0.1", token=None):
    """Return the service of a run.

    Args:
        recommender (Recommender): the run; what other processes write into its folder is taken over.
        host (str): where it listens. On a loopback address writes need no token unless one is given, and only
            requests to a loopback name are answered; elsewhere there are no writes without a token.
        token (str, optional): bearer token of writes.

    Returns:
        FastAPI: the application.
    """
    title = {"title": "recbole-vqrec", "version": __version__, "description": "Recommendations of a trained run."}
    app = FastAPI(**title, lifespan=_few_threads)
    metrics, bearer = Metrics(), HTTPBearer(auto_error=False, description="needed for writes where a token is set")
    writable = bool(token) or host in LOOPBACK
    # the language model takes one caller at a time: others wait here, and not in the threads of recommendations
    adding = ThreadPoolExecutor(1)

    app.add_middleware(LimitSize, most=bodies.MOST_BYTES)
    if host in LOOPBACK:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]"])
    app.add_middleware(CountRequests, metrics=metrics)

    def newest():
        recommender.refresh()
        return recommender

    def may_write(credentials: HTTPAuthorizationCredentials | None = Depends(bearer)):
        if not writable:
            raise HTTPException(403, "writes are off: this host is not loopback and the service has no --token")
        given = credentials.credentials if credentials else ""
        if token and not secrets.compare_digest(given.encode("utf-8", "replace"), token.encode()):
            raise HTTPException(401, "a write needs the service's bearer token", {"WWW-Authenticate": "Bearer"})

    @app.exception_handler(RequestValidationError)
    def _not_valid(request: Request, error: RequestValidationError):
        faults = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:3]]
        return JSONResponse({"detail": _printable("; ".join(faults))}, 422)

    @app.exception_handler(VQRecError)
    def _bad_input(request: Request, error: VQRecError):
        status = next((status for kind, status in STATUS.items() if isinstance(error, kind)), 422)
        return JSONResponse({"detail": _printable(str(error))}, status)

    @app.post("/recommend", response_model=bodies.RecommendResponse, responses=ERRORS)
    def recommend(body: bodies.RecommendRequest):
        """Return the best items for each history."""
        served = newest()
        users = list(range(len(body.histories)))
        found = served.recommend_for(
            users, body.histories, body.k, body.filter_seen, body.candidates, body.unknown, notes=False
        )
        popular = set(found.attrs["by_popularity"])
        metrics.unknown.inc(found.attrs["unknown_items"])
        metrics.popular.inc(len(popular))
        recommendations = [{"basis": "popularity" if user in popular else "history", "items": []} for user in users]
        for user, rank, item, score in found.itertuples(index=False):
            recommendations[user]["items"].append(_scored(served, rank, item, score))
        return {"recommendations": recommendations, "unknown_items": found.attrs["unknown_items"]}

    @app.get("/similar/{item:path}", response_model=bodies.SimilarResponse, responses={**ERRORS, 404: ERRORS[422]})
    def similar(item: str, k: int = Query(10, ge=1, le=1000)):
        """Return the items nearest to an item."""
        served = newest()
        if item not in served.served.row:
            raise HTTPException(404, "no such item")
        rows = served.similar_items(item, k).itertuples(index=False)
        return {"items": [_scored(served, rank, name, score) for rank, name, score in rows]}

    @app.get("/items", response_model=bodies.FoundResponse, responses=ERRORS)
    def find(text: str = Query("", max_length=200), limit: int = Query(10, ge=1, le=100)):
        """Return items whose text or id holds a piece of text."""
        return {"items": [{"item": item, "text": found} for item, found in newest().find_items(text, limit)]}

    @app.post(
        "/items", status_code=201, response_model=bodies.CatalogueResponse, dependencies=[Depends(may_write)],
        responses={**WRITE_ERRORS, 409: {"model": bodies.ErrorResponse, "description": "There already"}},
    )  # fmt: skip
    async def add(body: bodies.AddRequest):
        """Make new items recommendable by their texts; they are in the run folder when this returns."""

        def added():
            return newest().add_items(body.items, persist=True)

        return _changed(await asyncio.get_running_loop().run_in_executor(adding, added))

    @app.delete(
        "/items/{item:path}", response_model=bodies.CatalogueResponse, dependencies=[Depends(may_write)],
        responses={**WRITE_ERRORS, 404: ERRORS[422]},
    )  # fmt: skip
    def remove(item: str):
        """Stop recommending an item."""
        newest().remove_items([item], persist=True)
        return _changed([item])

    def _changed(items):
        return {"changed": items, "items": recommender.catalogue.recommended}

    @app.get("/health", response_model=bodies.HealthResponse, responses=READ_ERRORS)
    def health():
        """Return what is served."""
        catalogue = newest().catalogue
        return {
            "status": "ok",
            "model": recommender.config["model"],
            "dataset": recommender.config["dataset"],
            "items": catalogue.recommended,
            "writable": writable,
        }

    @app.get("/metrics", response_class=PlainTextResponse, responses=READ_ERRORS)
    def prometheus():
        """Return the service's numbers for Prometheus."""
        metrics.items.set(newest().catalogue.recommended)
        return PlainTextResponse(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    def page():
        """Return the page to try it."""
        return (Path(__file__).parent / "page.html").read_text(encoding="utf-8")

    return app


@contextlib.asynccontextmanager
async def _few_threads(app):
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    yield


def _scored(recommender, rank, item, score):
    return {"rank": rank, "item": item, "score": float(score), "text": recommender.text_of(item)}


def _printable(text):
    """Return a text that UTF-8 can hold; a request may contain halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode()
