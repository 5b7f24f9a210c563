// The data of a search: how each column was read, and what is odd. Asked for when the section is opened.

import { call, Refused } from "./api.js";
import { $, element, headCell, list, percent } from "./parts.js";

const MOST_COLUMNS = 200;
const HEADS = ["column", "as", "missing", "different", "values"];
const LEFT_OUT = ["rare", "index", "constant", "empty", "ignored"];
let shown = null; // the search whose data are there or asked for

async function askForData() {
  const search = location.hash.slice(1);
  if (shown === search) return;
  shown = search;
  $("data-said").textContent = "The master looks at the data…";
  try {
    const report = await call(`/searches/${search}/data`);
    if (shown === search) showData(report);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (shown === search) $("data-said").textContent = error.message;
  }
}

function showData({ data, target }) {
  const findings = [...(target ? target.findings : []), ...data.findings].sort((a, b) => b.is_warning - a.is_warning);
  const more = data.columns.length > MOST_COLUMNS ? `; the first ${MOST_COLUMNS} are shown` : "";
  $("data-said").textContent = `${data.source}: ${data.n_rows.toLocaleString("en")} rows, ${data.columns.length.toLocaleString("en")} columns${more}.`;
  list("data-findings", "data-findings", findings.map(sentence));
  $("data-heads").replaceChildren(...HEADS.map((head, i) => headCell(head, i !== 2 && i !== 3)));
  $("data-columns").replaceChildren(...data.columns.slice(0, MOST_COLUMNS).map((column) => row(column, data, target)));
  $("data-found").hidden = false;
}

function sentence(finding) {
  const parts = [finding.is_warning ? element("strong", "Look: ") : "", finding.sentence];
  return finding.setting ? [...parts, " To say otherwise: ", element("code", finding.setting), "."] : parts;
}

function row(column, data, target) {
  const fate = LEFT_OUT.includes(column.fate) ? `left out: ${column.fate}` : column.fate || column.kind;
  const values = column.low === null ? column.commonest.map(([value, count]) => `${value} (${count})`).join(", ") : `${column.low} to ${column.high}`;
  const cells = [
    element("td", column.name, "text"),
    element("td", target && target.names.includes(column.name) ? "target" : fate, "text"),
    element("td", column.n_missing ? percent(column.n_missing / data.n_rows) : "–"),
    element("td", column.n_distinct.toLocaleString("en")),
    element("td", values.length > 60 ? `${values.slice(0, 59)}…` : values, "text"),
  ];
  cells[1].title = column.why;
  return element("tr", cells);
}

// of another search: nothing of it stays, and answers under way are dropped
export function forgetData() {
  shown = null;
  $("data").open = false;
  $("data-found").hidden = true;
  $("data-said").textContent = "";
}

$("data").addEventListener("toggle", () => {
  if ($("data").open) askForData();
});
