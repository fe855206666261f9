"""Hits as people read them, and as JSON."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retr.index.collection import Collection
    from retr.retrieval.records import Hit


def hit_json(collection: "Collection", hit: "Hit", query: str) -> dict[str, Any]:
    """A hit as JSON has it, here and from `retr serve`."""
    snippet = collection.snippet(hit, query)
    table: dict[str, Any] = {
        **{name: getattr(hit, name) for name in ("id", "score", "rank", "title", "text")},
        "metadata": dict(hit.metadata),
        "source": dict(hit.source),
        "snippet": {"text": snippet.text, "marks": snippet.marks},
    }
    if hit.explain is not None:
        table["explain"] = dict(hit.explain)
    return table


def show(collection: "Collection", hits: "list[Hit]", query: str, *, full: bool) -> None:
    from rich.text import Text

    from retr.cli.output import cell, console, visible

    out = console()
    if not hits:
        out.print("No hits.")
    for hit in hits:
        out.print(_head(hit))
        shown = {"image", "width", "height"} <= hit.source.keys()
        if shown:
            out.print(Text(f"     {cell(_pictured(hit))}", style="dim"))
        if hit.text or not shown:
            out.print(Text("     ").append_text(_marked(collection, hit, query, full=full, colours=out.is_terminal)))
        if hit.explain is not None:
            for line in _explained(hit.explain):
                out.print(Text(f"     {visible(line)}", style="dim"))


def _head(hit: "Hit") -> Any:
    from rich.text import Text

    from retr.cli.output import cell

    head = Text(f"{hit.rank:>3}. ", style="dim").append(cell(hit.id), style="bold")
    head.append(f"  {hit.score:.4f}", style="dim")
    if hit.title:
        head.append(f"  {cell(hit.title)}", style="cyan")
    if "page" in hit.source:
        head.append(f"  page {hit.source['page']}", style="dim")
    return head


def _pictured(hit: "Hit") -> str:
    """Where a hit's picture is, and its size in pixels."""
    source = hit.source
    return f"{source['image']}, {source['width']} x {source['height']} pixels"


def _marked(collection: "Collection", hit: "Hit", query: str, *, full: bool, colours: bool) -> Any:
    from rich.text import Text

    from retr.cli.output import visible

    snippet = collection.snippet(hit, query, width=len(hit.text) + 1 if full else None)
    if not colours:
        return Text(visible(snippet.marked()))
    text = Text(visible(snippet.text))
    for start, end in snippet.marks:
        text.stylize("bold yellow", start, end)
    return text


def _explained(explain: Any) -> list[str]:
    lines = []
    for name, value in explain.items():
        if name == "mode":
            continue
        plain = {key: part for key, part in value.items() if key not in ("terms", "plan", "tokens", "words")}
        lines.append(f"{name}: {_listed(plain)}".rstrip())
        plan = value.get("plan", [])
        lines += [f"  plan: {plan}"] if isinstance(plan, str) else [f"  {_plan(part)}" for part in plan]
        lines += [f"  {term['term']}: {_listed(term, without='term')}" for term in value.get("terms", [])]
        lines += _words(value["words"]) if "words" in value else _tokens(value.get("tokens", []))
    return lines


def _listed(table: dict[str, Any], *, without: str = "") -> str:
    return ", ".join(f"{key} {part}" for key, part in table.items() if key != without)


def _plan(part: dict[str, Any]) -> str:
    """How one segment was searched, such as `part 1: exact scan, 40 of 402 rows (this part has vectors only)`."""
    if "part" not in part:
        return f"plan: {part['plan']}"  # a store's, which has no parts
    return f"part {part['part'] + 1}: {part['plan']}, {part['allowed']:,} of {part['rows']:,} rows ({part['why']})"


def _tokens(matched: list[dict[str, Any]]) -> list[str]:
    """What each token of the query matched, such as `red = red 0.971, see = Sea 0.802 (title)`."""
    named = [one for one in matched if one.get("query_span") is not None]
    if not named:
        return []
    others = [one["similarity"] for one in matched if one.get("query_span") is None]
    said = [_token(one) for one in named]
    said += [f"{len(others)} of no word {sum(others):.3f}"] if others else []
    return [f"  tokens: {', '.join(said)}"]


def _words(words: list[dict[str, Any]]) -> list[str]:
    """What each word matched in a picture, such as `red: 4 patches, most at 0,0 to 16,16 (0.994)`."""
    lines = []
    for word in words:
        best, count = word["patches"][0], len(word["patches"])
        left, top, right, bottom = best["box"]
        patches = f"{count} patch{'es' if count > 1 else ''}"
        at = f"most at {left},{top} to {right},{bottom} ({best['similarity']:.3f})"
        lines.append(f"  {word['word']}: {patches}, {at}")
    return lines


def _token(one: dict[str, Any]) -> str:
    place = " (title)" if one.get("field") == "title" else ""
    return f"{one['query']} = {one.get('token', one['place'])} {one['similarity']:.3f}{place}"
