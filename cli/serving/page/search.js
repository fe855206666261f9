// Search as you type over POST /v1/search; what is asked stands in the address, so that it can be shared.

import { element, hitElement, showGrades } from "/page/hits.js";
import { asBase64 } from "/page/pictures.js";

const PAUSE_MILLISECONDS = 150;
const KEY = "retr-key";
const at = (id) => document.getElementById(id);
const [form, query, where, k, list, status, problem] = ["form", "query", "where", "k", "hits", "status", "problem"].map(at);
const [rerank, explain, image] = ["rerank", "explain", "image"].map(at);

let asking = new AbortController();
let timer = 0;
let index = { modes: ["hybrid", "dense", "lexical"], writable: false };
let shown = "";
let grades = {};

async function answered(path, body, signal) {
  const headers = { "Content-Type": "application/json" };
  const key = sessionStorage.getItem(KEY);
  if (key) headers.Authorization = `Bearer ${key}`;
  const answer = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal });
  if (answer.status === 401) {
    await askKey();
    return answered(path, body, signal);
  }
  if (!answer.ok) throw new Error((await answer.json()).error.message);
  return answer;
}

const call = async (path, body, signal) => (await answered(path, body, signal)).json();
const fetched = async (path) => (await answered(path, null, asking.signal)).blob();

let asked = null;
function askKey() {
  asked ??= new Promise((done) => {
    const dialog = at("ask-key");
    dialog.addEventListener(
      "close",
      () => {
        sessionStorage.setItem(KEY, at("key").value.trim());
        at("key").value = "";
        asked = null;
        done();
      },
      { once: true },
    );
    dialog.showModal();
  });
  return asked;
}

const mode = () => document.querySelector("input[name=mode]:checked")?.value ?? index.modes[0];

async function request() {
  const [file] = image.files;
  const asks = file ? { image: await asBase64(file) } : { query: query.value };
  const body = { ...asks, k: Number(k.value), mode: mode(), explain: explain.checked, rerank: rerank.checked };
  if (where.value.trim()) body.where = where.value;
  return body;
}

function remember(body) {
  const words = new URLSearchParams();
  if (body.query?.trim()) words.set("q", body.query);
  if (body.mode !== index.modes[0]) words.set("mode", body.mode);
  if (body.where) words.set("where", body.where);
  if (body.k !== 10) words.set("k", body.k);
  for (const name of ["explain", "rerank"]) if (body[name]) words.set(name, "1");
  history.replaceState(null, "", words.size ? `?${words}` : location.pathname);
}

async function search() {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  const body = await request();
  if (signal.aborted) return;
  remember(body);
  problem.textContent = "";
  where.removeAttribute("aria-invalid");
  if (!body.image && !body.query.trim()) {
    list.replaceChildren();
    status.textContent = "";
    return;
  }
  list.setAttribute("aria-busy", "true");
  try {
    const found = await call("/v1/search", body, signal);
    show(found);
    grades = judged() ? (await call(`/v1/judgements?${new URLSearchParams({ query: body.query })}`, null, signal)).grades : {};
    showGrades(list, grades);
  } catch (error) {
    if (error.name === "AbortError") return;
    problem.textContent = error.message;
    if (/filter/i.test(error.message)) where.setAttribute("aria-invalid", "true");
    status.textContent = "";
    list.replaceChildren();
  } finally {
    if (!signal.aborted) list.removeAttribute("aria-busy");
  }
}

function show(found) {
  const actions = { narrow, judge: judged() ? judge : null, show: fetched };
  shown = found.query;
  list.replaceChildren(...found.hits.map((hit) => hitElement(hit, actions)));
  const count = found.hits.length === 1 ? "1 hit" : `${found.hits.length} hits`;
  status.textContent = found.hits.length ? `${count} in ${found.took_ms.toFixed(0)} ms` : "No hits.";
}

// Thumbs are of a question in words.
const judged = () => index.writable && !image.files.length;

async function judge(id, grade) {
  const taken = grades[id] !== undefined && Math.min(grades[id], 1) === grade;
  try {
    grades = (await call("/v1/judgements", { query: shown, id, grade: taken ? null : grade })).grades;
    showGrades(list, grades);
  } catch (error) {
    problem.textContent = error.message;
  }
}

function narrow(condition) {
  where.value = where.value.trim() ? `(${where.value}) and ${condition}` : condition;
  at("more").open = true;
  search();
  query.focus();
}

function soon() {
  image.value = "";
  later();
}

function later() {
  clearTimeout(timer);
  timer = setTimeout(search, PAUSE_MILLISECONDS);
}

function move(step) {
  const items = [...list.children];
  const now = items.indexOf(document.activeElement?.closest(".hit"));
  const next = now + step;
  if (next < 0) query.focus();
  else items[Math.min(next, items.length - 1)]?.focus();
}

function onHit(event, hit) {
  const grade = { r: 1, n: 0 }[event.key];
  if (grade !== undefined && judged()) judge(hit.dataset.id, grade);
  else if (event.key === "Enter" && event.target === hit) hit.querySelector(".whole")?.toggleAttribute("open");
  else return false;
  return true;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || at("ask-key").open) return;
  const typing = event.target.matches("input[type=text], input[type=search], select");
  const hit = event.target.closest(".hit");
  let done = true;
  if (event.key === "ArrowDown" && (hit || event.target === query)) move(1);
  else if (event.key === "ArrowUp" && hit) move(-1);
  else if (event.key === "Escape" && event.target === query) { query.value = image.value = ""; search(); }
  else if (event.key === "/" && !typing) query.select();
  else done = hit && !typing ? onHit(event, hit) : false;
  if (done) event.preventDefault();
});

form.addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(timer); search(); });
query.addEventListener("input", soon);
where.addEventListener("input", later);
for (const field of [k, rerank, explain, image]) field.addEventListener("change", search);

function offerModes(chosen) {
  const made = index.modes.map((name) =>
    element(
      "label",
      { class: "choice" },
      element("input", { type: "radio", name: "mode", value: name, checked: name === chosen, change: search }),
      ` ${name}`,
    ),
  );
  at("modes").replaceChildren(...made);
}

async function start() {
  const words = new URLSearchParams(location.search);
  query.value = words.get("q") ?? "";
  where.value = words.get("where") ?? "";
  if ([...k.options].some((option) => option.value === words.get("k"))) k.value = words.get("k");
  for (const [name, box] of [["explain", explain], ["rerank", rerank]]) box.checked = words.has(name);
  at("more").open = ["where", "mode", "k", "explain", "rerank"].some((name) => words.has(name));
  query.focus();
  try {
    index = await call("/v1/index");
    const number = new Intl.NumberFormat("en");
    at("about").textContent = `${number.format(index.documents)} documents, ${number.format(index.passages)} passages`;
    at("asking").hidden = !index.images;
    at("rerank-choice").hidden = !index.reranker;
    rerank.checked &&= Boolean(index.reranker);
    offerModes(index.modes.includes(words.get("mode")) ? words.get("mode") : index.modes[0]);
    await search();
  } catch (error) {
    problem.textContent = error.message;
  }
}

start();
