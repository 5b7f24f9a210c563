// The page polls the API every two seconds.

import { forgetAnswers, showAnswers } from "./answers.js";
import { call, Refused } from "./api.js";
import { forgetData } from "./data.js";
import { forgetMatters } from "./matters.js";
import { score, spread } from "./numbers.js";
import { $, element, headCell, list, short, trialOpener } from "./parts.js";
import { fillBar, ofTrials, progressLine, span } from "./progress.js";
import { signIn, signOut, takeCodeFromAddress } from "./session.js";
import { hideTrial, showTrial } from "./trial.js";

const PERIOD_MS = 2000;
const SEARCHES = 50; // shown at first, and more with each click
const MOST_SEARCHES = 1000;
let shownSearches = SEARCHES;
let timer = 0;
let openTrial = null; // of the search that is shown: [search, number]
let round = 0; // answers of an earlier view are dropped
let isSignedIn = false;

const chip = (state) => element("span", state === "undefined" ? "metric undefined" : state, `state ${state}`);

function duration(search) {
  if (!search.started_at) return "–";
  const end = search.finished_at ? new Date(search.finished_at) : new Date();
  return span((end - new Date(search.started_at)) / 1000);
}

function searchCard(search) {
  const card = element("a", [], "card");
  card.href = `#${encodeURIComponent(search.id)}`;
  const bar = element("div", [], "bar");
  bar.setAttribute("aria-label", `Epochs of ${search.id} trained`);
  fillBar(bar, search);
  const best = score(search.best && search.best.score);
  card.append(
    element("div", [element("strong", search.id), chip(search.state)], "title"),
    element("p", `${search.method} on ${search.dataset}, ${ofTrials(search.progress)}`, "quiet"),
    element("div", [element("span", `best ${search.metric.name}`, "quiet"), element("span", best, "best")], "title"),
    bar,
  );
  return element("li", card);
}

async function showSearches() {
  const searches = await call(`/searches?limit=${shownSearches}`);
  return () => {
    $("no-searches").hidden = searches.length > 0;
    $("older").hidden = searches.length < shownSearches || shownSearches >= MOST_SEARCHES;
    keepFocus($("search-list"), () => $("search-list").replaceChildren(...searches.map(searchCard)));
    show("searches");
    document.title = "Foldstep";
  };
}

function keepFocus(list, change) {
  const at = [...list.querySelectorAll("a, button")].indexOf(document.activeElement);
  change();
  if (at >= 0) list.querySelectorAll("a, button")[at]?.focus();
}

async function showDetail(id) {
  const path = `/searches/${encodeURIComponent(id)}`;
  const trial = openTrial && openTrial[0] === id ? openTrial[1] : null;
  const seen = trial === null ? null : call(`${path}/trials/${trial}/diagnostics`);
  const [search, board, diagnostics] = await Promise.all([call(path), call(`${path}/leaderboard?limit=100`), seen]);
  return () => {
    describe(search);
    keepFocus($("rows"), () => showBoard(search, board.rows));
    showAnswers(search);
    if (diagnostics) showTrial(trial, diagnostics);
    else hideTrial();
    show("detail");
    document.title = `${search.id} · Foldstep`;
  };
}

function describe(search) {
  $("name").replaceChildren(search.id, " ", chip(search.state));
  const folds = search.n_folds === 1 ? "holdout" : `${search.n_folds} folds`;
  $("facts").textContent = `${search.method} on ${search.dataset}, ${search.task}, ${folds}`;
  const running = search.counts.running || 0;
  const { trials_done: done, trials_planned: planned } = search.progress;
  const best = search.best;
  const around = best && best.spread !== null ? ` ± ${spread(best.spread, best.score)}` : "";
  const facts = [
    [`best ${search.metric.name}`, score(best && best.score), around],
    ["baseline", score(search.baseline), " the constant answer"],
    ["trials done", String(done), planned === null ? "" : ` of ${planned}`],
    ["in training", String(running), ""],
    ["member-steps a second", search.member_steps_per_s ? Math.round(search.member_steps_per_s).toLocaleString("en") : "–", ""],
    ["time", duration(search), ""],
  ];
  $("numbers").replaceChildren(
    ...facts.filter(([name]) => name !== "baseline" || search.baseline !== null).map(([name, value, more]) => element("div", [element("dt", name), element("dd", [value, element("small", more)])])),
  );
  fillBar($("progress"), search);
  $("progress-line").textContent = progressLine(search);
  $("stages").hidden = search.n_stages < 2;
  $("stages").replaceChildren(...search.stages.map((stage) => stageItem(stage, search)));
  const borders = search.stages.flatMap((stage) => stage.borders);
  list("findings", "border-list", borders.map((finding) => finding.sentence));
  list("note-card", "notes", search.notes);
  list("check-card", "checks", (search.checks ? search.checks.results : []).map(checkLine));
  const can = { pause: ["queued", "running"], resume: ["paused"], stop: ["queued", "running", "paused"], extend: ["queued", "running", "paused", "completed"] };
  for (const button of $("actions").children) button.hidden = !can[button.dataset.verb].includes(search.state);
  $("checkpoints").textContent = search.checkpoint_dir;
}

function stageItem(stage, search) {
  const epochs = stage.epochs === 1 ? "1 epoch" : `${stage.epochs} epochs`;
  const of = search.finished_at ? "" : ` of ${stage.trials}`;
  const item = element("li", `stage ${stage.stage + 1}: ${epochs}, ${stage.finished}${of} trials`);
  if (stage.stage === search.stage && !search.finished_at) item.setAttribute("aria-current", "step");
  return item;
}

const checkLine = (check) => `${check.name} ${check.outcome}: ${check.sentence}${check.look_at ? ` ${check.look_at}` : ""}`;

function showBoard(search, rows) {
  $("no-trials").hidden = rows.length > 0;
  $("board").hidden = rows.length === 0;
  const fixed = Object.fromEntries(search.stages.flatMap((s) => Object.entries(s.space.parameters)).map(([n, d]) => [n, d.kind]));
  const names = [...new Set(rows.flatMap((row) => Object.keys(row.params)))].filter((n) => n !== "seed" && n !== "epochs" && fixed[n] !== "fixed");
  const scores = rows.flatMap((row) => row.folds).filter((value) => value !== null);
  const range = [Math.min(...scores), Math.max(...scores)];
  const heads = [["rank"], ["trial"], [search.metric.name], ["±"], ["folds", 1], ...names.map((n) => [n]), ["parameters"], ["epochs"], ["state", 1], ["worker", 1]];
  $("columns").replaceChildren(...heads.map(([name, isText]) => headCell(name, isText)));
  $("rows").replaceChildren(...rows.map((row) => boardRow(row, names, range)));
}

function boardRow(row, names, range) {
  const reached = row.score === null && row.progress !== null ? `${score(row.progress)} so far` : score(row.score);
  const state = element("td", chip(row.state), "text");
  if (row.message) state.title = row.message;
  const cells = [String(row.rank ?? "–"), trialOpener(row.trial), reached, spread(row.spread, row.score)].map((content) => element("td", content));
  cells.push(element("td", foldBars(row.folds, range), "text"));
  cells.push(...names.map((name) => element("td", name in row.params ? short(row.params[name]) : "–")));
  cells.push(element("td", row.n_parameters === null ? "–" : row.n_parameters.toLocaleString("en")));
  cells.push(element("td", `${row.epoch}/${row.epochs}`), state, element("td", row.worker || "–", "text"));
  return element("tr", cells, row.rank === 1 ? "first" : "");
}

function foldBars(folds, [low, high]) {
  const bars = element("span", [], "folds");
  bars.setAttribute("role", "img");
  bars.setAttribute("aria-label", folds.map(score).join(", "));
  bars.title = folds.map(score).join("\n");
  for (const value of folds) {
    const bar = element("i");
    const share = value === null ? 0 : high > low ? (value - low) / (high - low) : 1;
    bar.style.height = `${15 + 85 * share}%`;
    bars.append(bar);
  }
  return bars;
}

function show(id) {
  for (const part of ["login", "searches", "detail"]) $(part).hidden = part !== id;
  $("sign-out").hidden = id === "login";
}

function complain(message) {
  $("alert").textContent = message;
  $("alert").hidden = !message;
}

async function refresh() {
  clearTimeout(timer);
  const mine = ++round;
  try {
    const id = decodeURIComponent(location.hash.slice(1));
    const [draw, workers] = await Promise.all([id ? showDetail(id) : showSearches(), call("/workers")]);
    if (mine !== round) return undefined;
    draw();
    isSignedIn = true;
    const alive = workers.filter((worker) => worker.live || worker.running).length;
    $("workers").textContent = `${alive} ${alive === 1 ? "worker" : "workers"}`;
    complain("");
  } catch (error) {
    if (mine !== round) return undefined;
    if (!(error instanceof Refused)) throw error;
    if (error.status === 401) return ask(isSignedIn ? "Your session has ended." : "");
    complain(error.status ? error.message : `${error.message} This page tries again every two seconds.`);
    if (error.status === 404) show("");
  }
  timer = setTimeout(refresh, PERIOD_MS);
  return undefined;
}

function ask(message) {
  isSignedIn = false;
  complain(message);
  show("login");
  $("token").focus();
}

async function enter(secret, refusal) {
  clearTimeout(timer);
  round += 1;
  try {
    await signIn(secret);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return ask(error.status === 401 ? refusal : error.message);
  }
  complain("");
  return refresh();
}

async function leave() {
  clearTimeout(timer);
  round += 1;
  await signOut();
  $("searches").hidden = true;
  ask("You are signed out.");
}

// a link that was opened in a tab that has a session already is used all the same
function begin() {
  const code = takeCodeFromAddress();
  if (code) enter({ code }, "This link was used before, or it is too old. `foldstep page` prints a new one.");
  else refresh();
}

async function act(event) {
  const { verb } = event.target.dataset;
  if (!verb) return;
  if (verb === "extend") return openExtension();
  if (verb === "stop" && !confirm("Stop this search? Trials in training are dropped; what is finished stays.")) return;
  await send(verb);
}

async function send(verb, content) {
  const buttons = [...$("actions").children];
  for (const button of buttons) button.disabled = true;
  try {
    await call(`/searches/${location.hash.slice(1)}:${verb}`, "POST", content);
    await refresh();
  } catch (error) {
    complain(error.message);
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

function openExtension() {
  $("extension").hidden = !$("extension").hidden;
  if (!$("extension").hidden) $("more-trials").focus();
}

async function extend(event) {
  event.preventDefault();
  $("extension").hidden = true;
  await send("extend", { trials: Number($("more-trials").value) || null, time: $("more-time").value.trim() || null });
}

$("login").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = $("token").value.trim();
  $("token").value = "";
  enter({ token }, "The master does not accept this token.");
});
$("sign-out").addEventListener("click", leave);
$("actions").addEventListener("click", act);
$("extension").addEventListener("submit", extend);
$("detail").addEventListener("click", async (event) => {
  const { trial } = event.target.dataset;
  if (trial === undefined) return;
  openTrial = [decodeURIComponent(location.hash.slice(1)), Number(trial)];
  await refresh();
  $("trial").scrollIntoView({ block: "nearest" });
});
$("older").addEventListener("click", async () => {
  shownSearches = Math.min(2 * shownSearches, MOST_SEARCHES);
  await refresh();
});
$("close-trial").addEventListener("click", () => {
  openTrial = null;
  hideTrial();
});
addEventListener("hashchange", () => {
  forgetData();
  forgetAnswers();
  forgetMatters();
  begin();
});
begin();
