// What matters among the hyperparameters of a search. The master takes a second or so to tell: it is asked when the
// section is opened and when the user asks again, and never by the polling.

import { call, Refused } from "./api.js";
import { effectFigure, scoreRange } from "./effects.js";
import { number, score, spread } from "./numbers.js";
import { $, element, headCell, list, percent, trialOpener } from "./parts.js";

const asked = new Map(); // part of the section: the question under way; answers to an earlier one are dropped

// `said` tells how it goes, and what went wrong in the master's own sentence; `found` is hidden where nothing was
async function ask([said, found], paths, show) {
  const question = {};
  asked.set(said, question);
  $(said).textContent = "The master works it out…";
  const [answers, refusal] = await answersTo(paths);
  if (asked.get(said) !== question) return;
  asked.delete(said);
  $(found).hidden = refusal !== null;
  if (refusal) $(said).textContent = refusal.message;
  else show(...answers);
}

async function answersTo(paths) {
  try {
    return [await Promise.all(paths.map((path) => call(`/searches/${location.hash.slice(1)}${path}`))), null];
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return [null, error];
  }
}

function askWhatMatters() {
  if (!asked.has("matters-said")) ask(["matters-said", "matters-found"], ["", "/importance"], showReport);
}

function showReport(search, report) {
  const space = search.stages.find((view) => view.stage === report.stage).space.parameters;
  const range = scoreRange(report.parameters);
  const items = report.parameters.map((row) => parameterItem(row, space[row.parameter], report.metric.name, range));
  $("matters-said").textContent = items.length ? basis(report) : "";
  list("matters-notes", "matters-notes", report.notes);
  $("effect-key").hidden = !items.length;
  $("effects").replaceChildren(...items);
  list("interaction-part", "interactions", report.interactions.map(together));
  offer(space);
}

function basis(report) {
  const stage = report.stage ? `, stage ${report.stage + 1}` : "";
  const fit = report.fit === null ? "" : `, R² ${report.fit.toFixed(2)} on trials left out`;
  return `${report.trials} trials${stage}${fit}`;
}

const share = (importance) => percent(Math.round(1000 * importance) / 1000);
const together = (pair) => `${pair.parameters.join(" and ")} matter together: ${share(pair.importance)} of the variance beyond both alone.`;

function parameterItem(row, distribution, metric, range) {
  const fill = element("i");
  fill.style.width = `${100 * row.importance}%`;
  const words = element("div", [
    element("div", [element("strong", row.parameter), element("span", `${share(row.importance)} of the variance`, "quiet")], "title"),
    element("div", fill, "bar"),
    element("p", row.advice),
    element("div", `trials: ${row.support.map((group) => `${group.value}: ${group.trials}`).join(", ")}`, "quiet support"),
  ]);
  return element("li", [words, effectFigure(row, distribution, metric, range)]);
}

// what the search varies can be compared; seeds are luck, not choices
function offer(space) {
  const names = Object.keys(space).filter((name) => space[name].kind !== "fixed" && name !== "seed");
  const chosen = $("compare-by").value;
  const options = names.map((name) => element("option", name));
  $("compare-by").replaceChildren(element("option", "–"), ...options);
  $("compare-by").firstChild.value = "";
  $("compare-by").value = names.includes(chosen) ? chosen : "";
  $("compare-part").hidden = !names.length;
  askComparison();
}

function askComparison() {
  const by = $("compare-by").value;
  if (by) {
    ask(["compare-said", "compare-found"], [`/compare?by=${encodeURIComponent(by)}`], showComparison);
    return;
  }
  asked.delete("compare-said");
  $("compare-said").textContent = "";
  $("compare-found").hidden = true;
}

function showComparison(comparison) {
  const heads = ["trials", "best", "± folds", "trial", `best of ${comparison.equal}`, "80 % range"];
  $("compare-said").textContent = comparison.sentence;
  $("nuisance").textContent = `${comparison.metric.name} by ${comparison.by}; optimised for each: ${comparison.nuisance.join(", ") || "nothing"}`;
  $("compare-columns").replaceChildren(headCell(comparison.by, true), ...heads.map((head) => headCell(head)));
  $("contenders").replaceChildren(...comparison.contenders.map(contenderRow));
}

function contenderRow(row) {
  const trial = row.best_trial === null ? "–" : trialOpener(row.best_trial);
  const range = row.low === null || row.high === null ? "–" : `${score(row.low)} to ${score(row.high)}`;
  const cells = [String(row.trials), score(row.best), spread(row.spread, row.best), trial, score(row.expected), range];
  return element("tr", [element("td", String(row.value), "text"), ...cells.map((content) => element("td", content))]);
}

// of another search: nothing of it stays, and answers under way are dropped
export function forgetMatters() {
  asked.clear();
  $("matters").open = false;
  $("matters-said").textContent = "";
  $("matters-found").hidden = true;
  $("compare-by").replaceChildren();
}

$("matters").addEventListener("toggle", () => {
  if ($("matters").open) askWhatMatters();
});
$("matters-again").addEventListener("click", askWhatMatters);
$("compare-by").addEventListener("change", askComparison);
