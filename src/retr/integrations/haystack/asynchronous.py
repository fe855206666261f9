"""The asynchronous twin of a method: the same, in a thread, so that the event loop goes on."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


def in_thread(method: Callable[Given, Answer]) -> Callable[Given, Coroutine[Any, Any, Answer]]:
    """An `async def` with the parameters of the method."""

    @wraps(method)
    async def twin(*given: Given.args, **named: Given.kwargs) -> Answer:
        return await asyncio.to_thread(method, *given, **named)

    twin.__name__ = f"{method.__name__}_async"
    return twin
