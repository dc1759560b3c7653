// Classes over time: a row of segments, a lane of probability for each class, an axis, and below
// them the whole video, where one is zoomed in. It draws; timeline.js says what.

import { clamp, clock, el, svg } from "./util.js";
import { look } from "./palette.js";

const ROW = 34, PATTERN = 9, LANE = 24, GAP = 6, AXIS = 22, WHOLE = 18;
const GUTTER = 132, NARROW = 560; // pixels for the names of lanes; below this width they stand inside
const LEAST = 0.5; // seconds shown at the closest

const pen = document.createElement("canvas").getContext("2d");
function width(text, size = 12) {
  pen.font = `${size}px system-ui, sans-serif`;
  return pen.measureText(text).width;
}
function shortened(text, room, size) {
  if (width(text, size) <= room) return text;
  let kept = text;
  while (kept && width(`${kept}…`, size) > room) kept = kept.slice(0, -1);
  return kept ? `${kept}…` : "";
}

export class Ribbon {
  constructor({ onseek, onmove }) {
    Object.assign(this, { onseek, onmove, view: [0, 1], now: 0, fingers: new Map(), data: null });
    this.picture = svg("svg", { class: "lanes", "aria-hidden": "true" });
    this.readout = el("div", { class: "readout", "aria-hidden": "true", hidden: true });
    this.element = el("div", {
      class: "ribbon", role: "slider", tabindex: 0, "aria-label": "Time, on the ribbon of classes",
      "aria-valuemin": 0, "aria-describedby": "ribbon-words",
    }, this.picture, this.readout);
    this.whole = svg("svg", { class: "whole", "aria-hidden": "true" });
    this.whole.style.display = "none";
    this.listen();
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  /** `data`: `{ model, duration, segments, lanes: [{ label, moments, shares }] }`. */
  set(data, { keep = false } = {}) {
    this.data = data;
    if (!keep) this.view = [0, data.duration];
    this.element.setAttribute("aria-valuemax", data.duration.toFixed(1));
    this.draw();
  }

  get span() { return this.view[1] - this.view[0]; }
  get zoomed() { return this.data && this.span < this.data.duration - 1e-6; }
  x(seconds) { return this.left + ((seconds - this.view[0]) / this.span) * this.room; }
  seconds(x) { return this.view[0] + ((x - this.left) / this.room) * this.span; }

  /** Show the span from `start`, `length` seconds long, moved so that it lies in the video. */
  look(start, length) {
    const { duration } = this.data;
    const span = clamp(length, Math.min(LEAST, duration), duration);
    const from = clamp(start, 0, duration - span);
    this.view = [from, from + span];
    this.plan();
  }
  zoom(factor, at = this.now) {
    if (!this.data) return;
    const anchor = clamp(at, ...this.view);
    const length = clamp(this.span / factor, Math.min(LEAST, this.data.duration), this.data.duration);
    this.look(anchor - ((anchor - this.view[0]) * length) / this.span, length);
  }
  fit() { if (this.data) this.look(0, this.data.duration); }

  /** Where the player is; the view follows it. */
  moveTo(seconds, words) {
    this.now = seconds;
    if (!this.data) return;
    this.element.setAttribute("aria-valuenow", seconds.toFixed(1));
    this.element.setAttribute("aria-valuetext", words);
    const outside = seconds < this.view[0] || seconds > this.view[1] - 0.02 * this.span;
    if (this.zoomed && outside && !this.fingers.size) this.look(seconds - 0.1 * this.span, this.span);
    this.drawHead();
  }

  plan() {
    if (this.planned) return;
    this.planned = true;
    requestAnimationFrame(() => { this.planned = false; this.draw(); });
  }

  draw() {
    const across = this.element.clientWidth;
    if (!this.data || !across) return;
    const { segments, lanes, model } = this.data;
    this.narrow = across < NARROW;
    this.left = this.narrow ? 0 : GUTTER;
    this.room = Math.max(1, across - this.left);
    const rows = 1 + Math.max(0, ...segments.map((segment) => segment.row));
    const top = rows * (ROW + 2) + GAP;
    const lane = this.narrow ? LANE + 12 : LANE;
    const bottom = top + lanes.length * (lane + GAP);
    this.height = bottom + AXIS;
    const drawing = [
      svg("clipPath", { id: "ribbon-clip" }, svg("rect", { x: this.left, y: 0, width: this.room, height: this.height })),
      svg("rect", { class: "ground", x: this.left, y: 0, width: this.room, height: rows * (ROW + 2) - 2, rx: 3 }),
      this.narrow ? null : svg("text", { class: "name", x: 0, y: ROW / 2 + 4 }, "Segments"),
      svg("g", { "clip-path": "url(#ribbon-clip)" }, segments.map((one) => this.block(one, model.name))),
      lanes.map((one, place) => this.lane(one, model.name, top + place * (lane + GAP), lane)),
      this.axis(bottom),
    ];
    this.head = svg("g", { class: "head" }, svg("path", { d: `M0 0V${bottom}` }), svg("path", { class: "grip", d: "M-6 -1h12v5l-6 7-6-7z" }));
    this.picture.setAttribute("height", this.height);
    this.picture.setAttribute("width", across);
    this.picture.replaceChildren(...drawing.flat().filter(Boolean), this.head);
    this.drawWhole(across);
    this.drawHead();
    this.onmove?.(this);
  }

  block(segment, model) {
    const [from, to] = [Math.max(this.x(segment.start), this.left - 4), Math.min(this.x(segment.end), this.left + this.room + 4)];
    if (to < this.left || from > this.left + this.room) return null;
    const { colour, pattern, ink } = look(model, segment.label);
    const y = segment.row * (ROW + 2);
    const box = { x: from, width: Math.max(1.5, to - from - 1) };
    const text = shortened(segment.label, box.width - 12, 12.5);
    return svg(
      "g", { class: "block", "data-start": segment.start, "data-label": segment.label },
      svg("rect", { ...box, y, height: ROW, rx: 3, fill: colour }),
      pattern && svg("rect", { ...box, y: y + ROW - PATTERN, height: PATTERN, fill: `url(#${pattern})` }),
      text.length > 2 || text === segment.label ? svg("text", { x: Math.max(from, this.left) + 6, y: y + 17, fill: ink }, text) : null,
    );
  }

  lane({ label, moments, shares }, model, y, height) {
    const { colour } = look(model, label);
    const base = y + height, tall = this.narrow ? LANE : height;
    const at = (index) => `${this.x(moments[index]).toFixed(1)} ${(base - shares[index] * tall).toFixed(1)}`;
    const line = moments.map((_, index) => at(index)).join("L");
    const [from, to] = [this.x(moments[0]).toFixed(1), this.x(moments.at(-1)).toFixed(1)];
    return svg(
      "g", { class: "lane", "data-label": label },
      svg("path", { class: "base", d: `M${this.left} ${base}h${this.room}` }),
      svg("g", { "clip-path": "url(#ribbon-clip)" },
        svg("path", { d: `M${from} ${base}L${line}L${to} ${base}z`, fill: colour, "fill-opacity": 0.35 }),
        svg("path", { d: `M${line}`, fill: "none", stroke: colour, "stroke-width": 1.6, "stroke-linejoin": "round" })),
      this.narrow
        ? svg("text", { class: "name", x: 2, y: y + 11 }, shortened(label, this.room - 4))
        : svg("text", { class: "name", x: 0, y: base - 6 }, shortened(label, GUTTER - 10, 12.5)),
    );
  }

  axis(y) {
    const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200]
      .find((each) => (each / this.span) * this.room > 64) ?? 14400;
    const ticks = [];
    for (let at = Math.ceil(this.view[0] / step - 1e-9) * step; at <= this.view[1] + 1e-9; at += step) {
      const x = this.x(at);
      const text = clock(at, step < 1 ? 1 : 0), half = width(text, 11) / 2;
      ticks.push(svg("path", { class: "tick", d: `M${x.toFixed(1)} ${y}v5` }));
      if (x + half > this.left + this.room + 2) continue;
      ticks.push(svg("text", { class: "when", x: Math.max(x, this.left + half), y: y + 18, "text-anchor": "middle" }, text));
    }
    return ticks;
  }

  drawWhole(across) {
    this.whole.style.display = this.zoomed ? "" : "none";
    if (!this.zoomed) return;
    const { duration, segments, model } = this.data;
    const scale = (seconds) => this.left + (seconds / duration) * this.room;
    this.whole.setAttribute("height", WHOLE);
    this.whole.setAttribute("width", across);
    this.whole.replaceChildren(
      svg("rect", { class: "ground", x: this.left, y: 4, width: this.room, height: WHOLE - 8 }),
      ...segments.map((one) => svg("rect", {
        x: scale(one.start), width: Math.max(1, scale(one.end) - scale(one.start)), y: 4, height: WHOLE - 8,
        fill: look(model.name, one.label).colour,
      })),
      svg("rect", {
        class: "window", x: scale(this.view[0]), y: 1, height: WHOLE - 2, rx: 2,
        width: Math.max(4, scale(this.view[1]) - scale(this.view[0])),
      }),
    );
  }

  drawHead() {
    if (!this.head) return;
    const x = this.x(this.now);
    const seen = x >= this.left - 1 && x <= this.left + this.room + 1;
    this.head.setAttribute("visibility", seen ? "visible" : "hidden");
    this.head.setAttribute("transform", `translate(${clamp(x, this.left, this.left + this.room).toFixed(1)} 0)`);
  }

  // Pointer, fingers and wheel ------------------------------------------------------------------

  listen() {
    const { element, fingers } = this;
    const at = (event) => event.clientX - element.getBoundingClientRect().left;
    element.addEventListener("pointerdown", (event) => {
      if (!this.data || event.button) return;
      element.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, at(event));
      if (fingers.size === 1) this.onseek(this.seconds(clamp(at(event), this.left, this.left + this.room)));
    });
    element.addEventListener("pointermove", (event) => {
      if (!this.data) return;
      if (!fingers.has(event.pointerId)) return this.tell(at(event));
      const before = [...fingers.values()];
      fingers.set(event.pointerId, at(event));
      if (fingers.size === 2) return this.pinch(before, [...fingers.values()]);
      this.tell(at(event));
      return this.onseek(this.seconds(clamp(at(event), this.left, this.left + this.room)));
    });
    const up = (event) => fingers.delete(event.pointerId);
    element.addEventListener("pointerup", up);
    element.addEventListener("pointercancel", up);
    element.addEventListener("pointerleave", () => { this.readout.hidden = true; });
    element.addEventListener("wheel", (event) => this.wheel(event, at(event)), { passive: false });
    const slide = (event) => {
      if (!event.buttons) return;
      const place = (event.clientX - this.whole.getBoundingClientRect().left - this.left) / this.room;
      this.look(place * this.data.duration - this.span / 2, this.span);
    };
    this.whole.addEventListener("pointerdown", (event) => { this.whole.setPointerCapture(event.pointerId); slide(event); });
    this.whole.addEventListener("pointermove", slide);
  }

  /** A plain wheel scrolls the page, until the ribbon was clicked; a pinch always zooms. */
  wheel(event, x) {
    if (!this.data) return;
    const sideways = event.shiftKey ? event.deltaY : event.deltaX;
    const focused = document.activeElement === this.element;
    if (event.ctrlKey || event.metaKey || (focused && Math.abs(event.deltaY) > Math.abs(sideways))) {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.002)), this.seconds(x));
    } else if (sideways && this.zoomed) {
      event.preventDefault();
      this.look(this.view[0] + (sideways / this.room) * this.span, this.span);
    }
  }

  pinch(before, after) {
    const [was, is] = [before, after].map(([a, b]) => Math.max(20, Math.abs(a - b)));
    const middle = this.seconds((before[0] + before[1]) / 2);
    this.zoom(is / was, middle);
  }

  /** A line of what lies under the pointer. */
  tell(x) {
    const seconds = this.seconds(x);
    const text = seconds < this.view[0] || seconds > this.view[1] ? "" : this.data.words(seconds);
    this.readout.hidden = !text;
    this.readout.textContent = text;
    const half = this.readout.offsetWidth / 2;
    this.readout.style.left = `${clamp(x, half, this.element.clientWidth - half)}px`;
  }
}

/** Rows so that segments that overlap, as those of several labels may, do not hide each other. */
export function stacked(segments) {
  const ends = [];
  return segments.map((segment) => {
    let row = ends.findIndex((end) => end <= segment.start + 1e-6);
    if (row < 0) row = ends.push(0) - 1;
    ends[row] = segment.end;
    return { ...segment, row };
  });
}

