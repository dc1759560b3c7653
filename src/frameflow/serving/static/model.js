// The second tab: what the model is, its card and its report.

import * as api from "./api.js";
import { $, el, lasting, percent } from "./util.js";
import { explained, scoreInWords } from "./words.js";
import { notice } from "./results.js";

const place = $("#panel-model");
let shown = null; // the name of the model that is on show

export async function showModel(model) {
  if (shown === model.name) return;
  shown = model.name;
  place.replaceChildren(el("p", { class: "quiet" }, "Loading…"));
  let facts = model;
  try {
    facts = { ...model, ...(await api.model(model.name)) };
  } catch (error) {
    shown = null;
    const box = el("div", { class: "notice", role: "alert" });
    place.replaceChildren(box);
    notice(box, explained(error), () => showModel(model));
    return;
  }
  if (shown !== model.name) return;
  place.replaceChildren(
    el("h2", {}, model.name),
    facts.description ? el("p", { class: "quiet" }, facts.description) : "",
    el("p", { class: "score" }, `${sentence(scoreInWords(facts.score))}.`),
    list(facts),
    pages(facts),
  );
}

const sentence = (words) => words[0].toUpperCase() + words.slice(1).replace(/\.$/, "");

export function forgetModel() { shown = null; }

function list(facts) {
  const labels = facts.labels ?? [];
  const rows = [
    ["Recipe", facts.recipe],
    ["Labels", el("details", {}, el("summary", {}, `${labels.length}: ${labels.slice(0, 3).join(", ")}${labels.length > 3 ? ", …" : ""}`), el("p", {}, labels.join(", ")))],
    ["Frames of a clip", facts.frames],
    ["Window of a timeline", facts.clip_seconds ? lasting(facts.clip_seconds) : null],
    ["Answers", facts.multilabel ? "every label that is present" : "one label"],
    ["Sets of labels", facts.sets ? `yes${facts.coverage ? `, built to hold the true label ${percent(facts.coverage)} of the time` : ""}` : "no"],
    ["Engine", facts.engine && `${facts.engine}, ${facts.precision ?? ""}`],
    ["Preprocessing", facts.preprocessing && [...new Set(facts.preprocessing.map(inWords))].join("; ")],
    ["Calibration", "calibration" in facts ? calibrated(facts.calibration) : null],
    ...Object.entries(facts.versions ?? {}).map(([when, which]) => [
      typeof which === "object" ? `Versions, ${when}` : when, inWords(which)]),
  ];
  return el("div", { class: "wide" }, el("table", { class: "facts" }, el("tbody", {}, rows
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, value instanceof Node ? value : String(value)))))));
}

function calibrated(found) {
  if (!found) return "none: probabilities are the head's own";
  const warmth = found.method === "temperature" && found.temperature ? ` ${inWords(found.temperature)}` : "";
  return `${found.method}${warmth}${found.fitted_on ? `, fitted on ${found.fitted_on}` : ""}`;
}

/** Facts of facts, as text: `size 224, interpolation bicubic`. */
function inWords(value) {
  if (value === null) return "none";
  if (value === true) return "yes";
  if (value === false) return "no";
  if (typeof value === "number") return String(Number.isInteger(value) ? value : Number(value.toPrecision(4)));
  if (Array.isArray(value)) return value.map(inWords).join(typeof value[0] === "object" && value[0] !== null ? "; " : ", ");
  if (typeof value === "object") {
    return Object.entries(value).map(([key, each]) => `${key.replaceAll("_", " ")} ${inWords(each)}`).join(", ");
  }
  return String(value);
}

function pages(facts) {
  const offered = [["card", "Model card"], ["report", "Report"]].filter(([kind]) => facts[kind]);
  if (!offered.length) return el("p", { class: "quiet" }, "This run has neither a model card nor a report.");
  // Sandboxed: what a run wrote may run its own scripts, but never reaches this page.
  const frame = el("iframe", { sandbox: "allow-scripts allow-popups", title: "Model card", id: "model-page" });
  const open = el("a", { target: "_blank", rel: "noopener", class: "button" }, "Open alone");
  const choose = (kind, words) => {
    frame.title = words;
    frame.src = facts[kind];
    open.href = facts[kind];
  };
  const buttons = offered.map(([kind, words], index) => el("label", {},
    el("input", { type: "radio", name: "page", value: kind, checked: index === 0, onchange: () => choose(kind, words) }),
    el("span", {}, words)));
  choose(...offered[0]);
  return el("section", { "aria-label": "What the run wrote" },
    el("div", { class: "row" }, el("fieldset", { class: "segmented" }, el("legend", { class: "unseen" }, "Page"), buttons), open), frame);
}
