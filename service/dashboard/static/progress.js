// How far a search is, in a bar and one line.

import { score } from "./numbers.js";
import { element } from "./parts.js";

const DOING = {
  waiting: "waiting for a worker",
  checking: "a worker checks data and training",
  starting: "a worker prepares the data for the first epoch",
  training: "training",
  proposing: "choosing the next trials",
  paused: "paused",
  ended: "ended",
};
const whole = (value) => Math.round(value).toLocaleString("en");
const of = (done, planned) => (planned === null ? whole(done) : `${whole(done)} of ${whole(planned)}`);

export const ofTrials = (progress) => `${of(progress.trials_done, progress.trials_planned)} trials`;

export function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  const parts = [Math.floor(s / 3600), Math.floor(s / 60) % 60, s % 60];
  return parts[0] ? `${parts[0]} h ${parts[1]} min` : parts[1] ? `${parts[1]} min ${parts[2]} s` : `${parts[2]} s`;
}

export function progressLine(search) {
  const now = search.progress;
  const counts = [["stopped early", now.stopped_early], ["diverged", now.diverged], ["failed", now.failed]];
  const leading = now.leading ? [`best in training ${score(now.leading.score)} (trial ${now.leading.trial})`] : [];
  const parts = [DOING[now.activity], `${of(now.epochs_done, now.epochs_planned)} epochs`, ofTrials(now)];
  parts.push(...counts.filter(([, n]) => n).map(([what, n]) => `${whole(n)} ${what}`), ...leading);
  if (now.members) parts.push(`${whole(now.members)} networks in training`);
  if (now.time_left_s !== null) parts.push(`about ${span(now.time_left_s)} left`);
  return parts.join(" · ");
}

export function fillBar(bar, search) {
  const { epochs_done: done, epochs_planned: planned } = search.progress;
  bar.setAttribute("role", "progressbar");
  bar.setAttribute("aria-valuemin", "0");
  bar.setAttribute("aria-valuenow", String(done));
  bar.classList.toggle("moving", planned === null && search.state === "running");
  const share = planned ? Math.min(1, done / planned) : search.finished_at ? 1 : 0;
  if (planned) bar.setAttribute("aria-valuemax", String(planned));
  const fill = element("i");
  fill.style.width = `${100 * share}%`;
  bar.replaceChildren(fill);
}
