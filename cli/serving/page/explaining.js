// Why a hit is where it is: the parts of its score as a tree, and which token matched which.

import { element, marked } from "/page/hits.js";
import { patchMap } from "/page/pictures.js";

function leaf(value) {
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : value.toPrecision(4);
  return value === null ? "–" : String(value);
}

function tree(value) {
  const items = Object.entries(value).map(([name, inner]) => {
    if (inner === null || typeof inner !== "object") {
      return element("li", {}, element("span", { class: "name" }, `${name}: `), leaf(inner));
    }
    const summary = element("summary", {}, name, "rank" in inner ? ` – rank ${leaf(inner.rank)}, score ${leaf(inner.score)}` : "");
    return element("li", {}, element("details", {}, summary, tree(inner)));
  });
  return element("ul", {}, ...items);
}

// A query token, when pointed at or focused, shows its match in the passage.
function tokenMap(hit, tokens) {
  const told = tokens.filter((one) => one.query_span && one.token !== undefined && one.field === "text");
  if (!told.length) return "";
  const places = [...new Map(told.map((one) => [one.span.join("-"), one.span])).values()].sort((a, b) => a[0] - b[0]);
  const passage = element("p", { class: "passage", dir: "auto" }, ...marked(hit.text, places));
  const show = (one) => {
    for (const mark of passage.querySelectorAll("mark")) {
      mark.classList.toggle("strong", mark.dataset.place === one.span.join("-"));
    }
  };
  const buttons = told.map((one) => {
    const text = `${one.query} → ${one.token} ${one.similarity.toFixed(2)}`;
    return element("button", { type: "button", focus: () => show(one), mouseenter: () => show(one) }, text);
  });
  return element(
    "details",
    { class: "map" },
    element("summary", {}, "Which token matched which"),
    element("div", { class: "tokens" }, ...buttons),
    passage,
  );
}

export function explained(hit) {
  const { tokens = [], words, ...late } = hit.explain.late ?? {};
  const made = tree(hit.explain.late ? { ...hit.explain, late: words ? late : hit.explain.late } : hit.explain);
  made.className = "tree";
  return element(
    "div",
    {},
    element("details", { class: "explain", open: true }, element("summary", {}, "Why is this hit here?"), made),
    words ? patchMap(hit, words) : tokenMap(hit, tokens),
  );
}
