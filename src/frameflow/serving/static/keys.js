// Keys for those who look through many videos, and the dialog that lists them.

import { $, el } from "./util.js";
import { player } from "./player.js";
import { timeline } from "./timeline.js";

const KEYS = [
  ["Space, k", "Play or pause"], ["← →", "One second back, forward; with Shift five"],
  ["j l", "Five seconds back, forward"], [", .", "One frame back, forward"], ["Home End", "To the start, to the end"],
  ["p n", "Previous, next segment"], ["+ − 0", "Zoom in, out, whole video"], ["r", "Repeat the segment, or the clip"],
  ["[ ]", "Slower, faster"], ["m f", "Mute, full screen"], ["?", "This help"],
];
const help = $("#help");
let letters = true; // a reader whose voice control or hand sets keys off can turn them off

help.append(
  el("h2", { id: "help-title" }, "Keys"),
  el("dl", { class: "keys" }, KEYS.map(([key, what]) => [el("dt", {}, key), el("dd", {}, what)]).flat()),
  el("p", { class: "quiet" }, "On the ribbon: click or drag seeks, Ctrl and the wheel or a pinch zooms; once it was clicked, the wheel alone."),
  el("label", { class: "row" }, el("input", {
    type: "checkbox", id: "letters", checked: true, onchange: (event) => { letters = event.target.checked; },
  }), "Single keys work (turn them off where speech or slips of the hand set them off)"),
  el("form", { method: "dialog" }, el("button", { class: "main", autofocus: true }, "Close")),
);
$("#help-button").addEventListener("click", () => help.showModal());

const ANYWHERE = {
  k: () => player.toggle(), j: () => player.move(-5), l: () => player.move(5),
  ",": () => player.step(-1), ".": () => player.step(1),
  n: () => timeline.jump(1), p: () => timeline.jump(-1),
  "+": () => timeline.zoom(2), "=": () => timeline.zoom(2), "-": () => timeline.zoom(0.5), 0: () => timeline.fit(),
  r: () => player.repeat(), m: () => player.mute(), f: () => player.full(),
  "[": () => player.speed(-1), "]": () => player.speed(1),
};
const FREE = {
  " ": () => player.toggle(),
  ArrowLeft: (event) => player.move(event.shiftKey ? -5 : -1),
  ArrowRight: (event) => player.move(event.shiftKey ? 5 : 1),
  Home: () => player.seek(0), End: () => player.seek(player.duration),
};
// Where these keys have a meaning of their own.
const TYPED = "input:not([type=range], [type=radio], [type=checkbox]), textarea, select, dialog";
const OWN = "a, button, input, select, summary, iframe, [role=tab], [role=region]";

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.(TYPED)) return;
  if (event.key === "?" && letters) { event.preventDefault(); help.showModal(); return; }
  if ($("#work").hidden || $("#panel-analyse").hidden) return;
  const act = FREE[event.key] && !event.target.closest?.(OWN) ? FREE[event.key] : letters ? ANYWHERE[event.key] : null;
  if (!act) return;
  event.preventDefault();
  act(event);
});
