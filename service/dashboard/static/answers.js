// The winner's rivals, the ensemble and the score on the test part of a search, above its leaderboard. They are asked
// for beside the page's own calls, which never wait for them: the first answer takes seconds.

import { call, Refused } from "./api.js";
import { score } from "./numbers.js";
import { $, element, headCell, percent, trialOpener } from "./parts.js";

const PERIOD_MS = 10000; // while a search goes on
let asked = ""; // what the answer that is shown, or comes, was asked for

export function showAnswers(search) {
  const isSettled = search.finished_at && !Object.keys(search.followers ?? {}).length; // what follows changes what is said
  const turn = isSettled ? search.finished_at : Math.floor(Date.now() / PERIOD_MS);
  const question = `${search.id} ${turn}`;
  if (!search.best || question === asked) return;
  asked = question;
  const path = `/searches/${encodeURIComponent(search.id)}`;
  ask(`${path}/winner`, question, (found) => $("winner-said").replaceChildren(found ? found.sentences.join(" ") : ""), () => {});
  ask(`${path}/final`, question, (found) => drawFinal(search, found), () => {});
  ask(`${path}/ensemble`, question, (found) => drawEnsemble(search, found), (message) => say([message]));
}

async function ask(path, question, draw, complain, method = "GET") {
  try {
    const found = await call(path, method);
    if (asked === question) draw(found);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (asked === question) complain(error.message);
  }
}

function drawEnsemble(search, found) {
  const isLone = found?.members.length === 1 && !found.words;
  if (!found || (isLone && !found.notes.length)) return forgetShown();
  if (isLone) return say(found.notes, found.calibration);
  const { name } = search.metric;
  const held = found.held_out_score === null ? "" : ` On rows that took no part in the choice: ${score(found.held_out_score)}, the best trial ${score(found.held_out_winner_score)}.`;
  return say([
    [element("strong", `${name} ${score(found.score)}`), ` on out-of-fold rows; trial ${found.winner} alone ${score(found.winner_score)}.${held}`],
    [...(found.words ? [`${found.words[0].toUpperCase()}${found.words.slice(1)}`] : namedTrials(found)), `; ${found.n_networks} networks predict together.`],
    ...(found.cost_sentence ? [found.cost_sentence] : []),
    ...found.notes,
  ], found.calibration);
}

function namedTrials(found) {
  return ["Trials ", ...found.members.flatMap((member, i) => [i ? ", " : "", trialOpener(member.trial), ` ${Math.round(100 * member.weight)} %`])];
}

// how often the predicted class is right where its probability is so high; nothing where no temperature is used
function reliability(calibration) {
  if (!calibration || calibration.temperature === 1) return [];
  const heads = ["rows", "probability before", "right before", "probability after", "right after"];
  const rows = calibration.after.curve.map((after, i) => {
    const before = calibration.before.curve[i];
    const cells = [String(after.n), ...[before.probability, before.share, after.probability, after.share].map(percent)];
    return element("tr", cells.map((cell) => element("td", cell)));
  });
  const table = element("table", [element("thead", element("tr", heads.map((head) => headCell(head)))), element("tbody", rows)]);
  return [element("details", [element("summary", "Probabilities of predicted classes, and how often these are right"), element("div", table, "scroll")])];
}

function drawFinal(search, found) {
  const { model, awaits_score: awaits } = found;
  const waiting = search.finished_at ? "" : " That can be done after the search's end.";
  const scored = model?.test ? model.sentences : [];
  const ofTest = awaits ? [`Held out, not yet scored: nothing has been chosen on these rows, so look at their score once, when the choice is made.${waiting}`] : scored;
  const followed = [found.reseed, found.outer].flatMap((report) => report?.sentences ?? []);
  const refit = model?.test ? [] : found.refit; // the sentences of the model have it
  const lines = [...ofTest, ...refit, ...followed, ...followers(search)];
  $("final-said").replaceChildren(...lines.map((line) => element("p", line)));
  $("finalize").hidden = !awaits || !search.finished_at;
  $("final").hidden = !lines.length;
  $("finalize").onclick = () => finalize(search);
}

// the searches that are to follow this one, those that were begun as links
function followers(search) {
  const all = Object.entries(search.followers ?? {});
  if (!all.length) return [];
  return [["It is followed by ", ...all.flatMap(([purpose, id], i) => [i ? ", " : "", id ? link(id) : `${purpose} (not yet begun)`]), "."]];
}

function link(id) {
  const anchor = element("a", id);
  anchor.href = `#${encodeURIComponent(id)}`;
  return anchor;
}

function finalize(search) {
  $("finalize").hidden = true;
  $("final-said").replaceChildren(element("p", "The final model is scored on the test part…"));
  const complain = (message) => $("final-said").replaceChildren(element("p", message));
  ask(`/searches/${encodeURIComponent(search.id)}:finalize`, asked, () => ask(`/searches/${encodeURIComponent(search.id)}/final`, asked, (found) => drawFinal(search, found), complain), complain, "POST");
}

function say(lines, calibration = null) {
  $("ensemble-said").replaceChildren(...lines.map((line) => element("p", line)), ...reliability(calibration));
  $("ensemble").hidden = false;
}

function forgetShown() {
  $("ensemble").hidden = true;
  $("ensemble-said").replaceChildren();
}

// of another search
export function forgetAnswers() {
  asked = "";
  forgetShown();
  $("final").hidden = true;
  $("winner-said").replaceChildren();
}
