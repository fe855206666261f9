"""`GET /v1/image`: the picture of an indexed document, made anew; and pictures that ask, in the body of a search."""

import asyncio
import base64
import binascii
import io
import threading
from typing import TYPE_CHECKING, Annotated

from fastapi import Query, Request
from pydantic import Field
from starlette.responses import Response

from retr.cli.serving.failures import Failure
from retr.cli.serving.parsing import Text, router, service_of
from retr.index.collection import Collection
from retr.retrieval.errors import BadInput, Damaged, RetrError
from retr.retrieval.pictures import Picture, check_pillow, has_picture, picture_of

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_PIXELS = 16_000_000
"""Of a picture that asks: it comes from outside, and is decoded while others wait."""
SMALL = 256
"""Up to this edge pictures are sent as PNG, where JPEG would blur what little there is."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, max-age=86400",
}

routes = router("Search")

_decoding = threading.BoundedSemaphore(2)
"""A picture of the largest size takes some hundreds of MiB while it is made smaller."""


@routes.get(
    "/v1/image",
    summary="The picture of a document",
    response_class=Response,
    responses={200: {"content": {"image/png": {}, "image/jpeg": {}}, "description": "The picture."}},
)
async def image(
    request: Request,
    id: Annotated[Text, Query(max_length=512)],
    edge: Annotated[int, Query(ge=16, le=2048)] = 512,
) -> Response:
    """Upright and at most `edge` pixels wide and high, as PNG or JPEG. Only pictures that are as they were indexed."""
    data, kind = await asyncio.to_thread(_shown, service_of(request).collection, id, edge)
    return Response(data, media_type=kind, headers=HEADERS)


def asking(data: str) -> Picture:
    """The picture of a search, from base64. BadInput for what is none, or is too large to be asked with."""
    try:
        picture = Picture(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError):
        raise BadInput("The image is not base64. Send the bytes of a PNG or JPEG file so.") from None
    try:
        with _decoding:
            picture.open(MOST_PIXELS)
    except Damaged as error:
        raise BadInput(str(error)) from None
    return picture


Base64 = Annotated[str, Field(min_length=1, json_schema_extra={"contentEncoding": "base64"})]


def _shown(collection: Collection, id: str, edge: int) -> tuple[bytes, str]:
    """The picture as bytes, and their media type."""
    document = next(iter(collection.get([id])), None)
    if document is None or not has_picture(document):
        raise Failure(404, f"There is no document {id[:80]!r} with a picture.", "not_found")
    check_pillow()
    try:
        with _decoding:
            return _made_small(picture_of(document).open(), edge)
    except RetrError:  # its words may tell of folders here
        text = f"The picture of {id[:80]!r} cannot be shown: its file is gone, or is not the one that was indexed."
        raise Failure(404, text, "not_found") from None


def _made_small(image: "Image", edge: int) -> tuple[bytes, str]:
    """Nothing of the file but its pixels: no metadata, such as the place where a photograph was taken."""
    from PIL import Image as images

    small = image.convert("RGBA")
    small.thumbnail((edge, edge))
    flat = images.new("RGB", small.size, (255, 255, 255))
    flat.paste(small, mask=small.getchannel("A"))
    made, kind = io.BytesIO(), "PNG" if max(flat.size) <= SMALL else "JPEG"
    flat.save(made, kind, **({"quality": 85} if kind == "JPEG" else {}))
    return made.getvalue(), f"image/{kind.lower()}"
