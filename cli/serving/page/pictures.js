// Pictures of hits, which patches of them each word matched, and a picture that asks.

import { element } from "/page/hits.js";

const SVG = "http://www.w3.org/2000/svg";
const [LEAST, HIGHEST, EDGE] = [192, 384, 768];

// The picture's own size is known before it is there, so that nothing moves when it comes.
export function pictured(hit, name, show) {
  const { width, height, sha256 } = hit.source;
  const made = element("img", { alt: `The picture of ${name}`, decoding: "async" });
  const words = new URLSearchParams({ id: hit.id, edge: EDGE, of: String(sha256).slice(0, 16) });
  show?.(`/v1/image?${words}`).then(
    (blob) => {
      const address = URL.createObjectURL(blob);
      made.addEventListener("load", () => URL.revokeObjectURL(address), { once: true });
      made.src = address;
    },
    (error) => {
      if (error.name !== "AbortError") made.alt = error.message;
    },
  );
  const shown = element("div", { class: "picture" }, made);
  const wide = Math.min(Math.max(width, LEAST), EDGE, (HIGHEST * width) / height);
  shown.style.width = `min(100%, ${Math.round(wide)}px)`;
  shown.style.aspectRatio = `${width} / ${height}`;
  return shown;
}

function overlay(hit) {
  const made = document.createElementNS(SVG, "svg");
  made.setAttribute("viewBox", `0 0 ${hit.source.width} ${hit.source.height}`);
  made.setAttribute("preserveAspectRatio", "none");
  made.setAttribute("aria-hidden", "true");
  return made;
}

// The more alike of the word's own patches are the brighter; the most alike has a frame.
function lights(patches) {
  const [most, least] = [patches[0].similarity, patches.at(-1).similarity];
  return patches.map(({ box: [left, top, right, bottom], similarity }, number) => {
    const made = document.createElementNS(SVG, "rect");
    const told = { x: left, y: top, width: right - left, height: bottom - top, "stroke-width": number ? 0 : 2 };
    told["fill-opacity"] = most > least ? (0.25 + (0.4 * (similarity - least)) / (most - least)).toFixed(2) : 0.5;
    for (const [key, value] of Object.entries(told)) made.setAttribute(key, value);
    return made;
  });
}

const place = ([left, top, right, bottom]) => `${left}, ${top} to ${right}, ${bottom}`;

// A word, when pointed at, focused or pressed, lights its patches in the hit's picture.
export function patchMap(hit, words) {
  const over = overlay(hit);
  const told = element("p", { class: "source", role: "status" });
  const buttons = words.map((one) =>
    element("button", { type: "button", "aria-pressed": "false" }, `${one.word} ${one.patches[0].similarity.toFixed(2)}`),
  );
  const light = (chosen) => {
    over.replaceChildren(...(chosen ? lights(chosen.patches) : []));
    buttons.forEach((button, number) => button.setAttribute("aria-pressed", String(words[number] === chosen)));
    const count = chosen?.patches.length;
    told.textContent = chosen
      ? `${chosen.word}: ${count} ${count === 1 ? "patch" : "patches"}, most at ${place(chosen.patches[0].box)}`
      : "";
  };
  buttons.forEach((button, number) => {
    for (const event of ["mouseenter", "focus", "click"]) button.addEventListener(event, () => light(words[number]));
  });
  const map = element(
    "details",
    { class: "map", open: true },
    element("summary", {}, "Which patches each word matched"),
    element("div", { class: "tokens words" }, ...buttons),
    told,
  );
  map.addEventListener("toggle", () => map.open || light(null));
  queueMicrotask(() => map.closest(".hit")?.querySelector(".picture")?.append(over));
  return map;
}

export function asBase64(file) {
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => done(reader.result.slice(reader.result.indexOf(",") + 1)));
    reader.addEventListener("error", () => failed(reader.error));
    reader.readAsDataURL(file);
  });
}
