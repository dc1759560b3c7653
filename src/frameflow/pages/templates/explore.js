"use strict";
(() => {
  const data = JSON.parse(document.getElementById("clips-data").textContent);
  const byId = (id) => document.getElementById(id);
  const plane = byId("plane"), shown = byId("shown"), legend = byId("legend"), picture = byId("picture");
  const count = data.x.length;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  // Eight hues told apart with any colour vision, and eight shapes: after eight names the shapes
  // move on by one, after 64 they are hollow.
  const HUES = {
    light: ["#0e46b5", "#e37811", "#1caa5d", "#884385", "#9e5101", "#4380ff", "#830211", "#575c4f"],
    dark: ["#6e72e8", "#d9762c", "#44ff92", "#b366a0", "#fddd4b", "#99cdff", "#ee3661", "#effff9"],
  };
  const SHAPES = [
    "M1 0A1 1 0 1 1 -1 0A1 1 0 1 1 1 0Z",
    "M-.9 -.9H.9V.9H-.9Z",
    "M0 -1.15L1.1 .85H-1.1Z",
    "M0 -1.25L1.25 0L0 1.25L-1.25 0Z",
    "M0 1.15L1.1 -.85H-1.1Z",
    "M-.4 -1.2H.4V-.4H1.2V.4H.4V1.2H-.4V.4H-1.2V-.4H-.4Z",
    "M-1.15 -.6L-.6 -1.15L0 -.55L.6 -1.15L1.15 -.6L.55 0L1.15 .6L.6 1.15L0 .55L-.6 1.15L-1.15 .6L-.55 0Z",
    "M0 -1.3L.4 -.42L1.28 -.4L.6 .18L.84 1.08L0 .55L-.84 1.08L-.6 .18L-1.28 -.4L-.4 -.42Z",
  ];
  const PATHS = SHAPES.map((text) => new Path2D(text));
  const NONE = new Path2D("M.8 0A.8 .8 0 1 1 -.8 0A.8 .8 0 1 1 .8 0Z");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const look = (number) => ({
    hue: HUES[dark.matches ? "dark" : "light"][number % 8],
    shape: (number + Math.floor(number / 8)) % 8,
    hollow: Math.floor(number / 64) % 2 === 1,
  });
  const ringed = new Set(data.suspects);

  let way = 0, only = -1, words = "", at = -1, pinned = false;
  let scale = 1, left = 0, top = 0, width = 1, height = 1;
  let visible = new Uint8Array(count).fill(1);

  // Which clips are shown in full -------------------------------------------------------------

  const texts = data.names.map((name, i) =>
    [name, ...data.by.map((w) => (w.of[i] < 0 ? "" : w.names[w.of[i]]))].join(" ").toLowerCase());
  const sift = () => {
    const of = data.by[way].of;
    let left = 0;
    for (let i = 0; i < count; i++) {
      visible[i] = (only === -1 || of[i] === (only === -2 ? -1 : only)) && (!words || texts[i].includes(words)) ? 1 : 0;
      left += visible[i];
    }
    byId("count").textContent = left === count ? `${count.toLocaleString("en")} clips` : `${left.toLocaleString("en")} of ${count.toLocaleString("en")} clips`;
    draw();
  };

  // Drawing -----------------------------------------------------------------------------------

  const px = (i) => (data.x[i] - 0.5) * (width - 40) * scale + width / 2 + left;
  const py = (i) => (data.y[i] - 0.5) * (height - 40) * scale + height / 2 + top;
  let asked = false;
  const draw = () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(paint);
  };
  const paint = () => {
    asked = false;
    const style = getComputedStyle(document.documentElement);
    const ink = (name) => style.getPropertyValue(name).trim();
    const ratio = window.devicePixelRatio || 1;
    width = plane.clientWidth;
    height = plane.clientHeight;
    plane.width = Math.round(width * ratio);
    plane.height = Math.round(height * ratio);
    const pen = plane.getContext("2d");
    pen.scale(ratio, ratio);
    const size = Math.max(2.2, Math.min(5.2, (0.16 * Math.sqrt(width * height)) / Math.sqrt(count))) * Math.min(1.7, Math.sqrt(scale));
    if (byId("lines") && byId("lines").checked) {
      pen.strokeStyle = ink("--wrong");
      pen.globalAlpha = data.pairs.length > 300 ? 0.3 : 0.6;
      pen.beginPath();
      for (const [one, two] of data.pairs) {
        if (!visible[one] && !visible[two]) continue;
        pen.moveTo(px(one), py(one));
        pen.lineTo(px(two), py(two));
      }
      pen.stroke();
    }
    const of = data.by[way].of;
    for (const turn of [0, 1]) {
      for (let i = 0; i < count; i++) {
        if (visible[i] !== turn) continue;
        const x = px(i), y = py(i);
        if (x < -9 || y < -9 || x > width + 9 || y > height + 9) continue;
        pen.save();
        pen.translate(x, y);
        pen.scale(size, size);
        pen.globalAlpha = turn ? 0.88 : 0.13;
        pen.lineWidth = 1.4 / size;
        if (of[i] < 0) {
          pen.strokeStyle = ink("--quiet");
          pen.stroke(NONE);
        } else {
          const { hue, shape, hollow } = look(of[i]);
          pen.strokeStyle = pen.fillStyle = hue;
          hollow ? pen.stroke(PATHS[shape]) : pen.fill(PATHS[shape]);
        }
        pen.restore();
      }
    }
    const circle = (i, radius, colour, weight) => {
      pen.globalAlpha = 1;
      pen.strokeStyle = colour;
      pen.lineWidth = weight;
      pen.beginPath();
      pen.arc(px(i), py(i), radius, 0, 7);
      pen.stroke();
    };
    if (byId("ring") && byId("ring").checked) {
      for (const i of data.suspects) if (visible[i]) circle(i, size + 4.5, ink("--wrong"), 1.6);
    }
    if (at >= 0) {
      circle(at, size + 5, ink("--ink"), 2.5);
      circle(at, size + 8, ink("--sheet"), 1.5);
    }
  };

  // The clip that is pointed at ---------------------------------------------------------------

  const sheets = new Map();
  const sheet = (number) => {
    if (!sheets.has(number)) {
      const image = new Image();
      image.src = data.sheets.uris[number];
      sheets.set(number, image);
    }
    return sheets.get(number);
  };
  let clock = 0, frame = 0;
  const moving = picture.getContext("2d");
  const step = () => {
    const place = at < 0 ? null : data.sheets.places[at];
    moving.clearRect(0, 0, picture.width, picture.height);
    if (!place) return;
    const { width: w, height: h, frames } = data.sheets;
    const image = sheet(place[0]);
    const show = () => moving.drawImage(image, (frame % frames) * w, place[1] * h, w, h, 0, 0, w, h);
    image.complete ? show() : image.addEventListener("load", step, { once: true });
  };
  const line = (parts) => {
    const p = document.createElement("p");
    for (const [text, kind] of parts) {
      const part = document.createElement(kind ? "b" : "span");
      if (kind === "said") part.className = "said";
      part.textContent = text;
      p.append(part);
    }
    return p;
  };
  const show = (i) => {
    if (i === at) return;
    at = i;
    frame = 0;
    clearInterval(clock);
    if (i < 0) {
      const hint = line([["Point at a clip, tap it, or go through them with the arrow keys."]]);
      hint.className = "quiet";
      shown.replaceChildren(hint);
    } else {
      const rows = [];
      for (const w of data.by) rows.push(line([[`${w.what} `], [w.of[i] < 0 ? "none" : w.names[w.of[i]], "b"]]));
      if (data.said[i]) {
        const [label, share, own] = data.said[i];
        rows.push(line([["looks like "], [label, "said"], [` ${share.toFixed(2)}, its own label ${own.toFixed(2)}`]]));
      } else if (data.guesses[i]) {
        rows.push(line([["looks like "], [data.guesses[i][0], "said"], [` ${data.guesses[i][1].toFixed(2)}`]]));
      }
      const file = line([[data.names[i]]]);
      file.className = "quiet small";
      if (!data.sheets.places[i]) file.append(" (no picture kept)");
      shown.replaceChildren(...rows, file);
      if (!still && data.sheets.frames > 1) clock = setInterval(() => { frame++; step(); }, 350);
    }
    step();
    draw();
  };
  const nearest = (x, y, most) => {
    let best = -1, least = most * most;
    for (let i = 0; i < count; i++) {
      if (!visible[i]) continue;
      const gap = (px(i) - x) ** 2 + (py(i) - y) ** 2;
      if (gap < least) [best, least] = [i, gap];
    }
    return best;
  };
  const zoom = (factor, x = width / 2, y = height / 2) => {
    const next = Math.max(1, Math.min(40, scale * factor));
    left = (left + width / 2 - x) * (next / scale) + x - width / 2;
    top = (top + height / 2 - y) * (next / scale) + y - height / 2;
    scale = next;
    if (scale === 1) left = top = 0;
    plane.style.touchAction = scale > 1 ? "none" : "pan-y";
    draw();
  };
  const bring = (i) => {
    const x = px(i), y = py(i);
    if (x < 20 || x > width - 20) left += width / 2 - x;
    if (y < 20 || y > height - 20) top += height / 2 - y;
  };

  // Pointer, keys, controls -------------------------------------------------------------------

  let held = null;
  plane.addEventListener("pointerdown", (e) => { held = { x: e.offsetX, y: e.offsetY, left, top, moved: false }; });
  plane.addEventListener("pointermove", (e) => {
    if (held && scale > 1) {
      const dx = e.offsetX - held.x, dy = e.offsetY - held.y;
      if (Math.abs(dx) + Math.abs(dy) > 4) {
        held.moved = true;
        left = held.left + dx;
        top = held.top + dy;
        draw();
      }
      return;
    }
    if (!pinned) show(nearest(e.offsetX, e.offsetY, 22));
  });
  plane.addEventListener("pointerup", (e) => {
    if (held && !held.moved) {
      const i = nearest(e.offsetX, e.offsetY, 26);
      pinned = i >= 0;
      show(i);
    }
    held = null;
  });
  plane.addEventListener("pointercancel", () => { held = null; });
  plane.addEventListener("pointerleave", () => { held = null; if (!pinned) show(-1); });
  plane.addEventListener("wheel", (e) => {
    if (!e.ctrlKey && !e.metaKey) return;
    e.preventDefault();
    zoom(e.deltaY < 0 ? 1.25 : 0.8, e.offsetX, e.offsetY);
  }, { passive: false });
  const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  plane.addEventListener("keydown", (e) => {
    if (e.key === "Escape") { pinned = false; show(-1); return; }
    if (e.key === "+" || e.key === "=") { zoom(1.5); return; }
    if (e.key === "-") { zoom(1 / 1.5); return; }
    if (e.key === "0") { zoom(0); return; }
    const go = WAYS[e.key];
    if (!go || e.altKey || e.ctrlKey || e.metaKey) return;
    e.preventDefault();
    pinned = true;
    if (at < 0) { show(nearest(width / 2, height / 2, 1e6)); return; }
    let best = -1, least = Infinity;
    for (let i = 0; i < count; i++) {
      if (!visible[i] || i === at) continue;
      const dx = px(i) - px(at), dy = py(i) - py(at);
      const along = dx * go[0] + dy * go[1], across = Math.abs(dx * go[1]) + Math.abs(dy * go[0]);
      if (along > 0 && along + 3 * across < least) [best, least] = [i, along + 3 * across];
    }
    if (best >= 0) { show(best); bring(best); draw(); }
  });
  byId("in").addEventListener("click", () => zoom(1.6));
  byId("out").addEventListener("click", () => zoom(1 / 1.6));
  byId("all").addEventListener("click", () => zoom(0));
  byId("find").addEventListener("input", (e) => { words = e.target.value.trim().toLowerCase(); sift(); });
  for (const id of ["ring", "lines"]) if (byId(id)) byId(id).addEventListener("change", draw);
  for (const input of document.querySelectorAll('input[name="way"]')) {
    input.addEventListener("change", () => { way = Number(input.value); only = -1; describe(); sift(); });
  }
  for (const button of document.querySelectorAll(".goto")) {
    const i = data.rows.indexOf(Number(button.dataset.row));
    button.addEventListener("click", () => {
      only = -1; words = byId("find").value = "";
      describe(); sift();
      pinned = true;
      show(i); bring(i); draw();
      byId("map").scrollIntoView({ behavior: still ? "auto" : "smooth" });
      plane.focus({ preventScroll: true });
    });
  }

  // Legend ------------------------------------------------------------------------------------

  const icon = (number) => {
    if (number < 0) return '<svg viewBox="-1.6 -1.6 3.2 3.2" aria-hidden="true"><circle r="1" fill="none" stroke="currentColor" stroke-width=".35"/></svg>';
    const { hue, shape, hollow } = look(number);
    const paint = hollow ? `fill="none" stroke="${hue}" stroke-width=".4"` : `fill="${hue}"`;
    return `<svg viewBox="-1.6 -1.6 3.2 3.2" aria-hidden="true"><path d="${SHAPES[shape]}" ${paint}/></svg>`;
  };
  const describe = () => {
    const { names, of, legend: wanted } = data.by[way];
    const sizes = new Map();
    for (const number of of) sizes.set(number, (sizes.get(number) || 0) + 1);
    const entries = wanted ? names.map((name, number) => [number, name]) : [];
    if (sizes.has(-1)) entries.push([-1, "none"]);
    legend.replaceChildren(...entries.map(([number, name]) => {
      const button = document.createElement("button");
      const key = number === -1 ? -2 : number;
      button.type = "button";
      button.innerHTML = icon(number);
      button.setAttribute("aria-pressed", String(only === key));
      const size = document.createElement("span");
      size.className = "quiet";
      size.textContent = sizes.get(number) || 0;
      button.append(name, size);
      button.addEventListener("click", () => {
        only = only === key ? -1 : key;
        for (const other of legend.children) other.setAttribute("aria-pressed", String(other === button && only === key));
        sift();
      });
      return button;
    }));
    if (!wanted) legend.append(`${names.length.toLocaleString("en")} names: find one by typing it above.`);
  };

  new ResizeObserver(draw).observe(plane);
  dark.addEventListener("change", () => { describe(); draw(); });
  describe();
  sift();
})();
