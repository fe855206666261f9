"""Image-text retrieval from two files of vectors, such as `retr encode` writes."""

from pathlib import Path
from typing import TYPE_CHECKING

from retr.cli.evaluating.asked import Asked, no_metric
from retr.cli.evaluating.showing import Result

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def results(asked: Asked) -> list[Result]:
    """Recall in both directions, by cosine."""
    from retr.retrieval.embeddings import Vectors
    from retr.retrieval.errors import BadInput
    from retr.retrieval.evaluation.bootstrap import mean_intervals
    from retr.retrieval.evaluation.image_text import evaluate_image_text
    from retr.retrieval.scoring import cosine

    no_metric(asked, "recall at 1, 5 and 10 in both directions and their sum")
    if asked.images is None or asked.captions is None:
        raise BadInput("--images and --captions go together: a file of vectors each.")
    images, captions = _vectors(asked.images), _vectors(asked.captions)
    owners = _owners(asked.image_of, len(images), len(captions))
    found = evaluate_image_text(cosine(Vectors(images), Vectors(captions)), owners)
    per_query = {
        name: {f"{'image' if name.startswith('text') else 'text'} {row}": float(one) for row, one in enumerate(values)}
        for name, values in found.per_query.items()
    }
    counts = {"images": found.images, "texts": found.texts}
    return [
        Result(
            "",
            found.means,
            counts,
            per_query,
            lambda settings: mean_intervals(per_query, settings),
            {"task": "image-text"},
        )
    ]


def _vectors(path: Path) -> "NDArray[np.float32]":
    import numpy as np

    from retr.retrieval.errors import BadInput, NotFound

    if not path.is_file():
        raise NotFound(f"No file {str(path)!r}. Give a .npy file of vectors [rows, dim].")
    try:
        values = np.load(path, allow_pickle=False)
        array = np.ascontiguousarray(values, dtype=np.float32)
    except (ValueError, EOFError, TypeError) as error:
        raise BadInput(
            f"{str(path)!r} is no .npy file of numbers ({error}). Make it with numpy or retr encode."
        ) from None
    if array.ndim != 2 or not len(array):
        raise BadInput(f"{str(path)!r} has the shape {list(array.shape)}; vectors [rows, dim] are needed.")
    return array


def _owners(path: Path | None, images: int, captions: int) -> list[int]:
    """The row of each text's image: a number a line of the file, or as many texts for each image, in order."""
    from retr.retrieval.errors import BadInput, NotFound

    if path is None:
        if captions % images:
            raise BadInput(
                f"{captions} texts do not share out over {images} images. Say which image each is of with --image-of."
            )
        return [row // (captions // images) for row in range(captions)]
    if not path.is_file():
        raise NotFound(f"No file {str(path)!r}. Give a text file with the number of an image, from 0, on each line.")
    lines = path.read_text(encoding="utf-8", errors="replace").split()
    wrong = next((line for line in lines if not (line.isascii() and line.isdigit() and len(line) < 10)), None)
    if wrong is not None:
        raise BadInput(f"{str(path)!r} holds {wrong[:40]!r}; the number of an image, from 0, is needed on each line.")
    return [int(line) for line in lines]
