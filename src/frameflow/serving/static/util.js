// Small things that every part of the page uses.

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes, listeners (`onclick`) and children; text is never read as HTML. */
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** One of the symbols that index.html holds. */
export const icon = (name) =>
  svg("svg", { class: "icon", "aria-hidden": "true" }, svg("use", { href: `#i-${name}` }));

export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** 75.25 -> "1:15.3"; with `digits` 0 "1:15"; an hour and more "1:02:03.4". */
export function clock(seconds, digits = 1) {
  const scale = 10 ** digits;
  const whole = Math.round(Math.max(0, Number.isFinite(seconds) ? seconds : 0) * scale) / scale;
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  const rest = (whole % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** "12.3 s", "2 min 5 s": a length, not a moment. */
export function lasting(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  if (hours) return minutes ? `${hours} h ${minutes} min` : `${hours} h`;
  return rest ? `${minutes} min ${rest} s` : `${minutes} min`;
}

/** A probability as readers expect it: never "100 %" or "0 %" of what is not certain. */
export function percent(share) {
  if (share > 0 && share < 0.01) return "<\u00a01\u00a0%";
  if (share < 1 && share > 0.99) return ">\u00a099\u00a0%";
  return `${Math.round(share * 100)} %`;
}

export function bytes(count) {
  for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (count >= size) return `${(count / size).toFixed(count < 10 * size ? 1 : 0)} ${unit}`;
  }
  return `${count} bytes`;
}

/** "a", "a or b", "a, b or c". */
export function listed(words, last = "or") {
  if (words.length < 2) return words.join("");
  return `${words.slice(0, -1).join(", ")} ${last} ${words.at(-1)}`;
}

/** Say something to a screen reader, once, when it is idle; what follows does not silence it. */
export function announce(text) {
  const region = $("#announcer");
  region.append(el("p", {}, text));
  while (region.children.length > 6) region.firstChild.remove();
}

/** A label that may break where its words meet: "Backhand|Slice", "jump_|rope". */
export function breakable(label) {
  const parts = label.split(/(?<=\p{Ll})(?=\p{Lu})|(?<=[_/-])/u);
  return parts.flatMap((part, index) => (index ? [el("wbr"), part] : [part]));
}

export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
  });
}

/** Hand text or bytes to the reader as a file. */
export function save(blob, name) {
  const address = URL.createObjectURL(blob);
  const link = el("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
