// What every part of the page is made of. All text goes in as text nodes, so nothing a user or a worker wrote is ever
// read as markup.

import { number } from "./numbers.js";

const SVG = "http://www.w3.org/2000/svg";

export const $ = (id) => document.getElementById(id);

export function element(name, content = "", className = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...[content].flat());
  return made;
}

export function drawn(name, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(text);
  return made;
}

export const short = (value) => (typeof value === "number" && !Number.isInteger(value) ? number(value) : Array.isArray(value) ? value.join(" × ") : String(value));
export const percent = (value) => (value === null ? "–" : `${number(100 * value, 2)} %`);

export function list(card, items, lines) {
  $(card).hidden = lines.length === 0;
  $(items).replaceChildren(...lines.map((line) => element("li", line)));
}

export function headCell(name, isText = false) {
  const cell = element("th", name, isText ? "text" : "");
  cell.scope = "col";
  return cell;
}

export function trialOpener(trial) {
  const opener = element("button", String(trial), "link");
  opener.type = "button";
  opener.dataset.trial = String(trial);
  opener.setAttribute("aria-label", `Diagnosis of trial ${trial}`);
  return opener;
}
