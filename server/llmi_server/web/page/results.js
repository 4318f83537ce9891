// What answers look like.

import { make } from "./elements.js";

const COLOURS = 6;
const percent = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const decimal = new Intl.NumberFormat("en", { maximumFractionDigits: 4 });

/** Rows with a name, a bar and a share between 0 and 1. */
export function bars(rows, title) {
  const list = make("ol", { class: "bars" });
  for (const { name, share, below } of rows) {
    const bar = make("span", { class: "bar", "aria-hidden": "true" });
    bar.style.setProperty("--share", Math.max(0, Math.min(1, share)));
    const number = make("span", { class: "number" }, percent.format(share));
    list.append(
      make("li", {}, make("span", { class: "name" }, name), bar, number, below ? make("span", { class: "below" }, below) : null),
    );
  }
  return make("div", { class: "block" }, title ? make("h3", {}, title) : null, list);
}

/** Candidates for each mask: a list for one mask, a list of lists for several. */
export function candidates(content) {
  const several = Array.isArray(content[0]);
  return (several ? content : [content]).map((found, place) =>
    bars(
      found.map((one) => ({ name: one.token_str.trim() || one.token_str, share: one.score, below: one.sequence })),
      several ? `Mask ${place + 1}` : null,
    ),
  );
}

/** Classes with their scores; those of a regression are not shares. */
export function classes(content) {
  const found = content.flat();
  if (found.every((one) => one.score >= 0 && one.score <= 1))
    return [bars(found.map((one) => ({ name: one.label, share: one.score })))];
  const rows = found.map((one) => make("li", {}, make("span", { class: "name" }, one.label), make("span", { class: "number" }, decimal.format(one.score))));
  return [make("ol", { class: "bars plain" }, ...rows)];
}

/** The text with its entities marked. Places count characters as the server does, not JavaScript's halves of them. */
export function entities(content, { inputs }) {
  const characters = Array.from(inputs);
  const colours = new Map();
  const text = make("p", { class: "marked" });
  let end = 0;
  for (const one of [...content].sort((a, b) => a.start - b.start)) {
    if (one.start < end) continue;
    const label = one.entity_group ?? one.entity;
    if (!colours.has(label)) colours.set(label, colours.size % COLOURS);
    text.append(characters.slice(end, one.start).join(""));
    text.append(
      make(
        "mark",
        { "data-colour": colours.get(label) },
        characters.slice(one.start, one.end).join(""),
        make("span", { class: "label" }, `${label} ${percent.format(one.score)}`),
      ),
    );
    end = one.end;
  }
  text.append(characters.slice(end).join(""));
  const count = content.length === 1 ? "1 entity" : `${content.length} entities`;
  return [text, make("p", { class: "note" }, content.length ? `${count} found.` : "No entity found.")];
}

/** How alike two texts are. */
export function similarity([first, second]) {
  const dot = (a, b) => a.reduce((sum, value, place) => sum + value * b[place], 0);
  const cosine = dot(first, second) / (Math.sqrt(dot(first, first)) * Math.sqrt(dot(second, second)) || 1);
  const start = (vector) => `${vector.slice(0, 4).map((value) => decimal.format(value)).join(", ")}${vector.length > 4 ? ", …" : ""}`;
  const scale = make("div", { class: "scale", "aria-hidden": "true" });
  scale.style.setProperty("--place", (Math.max(-1, Math.min(1, cosine)) + 1) / 2);
  return [
    make("p", { class: "figure" }, make("span", { class: "note" }, "Cosine similarity"), make("strong", {}, cosine.toFixed(3))),
    scale,
    make("p", { class: "ends note", "aria-hidden": "true" }, make("span", {}, "−1 opposite"), make("span", {}, "0 unrelated"), make("span", {}, "1 the same")),
    make("p", { class: "note" }, `${first.length} dimensions. They begin with ${start(first)} and ${start(second)}.`),
  ];
}

/** Documents, best first. */
export function ranking(content, { inputs }) {
  return [bars(content.map((one) => ({ name: inputs.texts[one.index], share: one.score, below: `was number ${one.index + 1}` })))];
}
