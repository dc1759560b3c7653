// The small list of this session's videos.

import { $, el, icon } from "./util.js";
import { verdict } from "./results.js";

const STATES = { waiting: "Waiting", working: "Working…", failed: "Failed", stopped: "Cancelled" };

export function drawShelf(session, { select, remove }) {
  const { entries, current, model } = session;
  $("#shelf").hidden = entries.length < 2;
  const focused = document.activeElement?.closest?.("#shelf [data-key]")?.dataset.key;
  $("#shelf-list").replaceChildren(...entries.map((entry) => {
    const prediction = entry.of.get(model?.name)?.prediction;
    const state = STATES[entry.state] ?? (prediction ? verdict(prediction) : "");
    const picture = entry.thumb ? el("img", { src: entry.thumb, alt: "" }) : el("span", { class: "blank" }, icon("film"));
    return el(
      "li", {},
      el("button", { type: "button", class: "tile", "data-key": entry.key, "aria-current": entry === current ? "true" : null, onclick: () => select(entry, { focus: true }) },
        picture, el("span", { class: "names" }, el("span", { class: "file" }, entry.name), el("span", { class: "state" }, state))),
      el("button", { type: "button", class: "remove", "aria-label": `Remove ${entry.name}`, title: "Remove", onclick: () => remove(entry) }, icon("close")),
    );
  }));
  if (focused) $(`#shelf [data-key="${focused}"]`)?.focus();
}

/** A picture from a third of the way into a local file; null where the browser cannot play it. */
export function thumbnail(address, width = 160) {
  return new Promise((resolve) => {
    const video = el("video", { muted: true, preload: "auto", playsinline: true });
    const done = (picture) => { clearTimeout(timer); video.removeAttribute("src"); video.load(); resolve(picture); };
    const timer = setTimeout(() => done(null), 8000);
    video.muted = true;
    video.addEventListener("error", () => done(null), { once: true });
    video.addEventListener("loadeddata", () => { video.currentTime = Number.isFinite(video.duration) ? video.duration / 3 : 0; }, { once: true });
    video.addEventListener("seeked", () => {
      if (!video.videoWidth) return done(null);
      const height = Math.max(1, Math.round((width * video.videoHeight) / video.videoWidth));
      const canvas = el("canvas", { width, height });
      canvas.getContext("2d").drawImage(video, 0, 0, width, height);
      return done(canvas.toDataURL("image/jpeg", 0.8));
    }, { once: true });
    video.src = address;
  });
}
