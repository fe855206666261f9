"""What tokens take on a GPU: as long as they lie there, and in passing; and whether that much is free."""

from typing import TYPE_CHECKING

from retr.index.late.codec import Codec
from retr.index.late.part import LatePart

if TYPE_CHECKING:
    import torch

SCRATCH = 1 << 30
"""Bytes that a search takes in passing, about half for what is of whole queries and half for a chunk of tokens."""
_USUAL = 32
"""Tokens of a query, as models of late interaction have them."""
_WIDEST = 8
"""Bytes of a number while it is compared, at most."""


def part_bytes(part: LatePart) -> int:
    """What a part's tokens take: the bytes of their files."""
    tokens = part.tokens
    codes = 0 if tokens.codes is None else tokens.codes.nbytes
    return codes + tokens.residuals.nbytes + tokens.offsets.nbytes


def codec_bytes(codec: Codec) -> int:
    """What a codec takes, which all parts on a GPU share."""
    return codec.centroids.nbytes + 256 * 8 * len(codec.levels)


def query_bytes(codec: Codec, width: int, documents: int) -> int:
    """What one query of so many tokens takes over so many documents: itself, its centroids' tables, its scores."""
    tables = len(codec.centroids) * width * (4 + 4 + 4 + 2 + _WIDEST)
    return width * (codec.dim * (1 + _WIDEST) + _WIDEST) + tables + documents * (8 + 8 + 8 + 8)


def scored_bytes(codec: Codec, lanes: int) -> int:
    """What a token takes while it is scored with so many query tokens: its bytes, its levels, its similarities."""
    return 8 + 32 + 5 * codec.width + codec.dim * (2 + _WIDEST) + lanes * (4 + 3 * _WIDEST)


def scanned_bytes(lanes: int) -> tuple[int, int]:
    """What a token takes while codes are scanned, and what a document takes beside: its largest bytes and their sum."""
    return 8 + 8 + 4, lanes * (2 + 4 + 2)


def passing_bytes(codec: Codec, documents: int) -> int:
    """What a search over so many documents takes: more than `SCRATCH` only where one query of them all does."""
    return max(SCRATCH, SCRATCH // 2 + query_bytes(codec, _USUAL, documents))


def shortage(part: LatePart, device: "torch.device", name: str) -> str:
    """Why a part does not fit beside what a search of it takes; empty where it does."""
    needed, passing = part_bytes(part) + codec_bytes(part.codec), passing_bytes(part.codec, len(part))
    free = free_bytes(device)
    if free is None or needed + passing <= free:
        return ""
    return (
        f"the tokens need {_told(needed)} and a search {_told(passing)} of {name}, which has {_told(free)} free; free "
        f"some, name another GPU, or make the tokens smaller with retr compact --bits 2"
    )


def free_bytes(device: "torch.device") -> int | None:
    """Bytes that torch may still take on a GPU; None for a device that is none."""
    import torch

    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return int(free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def _told(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
