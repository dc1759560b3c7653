// A colour and a pattern for each class: told apart by those who do not see red and green, and
// without any colour by the pattern and the label that always stands beside it.

import { svg } from "./util.js";

// Those of the report's timeline and two more: at least 3 to 1 on light and on dark paper.
const COLOURS = ["#2f7fc1", "#cf7419", "#3f9a6a", "#b0569c", "#8d7a2b", "#6f6fd6", "#707070", "#8040e0"];
const PATTERNS = [
  null,
  "M-1 1l2-2M0 6l6-6M5 7l2-2", // rising lines
  "M1.500 1.500h1v1h-1zM4.500 4.500h1v1h-1z", // dots
  "M-1 5l2 2M0 0l6 6M5-1l2 2", // falling lines
  "M0 1.500h6M0 4.500h6", // lying lines
  "M1.500 0v6M4.500 0v6", // upright lines
];

const places = new Map(); // "model/label" -> place in order of first use: stable in a session

/** `{ colour, pattern, ink }` of a class; pattern is the id of an SVG pattern, or null. */
export function look(model, label) {
  const key = `${model}/${label}`;
  if (!places.has(key)) {
    const taken = [...places.keys()].filter((other) => other.startsWith(`${model}/`)).length;
    places.set(key, taken);
  }
  const place = places.get(key);
  const colour = COLOURS[place % COLOURS.length];
  const pattern = ((place % COLOURS.length) + Math.floor(place / COLOURS.length)) % PATTERNS.length;
  return { colour, pattern: PATTERNS[pattern] ? `pattern-${pattern}` : null, ink: inkOn(colour) };
}

/** Black or white, whichever is read better; at least 4.5 to 1 on any colour. */
function inkOn(colour) {
  const parts = [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16) / 255);
  const [red, green, blue] = parts.map((p) => (p <= 0.04045 ? p / 12.92 : ((p + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000000" : "#ffffff";
}

/** The patterns, to stand once in the page. */
export function definitions() {
  const patterns = PATTERNS.map((path, index) => path && svg(
    "pattern", { id: `pattern-${index}`, width: 6, height: 6, patternUnits: "userSpaceOnUse" },
    svg("path", { d: path, stroke: "#000000", "stroke-width": 1.3, "stroke-opacity": 0.6, fill: "none" }),
  ));
  return svg("svg", { width: 0, height: 0, class: "sprite", "aria-hidden": "true" }, svg("defs", {}, patterns));
}

/** A small square that shows the look of a class. */
export function swatch(model, label) {
  const { colour, pattern } = look(model, label);
  const square = { width: 14, height: 14, rx: 3 };
  return svg(
    "svg", { class: "swatch", viewBox: "0 0 14 14", "aria-hidden": "true" },
    svg("rect", { ...square, fill: colour }),
    pattern && svg("rect", { ...square, fill: `url(#${pattern})` }),
  );
}
