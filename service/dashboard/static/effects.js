// The marginal effect of one hyperparameter: the expected score along its values, and how sure that is.

import { number, score, spread } from "./numbers.js";
import { drawn, element, short } from "./parts.js";

const WIDTH = 320;
const HEIGHT = 120;
const LEFT = 46;
const RIGHT = WIDTH - 8;
const BASE = HEIGHT - 22;
const CHARACTER = 6; // width of one below the axis

// one range of scores for all plots, so that their heights compare
export function scoreRange(parameters) {
  const points = parameters.flatMap((row) => row.effect);
  return [Math.min(...points.map((at) => at.score - at.spread)), Math.max(...points.map((at) => at.score + at.spread))];
}

const heightIn = ([low, high]) => (score) => 8 + (high > low ? (high - score) / (high - low) : 0.5) * (BASE - 12);

// where values lie along the axis, which has the hyperparameter's own scale, and what is written below it
function axis(distribution) {
  if (distribution.kind === "choices") return choiceAxis(distribution.choices);
  if (distribution.kind === "either") return eitherAxis(distribution);
  const of = distribution.log ? Math.log : (value) => value;
  const [a, b] = [of(distribution.low), of(distribution.high)];
  const x = (value) => LEFT + (b > a ? (of(value) - a) / (b - a) : 0.5) * (RIGHT - LEFT);
  return { x, labels: rangeLabels(distribution, x) };
}

function choiceAxis(choices) {
  const names = choices.map(short);
  const width = (RIGHT - LEFT) / names.length;
  const x = (value) => LEFT + (names.indexOf(short(value)) + 0.5) * width;
  const room = Math.max(1, Math.floor(width / CHARACTER));
  const labels = names.map((name, i) => label(x(choices[i]), "middle", name.length > room ? `${name.slice(0, room - 1)}…` : name));
  return { x, labels };
}

// values outside of a range, then the range
function eitherAxis({ range, extra }) {
  const width = (0.25 * (RIGHT - LEFT)) / extra.length;
  const inner = axis(range).x;
  const x = (value) => {
    const i = extra.indexOf(value);
    return i >= 0 ? LEFT + (i + 0.5) * width : LEFT + 0.25 * (RIGHT - LEFT) + 0.75 * (inner(value) - LEFT);
  };
  const low = label(x(range.low), "start", number(range.low, 3));
  const labels = [...extra.map((value) => label(x(value), "middle", short(value))), low, label(RIGHT, "end", number(range.high, 3))];
  return { x, labels };
}

function rangeLabels({ low, high, log, kind }, x) {
  const mean = log ? Math.sqrt(low * high) : (low + high) / 2;
  const middle = kind === "int" ? Math.round(mean) : Number(number(mean, 2));
  const ends = [label(LEFT, "start", number(low, 3)), label(RIGHT, "end", number(high, 3))];
  return middle > low && middle < high ? [...ends, label(x(middle), "middle", number(middle, 3))] : ends;
}

const label = (x, anchor, text) => drawn("text", { x, y: HEIGHT - 5, "text-anchor": anchor }, text);
const place = (x, y) => `${x.toFixed(1)},${y.toFixed(1)}`;

function dot(point, x, y) {
  const circle = drawn("circle", { cx: x(point.value), cy: y(point.score), r: 2.5, class: "dot effect" });
  const trials = point.trials === 1 ? "1 trial" : `${point.trials} trials`;
  circle.append(drawn("title", {}, `${short(point.value)}: ${score(point.score)} ± ${spread(point.spread, point.score)}, ${trials}`));
  return circle;
}

function curve(points, x, y) {
  const above = points.map((at) => place(x(at.value), y(at.score + at.spread)));
  const below = points.map((at) => place(x(at.value), y(at.score - at.spread))).reverse();
  const line = points.map((at) => place(x(at.value), y(at.score)));
  return [
    drawn("polygon", { points: [...above, ...below].join(" "), class: "spread" }),
    drawn("polyline", { points: line.join(" "), class: "effect" }),
  ];
}

const whisker = (at, x, y) => drawn("path", { d: `M${place(x(at.value), y(at.score - at.spread))}V${y(at.score + at.spread).toFixed(1)}`, class: "effect" });

function region(row, x) {
  if (row.best_low === null) return [];
  const [left, right] = [Math.max(LEFT, x(row.best_low) - 3), Math.min(RIGHT, x(row.best_high) + 3)];
  return [drawn("rect", { x: left, y: 4, width: right - left, height: BASE - 4, class: "region" })];
}

function inWords(row, points) {
  const [worst, best] = [points.reduce((a, b) => (b.score < a.score ? b : a)), points.reduce((a, b) => (b.score > a.score ? b : a))];
  return `${row.parameter}: expected from ${score(worst.score)} at ${short(worst.value)} to ${score(best.score)} at ${short(best.value)}`;
}

// a short range of whole numbers repeats them
function oncePerValue(effect) {
  const points = new Map();
  for (const at of effect) points.set(short(at.value), { ...at, trials: at.trials + (points.get(short(at.value))?.trials ?? 0) });
  return [...points.values()];
}

export function effectFigure(row, distribution, metric, range) {
  const points = oncePerValue(row.effect);
  const { x, labels } = axis(distribution);
  const y = heightIn(range);
  const svg = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": inWords(row, points) });
  svg.append(
    ...region(row, x),
    drawn("path", { d: `M${LEFT} 4V${BASE}H${RIGHT}`, class: "axis" }),
    drawn("text", { x: LEFT - 5, y: 14, "text-anchor": "end" }, number(range[1], 3)),
    drawn("text", { x: LEFT - 5, y: BASE, "text-anchor": "end" }, number(range[0], 3)),
    ...labels,
    ...(distribution.kind === "choices" ? points.map((at) => whisker(at, x, y)) : curve(points, x, y)),
    ...points.map((at) => dot(at, x, y)),
  );
  return element("figure", [element("figcaption", `${metric} by ${row.parameter}${distribution.log ? ", log scale" : ""}`), svg]);
}
