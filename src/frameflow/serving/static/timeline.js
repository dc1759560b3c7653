// A long video: its ribbon, the list of segments, filters, downloads; locked to the player.

import * as api from "./api.js";
import { $, $$, breakable, calm, clamp, clock, el, icon, lasting, percent, save } from "./util.js";
import { look, swatch } from "./palette.js";
import { player } from "./player.js";
import { notice, Progress } from "./results.js";
import { Ribbon, stacked } from "./ribbon.js";

const LANES = 8; // classes with a lane of their own, where the model knows more
const BARS = 5; // classes with a bar, where it knows more than there are lanes
const CHIPS = 12; // filters that are shown at once
const FORMS = [
  ["csv", "CSV", "Table of segments"], ["json", "JSON", "Segments and probabilities"],
  ["vtt", "WebVTT", "Subtitles for web players"], ["srt", "SRT", "Subtitles for any player"],
  ["eaf", "ELAN", "Annotation file of ELAN"],
];
const place = $("#timeline");
const ribbon = new Ribbon({
  onseek: (seconds) => player.seek(seconds),
  onmove: (drawn) => {
    const fit = $("#zoom-fit");
    if (fit) { fit.disabled = !drawn.zoomed; $("#zoom-out").disabled = !drawn.zoomed; }
  },
});
const failed = el("div", { class: "notice", role: "alert", hidden: true });
const waiting = new Progress("timeline-progress");
let shown = null; // { result, model, chosen: Set of labels, segments, moments, current, ... }

export const timeline = {
  get open() { return shown !== null; },
  zoom: (factor) => ribbon.zoom(factor),
  fit: () => ribbon.fit(),

  /** Offer to make one; `run(settings)` starts it. */
  offer(run) {
    this.close();
    place.replaceChildren(
      title(),
      el("p", { class: "quiet" }, "What happens when: the video is looked at in windows that slide along it."),
      el("button", { type: "button", id: "timeline-run", onclick: () => run({}) }, "Make a timeline"),
    );
    place.hidden = false;
  },
  /** Say that one is being made; null: none is. */
  wait(now) {
    if (!waiting.element.isConnected) place.firstElementChild?.after(waiting.element);
    waiting.show(now);
    for (const button of $$("#timeline-run, .settings button", place)) button.hidden = Boolean(now);
  },
  /** Say what went wrong, with a button that does `act`; null: nothing did. */
  fault(words, act) {
    if (!failed.isConnected) place.firstElementChild?.after(failed);
    if (words) notice(failed, words, act);
    else failed.hidden = true;
  },
  close() { shown = null; place.hidden = true; place.replaceChildren(); player.spans(() => null); },

  show(result, model, job, { name, run, onfail }) {
    const segments = [...result.segments].sort((a, b) => a.start - b.start || a.end - b.end);
    const moments = result.moments ?? result.starts.map((start, index) => (start + result.ends[index]) / 2);
    const totals = new Map();
    for (const { label, start, end } of segments) totals.set(label, (totals.get(label) ?? 0) + end - start);
    shown = { result, model, job, name, onfail, segments, moments, totals, chosen: null, current: null };
    shown.lanes = lanesOf(result, totals);
    place.replaceChildren(el("div", { class: "toolbar" }, title(), toolbar()), el("div", { class: "frame" }, ribbon.element, ribbon.whole), words(result), filters(), table(), more(result, run));
    place.hidden = false;
    player.spans(spanAt);
    redraw({ keep: false });
    this.tick(player.time);
  },

  /** Follow the player. Returns what is seen at the moment, for the label over the video. */
  tick(at) {
    if (!shown) return null;
    const there = visible().filter((segment) => at >= segment.start && at < segment.end);
    ribbon.moveTo(at, sentence(at, there));
    const first = there[0] ?? null;
    if (first !== shown.current) {
      shown.current = first;
      mark(first);
    }
    const index = nearest(at);
    return {
      segments: there.map((segment) => ({ ...segment, share: percent(share(index, segment.label)), ...look(shown.model.name, segment.label) })),
      refused: shown.result.abstained?.[index] ?? false,
      shares: likely(index),
    };
  },

  /** To the next (1) or the previous (-1) segment. */
  jump(direction) {
    if (!shown) return;
    const now = player.time;
    const starts = visible().map((segment) => segment.start);
    const to = direction > 0 ? starts.find((start) => start > now + 0.05) : starts.findLast((start) => start < now - 0.3);
    if (to !== undefined) player.seek(to + 0.001);
  },
};

const round = (seconds) => Number(seconds.toFixed(2));
const visible = () => (shown.chosen ? shown.segments.filter(({ label }) => shown.chosen.has(label)) : shown.segments);
const share = (index, label) => shown.result.probabilities[index]?.[shown.result.labels.indexOf(label)] ?? 0;
const spanAt = (at) => (shown && visible().find((segment) => at >= segment.start - 1e-3 && at < segment.end)) || null;

function nearest(at) {
  const { moments } = shown;
  let [low, high] = [0, moments.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (moments[middle] <= at) low = middle;
    else high = middle;
  }
  return Math.abs(moments[low] - at) <= Math.abs(moments[high] - at) ? low : high;
}

function sentence(at, there) {
  const index = nearest(at);
  const said = there.map(({ label }) => `${label} ${percent(share(index, label))}`).join(", ");
  return `${clock(at)}, ${said || "no segment"}`;
}

/** Few classes in their own order, which never jumps; of many the likeliest at the moment. */
function likely(index) {
  const { labels } = shown.result;
  const all = labels.map((label) => ({ label, probability: share(index, label) }));
  if (labels.length <= LANES) return all;
  return all.sort((a, b) => b.probability - a.probability).slice(0, BARS);
}

function lanesOf({ labels, probabilities }, totals) {
  if (labels.length <= LANES) return [...labels];
  const peaks = labels.map((label, k) => [label, totals.get(label) ?? 0, Math.max(0, ...probabilities.map((row) => row[k]))]);
  peaks.sort((a, b) => b[1] - a[1] || b[2] - a[2]);
  const kept = new Set(peaks.slice(0, LANES).map(([label]) => label));
  return labels.filter((label) => kept.has(label));
}

function redraw({ keep = true } = {}) {
  const { result, model, moments, chosen } = shown;
  const lanes = (chosen ? result.labels.filter((label) => chosen.has(label)) : shown.lanes).map((label) => {
    const k = result.labels.indexOf(label);
    return {
      label,
      moments: [result.starts[0] ?? 0, ...moments, result.ends.at(-1) ?? result.duration],
      shares: [result.probabilities[0]?.[k] ?? 0, ...result.probabilities.map((row) => row[k]), result.probabilities.at(-1)?.[k] ?? 0],
    };
  });
  ribbon.set({
    model, duration: result.duration, segments: stacked(visible()), lanes,
    words: (at) => sentence(at, visible().filter((one) => at >= one.start && at < one.end)),
  }, { keep });
  for (const row of $$("#segments tbody tr")) row.hidden = chosen !== null && !chosen.has(row.dataset.label);
}

// The parts around the ribbon ----------------------------------------------------------------------

function title() { return el("h3", { id: "timeline-title" }, "Timeline"); }

function toolbar() {
  const tool = (id, name, picture, act) => el("button", { type: "button", id, "aria-label": name, title: name, onclick: act }, picture);
  return [
    el("div", { class: "group", role: "group", "aria-label": "Zoom" },
      tool("zoom-out", "Zoom out (−)", icon("minus"), () => ribbon.zoom(0.5)),
      tool("zoom-in", "Zoom in (+)", icon("plus"), () => ribbon.zoom(2)),
      tool("zoom-fit", "Whole video (0)", "Whole", () => ribbon.fit())),
    el("div", { class: "group", role: "group", "aria-label": "Segments" },
      tool("previous", "Previous segment (p)", icon("back"), () => timeline.jump(-1)),
      tool("next", "Next segment (n)", icon("forth"), () => timeline.jump(1))),
    el("div", { class: "group downloads", role: "group", "aria-label": "Download" },
      el("span", { class: "quiet", "aria-hidden": "true" }, "Download"),
      FORMS.map(([form, words, about]) => tool(`download-${form}`, `Download ${words}: ${about}`, words, () => fetchFile(form)))),
  ];
}

async function fetchFile(form) {
  const { job, name, onfail } = shown;
  try {
    save(await api.download(job, form), `${name.replace(/\.[^.]+$/, "")}.${form}`);
  } catch (error) {
    onfail(error);
  }
}

function words({ segments, duration, plan, thinned }) {
  const count = segments.length;
  const window = plan?.length ? `, windows of ${round(plan.length)} s every ${round(plan.stride)} s` : "";
  return el("p", { class: "quiet", id: "ribbon-words" },
    `${count} segment${count === 1 ? "" : "s"} in ${lasting(duration)}${window}. Click or drag to seek. `,
    thinned ? "The drawing leaves some windows out, the downloads none. " : "",
    el("span", { class: "unseen" }, "The table below says the same in words."));
}

function filters() {
  const { totals, model, lanes } = shown;
  const labels = [...new Set([...lanes, ...totals.keys()])].sort((a, b) => (totals.get(b) ?? 0) - (totals.get(a) ?? 0));
  const chips = labels.map((label) => el(
    "button", { type: "button", class: "chip", "aria-pressed": "false", "data-label": label, onclick: () => toggle(label) },
    swatch(model.name, label), label,
    el("small", {}, totals.has(label) ? lasting(totals.get(label)) : "none")));
  const rest = chips.slice(CHIPS);
  rest.forEach((chip) => { chip.hidden = true; });
  const further = rest.length ? el("button", {
    type: "button", class: "chip", onclick: () => { rest.forEach((chip) => { chip.hidden = false; }); rest[0].focus(); further.remove(); },
  }, `${rest.length} more classes`) : "";
  return el("div", { class: "chips", role: "group", "aria-label": "Show only these classes" },
    el("button", { type: "button", class: "chip all", "aria-pressed": "true", onclick: () => toggle(null) }, "All classes"), chips, further);
}

function toggle(label) {
  if (label === null) shown.chosen = null;
  else {
    const chosen = new Set(shown.chosen ?? []);
    if (!chosen.delete(label)) chosen.add(label);
    shown.chosen = chosen.size ? chosen : null;
  }
  for (const chip of $$(".chip[aria-pressed]", place)) {
    chip.setAttribute("aria-pressed", chip.dataset.label ? (shown.chosen?.has(chip.dataset.label) ?? false) : shown.chosen === null);
  }
  redraw();
  shown.current = undefined; // so that the mark is set anew
  player.seek(player.time);
}

function table() {
  const { segments, model, name, result } = shown;
  const digits = result.duration < 3600 ? 1 : 0;
  if (!segments.length) {
    return el("p", { class: "quiet", id: "segments" }, "No class is likely enough, for long enough, to be called a segment. The lanes show how near each came.");
  }
  const rows = segments.map((segment, index) => el(
    "tr", { "data-index": index, "data-label": segment.label, onclick: () => player.seek(segment.start + 0.001) },
    el("td", {}, el("button", {
      type: "button", class: "plain",
      "aria-label": `${segment.label}, from ${clock(segment.start)} to ${clock(segment.end)}, ${percent(segment.probability)}`,
    }, swatch(model.name, segment.label), el("span", {}, breakable(segment.label)))),
    el("td", { class: "number" }, clock(segment.start, digits)),
    el("td", { class: "number" }, clock(segment.end, digits)),
    el("td", { class: "number wide-only" }, lasting(segment.end - segment.start)),
    el("td", { class: "number" }, percent(segment.probability)),
  ));
  return el("div", { class: "segments", id: "segments", tabindex: 0, role: "region", "aria-label": "Segments" }, el(
    "table", {}, el("caption", { class: "unseen" }, `Segments of ${name}; each button seeks to its start`),
    el("thead", {}, el("tr", {}, 
      ["Action", "From", "To", "Length"].map((head, at) => el("th", { scope: "col", class: ["", "number", "number", "number wide-only"][at] }, head)),
      el("th", { scope: "col", class: "number", "aria-label": "Probability" }, "Prob", el("span", { class: "wide-only" }, "ability"), el("span", { class: "narrow-only" }, ".")))),
    el("tbody", {}, rows),
  ));
}

function mark(segment) {
  for (const row of $$("#segments tr[aria-current]")) row.removeAttribute("aria-current");
  if (!segment) return;
  const row = $(`#segments tr[data-index="${shown.segments.indexOf(segment)}"]`);
  row?.setAttribute("aria-current", "true");
  const list = $("#segments");
  if (!row || !list || list.matches(":focus-within, :hover")) return; // not under the reader's hands
  const to = row.offsetTop - list.clientHeight / 2;
  if (list.scrollHeight > list.clientHeight) list.scrollTo({ top: to, behavior: calm() ? "auto" : "smooth" });
}

function more({ plan }, run) {
  const field = (name, words, value) => el("label", {}, words, el("input", {
    type: "number", name, min: 0.01, step: "any", inputmode: "decimal", placeholder: value ? clamp(value, 0, 1e6).toFixed(2) : "",
  }));
  const form = el(
    "form", { onsubmit: (event) => { event.preventDefault(); run(Object.fromEntries(new FormData(form))); } },
    field("window", "Window, seconds", plan?.length), field("stride", "Stride, seconds", plan?.stride),
    field("smooth", "Smoothed over, seconds"), field("shortest", "Shortest segment, seconds"),
    el("button", { type: "submit" }, "Make it again"),
  );
  return el("details", { class: "settings" }, el("summary", {}, "Settings"), form);
}
