"""The page in a real browser: typing, filtering, highlights, the explain tree, thumbs, keys, and a document's HTML."""

import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import retr
from retr.cli.serving.keys import Keys, read_keys
from retr.retrieval.runs import Qrels

sync_api = pytest.importorskip("playwright.sync_api", reason="needs the package 'playwright'")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium browser")

EVIL = '<img src=x onerror="document.title=1"><script>document.title=1</script> red'
DOCUMENTS = [
    retr.Document("fish", "The red 🐟 fish swims in cold water.", "A fish", {"year": 2020, "kind": "animal's"}),
    retr.Document("stone", "A red stone falls from the blue sky.", "", {"year": 2021, "kind": "thing"}),
    retr.Document("evil", EVIL, EVIL, {EVIL: EVIL}),
]


class Served:
    """A server in a thread of this process, and a browser's page that shows it."""

    def __init__(self, folder: Path, encoder: str, keys: Keys, documents: Sequence[retr.Document] = ()) -> None:
        from retr.cli.serving.running import listening_socket, serve
        from retr.cli.serving.service import Service
        from retr.cli.serving.settings import ServeSettings

        self.index = folder / "index"
        retr.create(self.index, encoder=encoder).add(documents or DOCUMENTS)
        settings = ServeSettings(index=self.index, port=0, writable=True, drain_wait_seconds=0.0)
        self.listening, started = listening_socket(settings), threading.Event()
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        threading.Thread(
            target=serve, args=(Service(settings), keys, self.listening), kwargs={"started": started.set}, daemon=True
        ).start()
        assert started.wait(30)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, models: dict[str, str]) -> Served:
    return Served(tmp_path_factory.mktemp("page"), models["encoder"], read_keys(None, environment={}, default="write"))


@pytest.fixture
def page(browser: Any, served: Served) -> Iterator[Any]:
    with browser.new_context() as context:
        context.set_default_timeout(60_000)
        made = context.new_page()
        problems: list[str] = []
        made.on("pageerror", lambda error: problems.append(str(error)))
        made.on(
            "console", lambda message: problems.append(message.text) if "Content Security" in message.text else None
        )
        made.goto(served.url)
        made.wait_for_selector("#modes input", state="attached")
        yield made
        assert problems == []


def ids(page: Any) -> list[str]:
    found: list[str] = page.eval_on_selector_all("#hits > li", "items => items.map(item => item.dataset.id)")
    return found


def expect(page: Any, wanted: list[str]) -> None:
    """Wait until exactly these hits are shown, in any order."""
    page.wait_for_function(
        "wanted => [...document.querySelectorAll('#hits > li')].map(i => i.dataset.id).sort().join() === wanted",
        arg=",".join(sorted(wanted)),
    )


def test_typing_searches_and_marks_the_words(page: Any) -> None:
    page.keyboard.type("cold water")  # the field has the focus
    page.wait_for_selector("#hits mark")
    assert ids(page)[0] == "fish"
    assert page.locator("#hits > li").first.locator(".snippet mark").all_text_contents() == ["cold", "water"]
    assert "hits in" in page.text_content("#status")
    assert page.url.endswith("?q=cold+water")


def test_modes_and_filters_narrow_and_a_wrong_filter_is_told(page: Any) -> None:
    page.fill("#query", "red")
    expect(page, ["fish", "stone", "evil"])
    page.click("#more > summary")
    page.check("input[name=mode][value=lexical]")
    page.fill("#where", "year >= 2021")
    expect(page, ["stone"])
    page.fill("#where", "year >>")
    page.wait_for_selector("#problem:not(:empty)")
    assert "filter is wrong" in page.text_content("#problem")
    assert page.get_attribute("#where", "aria-invalid") == "true"
    page.fill("#where", "")
    expect(page, ["fish", "stone", "evil"])
    page.click('[data-id=fish] .facts button:has-text("kind")')
    expect(page, ["fish"])
    assert page.input_value("#where") == "\"kind\" = 'animal''s'"
    page.reload()
    expect(page, ["fish"])
    assert page.is_checked("input[name=mode][value=lexical]")


def test_the_explain_tree_and_the_whole_passage_open(page: Any) -> None:
    page.fill("#query", "red fish")
    page.click("#more > summary")
    page.check("#explain")
    page.wait_for_selector(".tree")
    hit = page.locator("[data-id=fish]")
    assert "lexical – rank" in hit.locator(".tree").inner_text()
    hit.locator(".whole > summary").click()
    assert hit.locator(".passage mark").all_text_contents() == ["red", "fish"]
    assert hit.locator(".passage").text_content() == DOCUMENTS[0].text


def test_thumbs_by_mouse_and_key_write_qrels(page: Any, served: Served) -> None:
    page.fill("#query", "red sky")
    page.wait_for_selector("[data-id=stone] .good")
    page.click("[data-id=stone] .good")
    page.wait_for_selector("[data-id=stone] .good[aria-pressed=true]")
    page.focus("#query")
    page.keyboard.press("ArrowDown")
    first = ids(page)[0]
    assert page.evaluate("document.activeElement.dataset.id") == first
    page.keyboard.press("n")
    page.wait_for_selector(f"[data-id={first}] .bad[aria-pressed=true]")
    [grades] = Qrels.load(served.index.parent / "index.qrels.tsv").grades.values()
    assert grades == {"stone": 1, first: 0}
    page.keyboard.press("n")
    page.wait_for_selector(f"[data-id={first}] .bad[aria-pressed=false]")


def test_the_keyboard_reaches_all(page: Any) -> None:
    page.fill("#query", "red")
    expect(page, ["fish", "stone", "evil"])
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.id") == ids(page)[1]
    page.keyboard.press("Enter")
    assert page.locator("#hits > li").nth(1).locator(".whole").get_attribute("open") is not None
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "query"
    page.keyboard.press("Escape")
    expect(page, [])


def test_a_query_token_shows_what_it_matched(page: Any) -> None:
    tokens = [
        {"query": "red", "query_span": [0, 3], "token": "red", "field": "text", "span": [4, 7], "similarity": 0.9},
        {"query": "[MASK]", "query_span": None, "token": "fish", "field": "text", "span": [10, 14], "similarity": 0.1},
        {"query": "swim", "query_span": [4, 8], "token": "swims", "field": "text", "span": [15, 20], "similarity": 0.8},
    ]
    hit = {"id": "fish", "rank": 1, "score": 1.0, "title": "", "text": DOCUMENTS[0].text, "metadata": {}, "source": {}}
    hit |= {"snippet": {"text": "", "marks": []}, "explain": {"late": {"rank": 1, "score": 1.0, "tokens": tokens}}}
    show = """hit => import('/page/hits.js').then(hits => document.getElementById('hits').replaceChildren(
        hits.hitElement(hit, { narrow() {}, judge: null })))"""
    page.evaluate(show, hit)
    page.click(".map > summary")
    buttons = page.locator(".tokens button")
    assert buttons.all_text_contents() == ["red → red 0.90", "swim → swims 0.80"]
    assert page.locator(".map mark").all_text_contents() == ["red", "swims"]
    buttons.nth(1).focus()
    assert page.locator(".map mark.strong").all_text_contents() == ["swims"]


def test_a_documents_html_is_only_text(page: Any) -> None:
    page.fill("#query", "red")
    expect(page, ["fish", "stone", "evil"])
    assert page.locator("#hits img, #hits script").count() == 0
    assert page.title() == "Search – retr"
    assert page.locator("[data-id=evil] h2").text_content().endswith(EVIL)


def test_every_control_has_a_name_and_colours_have_contrast(page: Any) -> None:
    page.fill("#query", "red")
    expect(page, ["fish", "stone", "evil"])
    unnamed = page.evaluate(
        "[...document.querySelectorAll('input, select, button')].filter(one => !(one.labels?.length ||"
        " one.getAttribute('aria-label') || one.textContent.trim())).length"
    )
    assert unnamed == 0
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for selector in ("body", "#status", "summary", "mark", ".source", "button"):
            colours = page.evaluate(COLOURS, selector)
            assert contrast(*colours) >= 4.5, (scheme, selector, colours)


def test_a_key_is_asked_for_and_used(browser: Any, tmp_path: Path, models: dict[str, str]) -> None:
    key = "write-key-0123456789"
    served = Served(tmp_path, models["encoder"], read_keys(None, environment={"RETR_SERVE_KEYS": f"write:{key}"}))
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{served.url}/?q=fish")
        page.wait_for_selector("#ask-key[open]")
        page.fill("#key", key)
        page.keyboard.press("Enter")
        page.wait_for_selector("[data-id=fish]")
        assert key not in page.url


COLOURS = """selector => {
  const made = getComputedStyle(document.querySelector(selector));
  let below = document.querySelector(selector);
  while (getComputedStyle(below).backgroundColor === "rgba(0, 0, 0, 0)") below = below.parentElement;
  return [made.color, getComputedStyle(below).backgroundColor];
}"""


def contrast(one: str, other: str) -> float:
    """WCAG's contrast ratio of two CSS colours."""
    lights = sorted((luminance(one), luminance(other)))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
