// The answer to one video: a verdict, bars, and what can be said about how sure it is.

import { $, announce, breakable, clock, el, lasting, listed, percent } from "./util.js";
import { look, swatch } from "./palette.js";

const MOST = 6; // labels of a set that are named

/** What the model says of the whole video, in a heading and a sentence. */
export function verdict(prediction) {
  if (prediction.abstained) return "None of these";
  if (prediction.present) return prediction.present.length ? listed(prediction.present, "and") : "Nothing it knows";
  return prediction.label;
}

function surety(prediction, model) {
  const sentences = [];
  if (prediction.abstained) {
    sentences.push(`No label is likely enough to be answered; the nearest is ${prediction.label}.`);
  }
  const labels = prediction.set;
  if (prediction.abstained && labels?.length > 1 && labels.length <= MOST) {
    sentences.push(`If it is one of its labels after all, then ${listed(labels)}.`);
  } else if (labels?.length && !prediction.abstained) {
    const rate = model.coverage ? ` (built to hold the true label ${percent(model.coverage)} of the time)` : "";
    if (labels.length === 1) sentences.push(`No other label is likely enough to come into question${rate}.`);
    else if (labels.length >= model.labels.length) sentences.push(`It could be any of the ${labels.length} labels${rate}.`);
    else if (labels.length > MOST) sentences.push(`One of ${labels.length} labels, ${labels.slice(0, MOST).join(", ")} and ${labels.length - MOST} more${rate}.`);
    else sentences.push(`One of ${labels.length} labels${rate}: ${listed(labels)}.`);
  }
  return sentences.join(" ");
}

/** Bars of `[{ label, probability }]`; those in `marked` are said to be present or in the set. */
export function bars(shares, model, { marked = [], mark = "" } = {}) {
  return el("ol", { class: "bars" }, shares.map(({ label, probability }) => {
    const bar = el("span", { class: "bar" });
    bar.style.width = `${probability * 100}%`;
    bar.style.backgroundColor = look(model.name, label).colour;
    return el(
      "li", {},
      swatch(model.name, label),
      el("span", { class: "label" }, breakable(label), marked.includes(label) ? el("small", {}, mark) : null),
      el("span", { class: "track", "aria-hidden": "true" }, bar),
      el("span", { class: "share" }, percent(probability)),
    );
  }));
}

/** Fill the answer; of a `long` video it says that the answer is one for all of it. */
export function showPrediction(prediction, model, { speak = true, long = false } = {}) {
  const said = verdict(prediction);
  const first = prediction.topk[0];
  const plain = !prediction.abstained && !prediction.present;
  const sure = surety(prediction, model);
  const timing = prediction.timing;
  const words = timing && `Read in ${lasting(timing.read)}, computed in ${lasting(timing.compute)}${
    prediction.views > 1 ? `, ${prediction.views} views` : ""}.`;
  const headline = el("div", { id: "headline" });
  head(headline, long && "The whole video, taken as one clip", said, plain && percent(first.probability), sure);
  $("#result").replaceChildren(
    headline,
    chooser(),
    el("div", { id: "bars-whole" }, bars(prediction.topk, model, prediction.present
      ? { marked: prediction.present, mark: "present" } : {})),
    el("div", { id: "bars-now", hidden: true }),
    el("p", { class: "fine" }, words ?? ""),
  );
  if (speak) announce(`${prediction.video ?? "The video"}: ${said}${plain ? `, ${percent(first.probability)}` : ""}. ${sure}`);
}

function head(place, eyebrow, strong, figure, sentence) {
  place.replaceChildren(
    eyebrow ? el("p", { class: "eyebrow" }, eyebrow) : "",
    el("p", { class: "verdict" }, el("strong", {}, strong), figure ? el("span", { class: "quiet" }, ` ${figure}`) : null),
    sentence ? el("p", { class: "surety" }, sentence) : "",
  );
}

/** Once a long video has its timeline: what takes its time, before what it is as one clip. */
export function showShares({ segments, duration }, prediction) {
  const place = $("#headline");
  if (!place) return;
  const totals = new Map();
  let covered = 0, end = 0;
  for (const segment of [...segments].sort((a, b) => a.start - b.start)) {
    totals.set(segment.label, (totals.get(segment.label) ?? 0) + segment.end - segment.start);
    covered += Math.max(0, segment.end - Math.max(end, segment.start));
    end = Math.max(end, segment.end);
  }
  const [most, ...others] = [...totals].sort((a, b) => b[1] - a[1]);
  const sentences = [];
  if (!most) sentences.push("No class is likely enough, for long enough, to be called a segment.");
  if (others.length) {
    const named = others.slice(0, MOST - 1).map(([label, seconds]) => `${label} ${lasting(seconds)}`);
    if (others.length >= MOST) named.push(`${others.length - MOST + 1} more`);
    sentences.push(`Beside it ${listed(named, "and")}.`);
  }
  if (most && duration - covered >= 0.5) sentences.push(`No segment in ${lasting(duration - covered)}.`);
  sentences.push(`Taken as one clip the whole video would be: ${verdict(prediction)}.`);
  head(place, "What takes the most time", most ? most[0] : "No segment",
    most && `${lasting(most[1])} of ${lasting(duration)}`, sentences.join(" "));
}

/** Whether bars are of the whole video or of the moment; of use only beside a timeline. */
function chooser() {
  const choice = (value, words, checked) => el(
    "label", {}, el("input", { type: "radio", name: "bars", value, checked, onchange: applyChoice }), el("span", {}, words));
  return el(
    "fieldset", { class: "segmented", id: "bars-choice", hidden: true },
    el("legend", { class: "unseen" }, "Probabilities of"),
    choice("whole", "Whole video", true), choice("now", "At this moment", false),
  );
}

function applyChoice() {
  const now = $('#bars-choice input[value="now"]')?.checked ?? false;
  if ($("#bars-whole")) $("#bars-whole").hidden = now;
  if ($("#bars-now")) $("#bars-now").hidden = !now;
}

export function offerMoments(offered, chosen = offered) {
  const choice = $("#bars-choice");
  if (!choice) return;
  choice.hidden = !offered;
  $(`input[value="${offered && chosen ? "now" : "whole"}"]`, choice).checked = true;
  applyChoice();
}

/** Bars of a moment, in an order that does not jump: that of the whole video's likeliest. */
export function showMoment({ shares, refused }, model, at) {
  const place = $("#bars-now");
  if (!place || place.hidden) return;
  const rows = place.querySelectorAll("li");
  const names = [...place.querySelectorAll(".label")].map((label) => label.textContent);
  if (rows.length !== shares.length || shares.some(({ label }, index) => names[index] !== label)) {
    place.replaceChildren(bars(shares, model), el("p", { class: "fine" }));
  }
  shares.forEach(({ probability }, index) => {
    const row = place.querySelectorAll("li")[index];
    $(".bar", row).style.width = `${probability * 100}%`;
    $(".share", row).textContent = percent(probability);
  });
  $(".fine", place).textContent = `At ${clock(at)}, not smoothed${refused ? ": no label is likely enough to be answered" : ""}.`;
}

export function clearResult() { $("#result").replaceChildren(); }

// Progress and faults ------------------------------------------------------------------------------

/** A box that says what goes on: words, a bar, a button that cancels. */
export class Progress {
  constructor(name) {
    this.words = el("p", { id: `${name}-words` });
    this.bar = el("progress", { max: 1, "aria-labelledby": `${name}-words` });
    this.button = el("button", { type: "button", onclick: () => this.cancel?.() }, "Cancel");
    this.element = el("div", { class: "progress", id: name, hidden: true }, this.words, this.bar, this.button);
  }

  /** `share` null where nobody knows how far it is; `now` null: nothing goes on. */
  show(now) {
    this.cancel = now?.cancel;
    if (now && this.element.hidden) announce(now.words);
    this.element.hidden = !now;
    if (!now) return;
    const { words, share } = now;
    this.words.textContent = share === null ? words : `${words} ${Math.round(share * 100)} %`;
    if (share === null) this.bar.removeAttribute("value");
    else this.bar.value = share;
  }
}

export function notice(place, { title, text, action }, act) {
  place.replaceChildren(
    el("p", {}, el("strong", {}, title), ". ", text),
    action && act ? el("button", { type: "button", onclick: act }, action) : "",
  );
  place.hidden = false;
}
