// Where the model looked: frames with a map over them, and what each frame weighed.

import * as api from "./api.js";
import { $, announce, calm, clock, el, icon, listed, percent } from "./util.js";
import { look } from "./palette.js";
import { player } from "./player.js";
import { explained } from "./words.js";
import { notice } from "./results.js";

const PACE = 250; // milliseconds a frame is shown
const place = $("#evidence");
let timer = null;
let asked = null; // stops a question when the reader goes on

export const evidence = {
  close() {
    halt();
    asked?.abort();
    place.hidden = true;
    place.replaceChildren();
  },

  /** Offer it; `kept` is a Map of what was asked before: going back does not ask again. */
  offer({ entry, model, labels, kept, onstale }) {
    this.close();
    const select = el("select", { id: "evidence-label" }, labels.map((label) => el("option", {}, label)));
    const go = el("button", { type: "button", id: "evidence-run" }, "Show where it looked");
    const body = el("div", { id: "evidence-body" });
    const ask = async () => {
      const label = select.value;
      halt();
      if (kept.has(label)) return show(body, kept.get(label), model);
      asked?.abort();
      asked = new AbortController();
      const { signal } = asked;
      go.disabled = true;
      body.replaceChildren(el("p", { class: "quiet" }, "Looking at the frames…"));
      try {
        kept.set(label, await api.explain({ video: entry.id, model: model.name, label }, { signal }));
        if (!signal.aborted) show(body, kept.get(label), model);
      } catch (error) {
        if (signal.aborted) return;
        const box = el("div", { class: "notice" });
        body.replaceChildren(box);
        notice(box, explained(error), error.status === 404 ? onstale : ask);
      } finally {
        go.disabled = false;
      }
    };
    go.addEventListener("click", ask);
    select.addEventListener("change", () => { if (kept.size) ask(); });
    place.replaceChildren(
      el("h3", { id: "evidence-title" }, "Evidence"),
      el("p", { class: "quiet" }, "The parts of each frame that spoke for a label, and how much each frame weighed."),
      el("div", { class: "row" }, el("label", { class: "choice" }, "For ", select), go), body);
    place.hidden = false;
    if (kept.size) { select.value = [...kept.keys()].at(-1); show(body, kept.get(select.value), model, false); }
  },
};

function halt() { clearInterval(timer); timer = null; }

function show(body, found, model, speak = true) {
  const { frames, seconds, attention, label, probability, note, streams } = found;
  if (!frames?.length) {
    body.replaceChildren(el("p", { class: "quiet" }, note ?? "This model has no map to show."));
    return;
  }
  const picture = el("img", { alt: "", id: "evidence-frame" });
  const slider = el("input", { type: "range", min: 0, max: frames.length - 1, step: 1, value: 0, "aria-label": "Frame of the evidence" });
  const play = el("button", { type: "button", "aria-label": "Play the frames" }, icon("play"));
  const when = el("span", { class: "time" });
  const weights = bars(attention, seconds, (index) => { halt(); draw(index); });
  const draw = (index) => {
    slider.value = index;
    picture.src = frames[index];
    const at = seconds?.[index];
    const weight = attention?.[index];
    const words = `Frame ${index + 1} of ${frames.length}${at === undefined ? "" : `, ${clock(at, 2)}`}`;
    when.textContent = words;
    picture.alt = `${words}: parts that spoke for ${label}${weight === undefined ? "" : `; weight ${percent(weight)}`}`;
    slider.setAttribute("aria-valuetext", picture.alt);
    weights?.querySelectorAll("button").forEach((bar, place) => bar.classList.toggle("now", place === index));
  };
  const drawPlay = () => {
    play.setAttribute("aria-label", timer ? "Pause the frames" : "Play the frames");
    play.replaceChildren(icon(timer ? "pause" : "play"));
  };
  const start = () => {
    halt();
    timer = setInterval(() => {
      if (!body.isConnected) return halt();
      draw((Number(slider.value) + 1) % frames.length);
    }, PACE);
    drawPlay();
  };
  play.addEventListener("click", () => { if (timer) { halt(); drawPlay(); } else start(); });
  slider.addEventListener("input", () => { halt(); drawPlay(); draw(Number(slider.value)); });
  const seek = el("button", { type: "button", onclick: () => player.seek(seconds[Number(slider.value)]) }, "Show in the video");
  body.replaceChildren(
    el("p", {}, el("b", {}, label), ` ${percent(probability)}`, streams?.length > 1 ? el("span", { class: "quiet" }, `; what spoke for it: ${listed(streams.map(({ name, share }) => `${name} ${percent(share)}`), "and")}`) : ""),
    el("div", { class: "look" },
      el("figure", {}, picture, el("figcaption", { class: "row" }, play, slider, when, seconds ? seek : "")),
      weights ? el("div", { class: "weights" }, el("p", { class: "quiet" }, "Weight of each frame"), weights) : ""),
    note ? el("p", { class: "quiet" }, note) : "",
  );
  draw(0);
  if (!calm()) start();
  if (speak) announce(`Evidence for ${label}: ${frames.length} frames.`);
  weights?.style.setProperty("--hue", look(model.name, label).colour);
}

/** Bars over time, each a button that shows its frame. */
function bars(attention, seconds, choose) {
  if (!attention?.length) return null;
  const most = Math.max(...attention, 1e-9);
  return el("div", { class: "attention", role: "group", "aria-label": "Weight of each frame" }, attention.map((weight, index) => {
    const bar = el("i", {});
    bar.style.height = `${(weight / most) * 100}%`;
    const name = `${seconds ? clock(seconds[index], 2) : `frame ${index + 1}`}: ${percent(weight)}`;
    return el("button", { type: "button", "aria-label": name, title: name, onclick: () => choose(index) }, bar);
  }));
}
