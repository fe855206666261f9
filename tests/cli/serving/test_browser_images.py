"""The page over an index of images, in a browser: pictures, the patches that a word lights, a picture that asks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.colours import draw, make_colours

from retr.cli.serving.keys import read_keys
from retr.retrieval.pictures import picture_document

from .test_browser import CHROMIUM, Served, browser, ids

__all__ = ["browser"]

pytest.importorskip("onnx")
pytest.importorskip("PIL")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium browser")]

KEY = "read-key-0123456789"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    draw(folder / "red.png", "red")
    draw(folder / "both.png", "red", "blue")
    return folder


@pytest.fixture
def page(browser: Any, photos: Path, tmp_path: Path) -> Iterator[Any]:
    """The page of a server that wants a key, which it was given."""
    documents = [picture_document(name, root=photos) for name in ("red.png", "both.png")]
    keys = read_keys(None, environment={"RETR_SERVE_KEYS": f"read:{KEY}"})
    served = Served(tmp_path, f"filip={make_colours(tmp_path / 'model')}", keys, documents)
    with browser.new_context() as context:
        context.set_default_timeout(60_000)
        made = context.new_page()
        problems: list[str] = []
        made.on("pageerror", lambda error: problems.append(str(error)))
        made.on(
            "console", lambda message: problems.append(message.text) if "Content Security" in message.text else None
        )
        made.goto(f"{served.url}/?q=red+and+blue&mode=late&explain=1")
        made.wait_for_selector("#ask-key[open]")
        made.fill("#key", KEY)
        made.keyboard.press("Enter")
        made.wait_for_selector("[data-id='both.png'] .picture img[src]")
        yield made
        assert problems == []


def test_a_word_lights_its_patches_in_the_picture(page: Any) -> None:
    assert ids(page) == ["both.png", "red.png"]
    hit = page.locator("[data-id='both.png']")
    page.wait_for_function(
        "() => { const one = document.querySelector('.picture img'); return one.complete && one.naturalWidth === 64; }"
    )
    buttons = hit.locator(".words button")
    assert [text.split()[0] for text in buttons.all_text_contents()] == ["red", "and", "blue"]
    buttons.nth(2).focus()
    boxes = "all => all.map(one => ['x', 'y', 'width', 'height'].map(name => +one.getAttribute(name)).join())"
    lit = hit.locator(".picture rect").evaluate_all(boxes)
    assert sorted(lit) == ["32,0,16,16", "32,16,16,16", "48,0,16,16", "48,16,16,16"]
    assert buttons.nth(2).get_attribute("aria-pressed") == "true"
    assert "blue: 4 patches" in hit.locator(".map [role=status]").text_content()
    buttons.nth(0).hover()
    assert "0,0,16,16" in hit.locator(".picture rect").evaluate_all(boxes)
    picture, over = (hit.locator(f".picture {what}").bounding_box() for what in ("img", "svg"))
    assert picture == over and picture["width"] >= 192
    hit.locator(".map > summary").click()
    page.wait_for_function("() => !document.querySelector('.picture rect')")  # told of its closing a moment later


def test_a_picture_asks(page: Any, tmp_path: Path) -> None:
    page.set_input_files("#image", draw(tmp_path / "asked.png", "red"))
    page.wait_for_function("() => document.querySelector('#hits > li')?.dataset.id === 'red.png'")
    assert page.locator(".hit .map").count() == 0 and page.locator(".thumbs").count() == 0
    page.fill("#query", "blue")
    page.wait_for_function("() => document.querySelector('#hits > li')?.dataset.id === 'both.png'")
    assert page.evaluate("document.getElementById('image').files.length") == 0
