// Hits as elements. Texts become text nodes alone: nothing of a document is ever read as HTML.

import { explained } from "/page/explaining.js";
import { pictured } from "/page/pictures.js";

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (value !== false && value !== null) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

// Marks count code points, and JavaScript's strings count UTF-16 units.
export function marked(text, marks, name = () => "") {
  const points = Array.from(text);
  const parts = [];
  let at = 0;
  for (const [start, end] of marks) {
    if (start < at || end > points.length) continue;
    parts.push(points.slice(at, start).join(""));
    const place = `${start}-${end}`;
    parts.push(element("mark", { "data-place": place, class: name(place) || null }, points.slice(start, end).join("")));
    at = end;
  }
  parts.push(points.slice(at).join(""));
  return parts;
}

// The same words, wherever they stand in the whole passage.
function marksIn(text, snippet) {
  const points = Array.from(snippet.text);
  const words = new Set(snippet.marks.map(([start, end]) => points.slice(start, end).join("").toLowerCase()));
  const found = [];
  let offset = 0;
  for (const part of text.split(/([\p{L}\p{N}\p{M}]+)/u)) {
    const length = Array.from(part).length;
    if (words.has(part.toLowerCase())) found.push([offset, offset + length]);
    offset += length;
  }
  return found;
}

function quoted(value) {
  return typeof value === "string" ? `'${value.replaceAll("'", "''")}'` : String(value);
}

function fieldName(key) {
  if (/^(id|title)$/.test(key)) return `metadata.${key}`;
  return `"${key.replaceAll('"', '""')}"`;
}

function facts(metadata, narrow) {
  const told = Object.entries(metadata).filter(([key]) => key !== "sha256");
  const shown = told.filter(([, value]) => ["string", "number", "boolean"].includes(typeof value));
  const items = shown.slice(0, 8).map(([key, value]) => {
    const text = `${key}: ${value}`;
    const label = `Only hits with ${text}`;
    const condition = `${fieldName(key)} = ${quoted(value)}`;
    const button = { type: "button", title: label, "aria-label": label, click: () => narrow(condition) };
    return element("li", {}, element("button", button, text.length > 60 ? `${text.slice(0, 57)}…` : text));
  });
  return items.length ? element("ul", { class: "facts", "aria-label": "Metadata" }, ...items) : "";
}

function thumbs(hit, name, judge) {
  const made = [["good", "Relevant", 1], ["bad", "Not relevant", 0]].map(([kind, word, grade]) =>
    element(
      "button",
      {
        type: "button", class: kind, "data-grade": grade, "aria-pressed": "false", "aria-label": `${word}: ${name}`,
        click: () => judge(hit.id, grade),
      },
      word,
    ),
  );
  return element("div", { class: "thumbs", role: "group", "aria-label": `Judge ${name}` }, ...made);
}

function origin(source) {
  const parts = [source.path?.split("/").pop(), source.page && `page ${source.page}`, source.line && `line ${source.line}`];
  return parts.filter(Boolean).join(", ");
}

// `actions` are narrow(condition), judge(id, grade) where this caller may judge, and show(path), which fetches a picture.
export function hitElement(hit, actions) {
  const name = hit.title || hit.id;
  const picture = hit.source.image && hit.source.sha256 ? pictured(hit, name, actions.show) : "";
  const passage = element("p", { class: "passage", dir: "auto" }, ...marked(hit.text, marksIn(hit.text, hit.snippet)));
  return element(
    "li",
    { class: "hit", tabindex: "-1", "data-id": hit.id, "aria-label": `${hit.rank}. ${name}` },
    element("h2", { dir: "auto" }, `${hit.rank}. ${name}`),
    element("p", { class: "source" }, `${hit.id} · ${hit.score.toFixed(4)}`, origin(hit.source) && ` · ${origin(hit.source)}`),
    picture,
    element("p", { class: "snippet", dir: "auto" }, ...marked(hit.snippet.text, hit.snippet.marks)),
    facts(hit.metadata, actions.narrow),
    hit.text ? element("details", { class: "whole" }, element("summary", {}, "Whole passage"), passage) : "",
    hit.explain ? explained(hit) : "",
    actions.judge ? thumbs(hit, name, actions.judge) : "",
  );
}

export function showGrades(list, grades) {
  for (const item of list.children) {
    const grade = grades[item.dataset.id];
    for (const button of item.querySelectorAll(".thumbs button")) {
      const pressed = grade !== undefined && Number(button.dataset.grade) === Math.min(grade, 1);
      button.setAttribute("aria-pressed", String(pressed));
    }
  }
}
