// One trial: its diagnoses in words, training against validation loss of every fold, its layers at each probe.

import { number } from "./numbers.js";
import { $, drawn, element, headCell, percent } from "./parts.js";

const WIDTH = 320;
const HEIGHT = 170;
const LEFT = 46;
const BOTTOM = 22;

// a log scale where the losses span more than a factor of ten and are all positive
function scale(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const of = low > 0 && high > 10 * low ? Math.log10 : (v) => v;
  const [a, b] = [of(low), of(high)];
  return { low, high, isLog: of === Math.log10, y: (v) => 8 + (b > a ? (b - of(v)) / (b - a) : 0.5) * (HEIGHT - BOTTOM - 12) };
}

function line(losses, n, { y }, className) {
  const x = (epoch) => LEFT + (n > 1 ? epoch / (n - 1) : 0.5) * (WIDTH - LEFT - 8);
  const pieces = [[]]; // a loss that is not finite leaves a hole
  losses.forEach((loss, epoch) => (loss === null ? pieces.push([]) : pieces.at(-1).push([x(epoch), y(loss)])));
  return pieces.filter((piece) => piece.length).map((piece) =>
    piece.length === 1
      ? drawn("circle", { cx: piece[0][0], cy: piece[0][1], r: 2.5, class: `${className} dot` })
      : drawn("polyline", { points: piece.map((at) => at.map((v) => v.toFixed(1)).join(",")).join(" "), class: className }));
}

function chart(fold, view) {
  const n = view.train_loss.length;
  const known = [...view.train_loss, ...view.valid_loss].filter((loss) => loss !== null);
  const range = known.length ? scale(known) : null;
  const caption = `fold ${fold}, best epoch ${view.best_epoch || "–"}${range?.isLog ? ", log scale" : ""}`;
  const figure = element("figure", element("figcaption", caption));
  if (!range) return figure;
  const last = (losses) => number(losses.findLast((loss) => loss !== null), 3);
  const svg = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
  svg.setAttribute("aria-label", `Fold ${fold}: training loss ${last(view.train_loss)}, validation loss ${last(view.valid_loss)} at the end`);
  const base = HEIGHT - BOTTOM;
  svg.append(
    drawn("path", { d: `M${LEFT} 4V${base}H${WIDTH - 4}`, class: "axis" }),
    drawn("text", { x: LEFT - 5, y: 14, "text-anchor": "end" }, number(range.high, 3)),
    drawn("text", { x: LEFT - 5, y: base, "text-anchor": "end" }, number(range.low, 3)),
    drawn("text", { x: LEFT, y: HEIGHT - 5 }, "epoch 1"),
    drawn("text", { x: WIDTH - 8, y: HEIGHT - 5, "text-anchor": "end" }, String(n)),
  );
  if (view.best_epoch && n > 1) {
    const x = LEFT + ((view.best_epoch - 1) / (n - 1)) * (WIDTH - LEFT - 8);
    svg.append(drawn("path", { d: `M${x.toFixed(1)} 4V${base}`, class: "best" }));
  }
  svg.append(...line(view.train_loss, n, range, "train"), ...line(view.valid_loss, n, range, "valid"));
  figure.append(svg);
  return figure;
}

function legend() {
  return element("p", [element("i", "", "key train"), "training loss ", element("i", "", "key valid"), "validation loss ", element("i", "", "key best"), "best epoch"], "quiet legend");
}

function layerRow(fold, probe, layer, i, first) {
  const name = i === probe.layers.length - 1 ? "output" : String(i + 1);
  const words = [first ? String(fold) : "", first ? String(probe.epoch) : "", first ? number(probe.gradient_norm, 3) : "", name];
  const numbers = [number(layer.update_ratio, 3), number(layer.mean, 3), number(layer.spread, 3), percent(layer.saturated), percent(layer.dead)];
  return element("tr", [...words, ...numbers].map((text) => element("td", text)), first ? "begins" : "");
}

function layerTable(folds) {
  const heads = ["fold", "epoch", "gradient norm", "layer", "update / weights", "mean", "spread", "saturated", "dead"];
  const rows = folds.flatMap(([fold, view]) =>
    view.probes.flatMap((probe) => probe.layers.map((layer, i) => layerRow(fold, probe, layer, i, i === 0))));
  return element("table", [element("thead", element("tr", heads.map((head) => headCell(head)))), element("tbody", rows)]);
}

// of several targets each one's own score: its mean over the folds, then each fold's
function targetScores(seen) {
  const scored = Object.values(seen.folds).map((view) => view.target_scores).filter((scores) => scores.length);
  if (!scored.length) return [];
  return seen.targets.map((name, i) => {
    const own = scored.map((scores) => scores[i]);
    const mean = own.includes(null) ? null : own.reduce((a, b) => a + b, 0) / own.length;
    return element("li", `${name}: ${seen.metric.name} ${number(mean, 5)} (folds: ${own.map((v) => number(v, 5)).join(", ")})`);
  });
}

export function showTrial(trial, seen) {
  const folds = Object.entries(seen.folds);
  $("trial-title").textContent = `Trial ${trial}`;
  const said = seen.diagnoses.map((d) => element("li", d.sentence, d.kind));
  const waiting = element("li", "It has not ended yet: its diagnosis comes at its end.");
  $("diagnoses").replaceChildren(...(said.length ? said : [waiting]), ...targetScores(seen));
  $("curves").replaceChildren(...(folds.length ? [legend(), element("div", folds.map(([fold, view]) => chart(fold, view)), "charts")] : []));
  const probed = folds.filter(([, view]) => view.probes.length);
  $("layers").hidden = !probed.length;
  $("layers").replaceChildren(...(probed.length ? [layerTable(probed)] : []));
  $("trial").hidden = false;
}

export function hideTrial() {
  $("trial").hidden = true;
}
