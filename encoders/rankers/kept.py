"""The newest results by their text, so that a text that comes again is not read again."""

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """The newest texts' results, at most `most`; threads may share it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[str, Value] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        """Texts kept."""
        return len(self._values)

    def found(self, texts: Sequence[str]) -> dict[str, Value]:
        """What is kept of these texts, which now are the newest."""
        with self._lock:
            for text in texts:
                if text in self._values:
                    self._values.move_to_end(text)
            return {text: self._values[text] for text in texts if text in self._values}

    def keep(self, values: dict[str, Value]) -> None:
        """Add results; the oldest go."""
        with self._lock:
            for text, value in values.items():
                self._values[text] = value
                self._values.move_to_end(text)
            while len(self._values) > self._most:
                self._values.popitem(last=False)
