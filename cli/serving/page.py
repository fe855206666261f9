"""The page: `GET /` and its few files, which search this server from a browser."""

from collections.abc import Mapping
from pathlib import Path

from fastapi import Request
from starlette.responses import Response

from retr.cli.serving.failures import Failure
from retr.cli.serving.parsing import Told, reply, router, service_of

FOLDER = Path(__file__).parent / "page"
FILES: Mapping[str, str] = {
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "search.js": "text/javascript; charset=utf-8",
    "hits.js": "text/javascript; charset=utf-8",
    "pictures.js": "text/javascript; charset=utf-8",
    "explaining.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

routes = router("Page")


class IndexTold(Told):
    """What the page may offer."""

    documents: int
    passages: int
    generation: int
    modes: list[str]
    encoder: str | None
    reranker: str | None
    writable: bool
    images: bool


@routes.get("/", include_in_schema=False)
async def page() -> Response:
    """The page itself."""
    return _file("index.html")


@routes.get("/page/{name}", include_in_schema=False)
async def part(name: str) -> Response:
    """A file of the page."""
    return _file(name)


@routes.get("/v1/index", response_model=IndexTold, summary="What is searched, and how")
async def index(request: Request) -> Response:
    """Counts, the modes that this index can be searched in, and whether this caller may judge and write."""
    service = service_of(request)
    manifest, models = service.collection.manifest, service.models
    vectors = [("hybrid", manifest.encoder or manifest.late), ("dense", manifest.encoder), ("late", manifest.late)]
    return reply(
        {
            "documents": manifest.live_documents,
            "passages": manifest.live_passages,
            "generation": manifest.generation,
            "modes": [*(mode for mode, held in vectors if held is not None), "lexical"],
            "encoder": next(iter(models.encoder_names), None),
            "reranker": service.reranker,
            "images": any(facts.reads_images for facts in manifest.encoders),
            "writable": request.scope.get("retr.scope") == "write",
        }
    )


def _file(name: str) -> Response:
    if name not in FILES:
        raise Failure(404, f"There is nothing at '/page/{name[:80]}'.", "not_found")
    return Response((FOLDER / name).read_bytes(), media_type=FILES[name], headers=HEADERS)
