// The video, its controls and the label over it.

import { $, clamp, clock, el, icon } from "./util.js";

const video = $("#video");
const listeners = { tick: [], broken: [], ready: [] };
let facts = { seconds: 0, rate: 25 }; // as the server measured them, once it has
let repeated = null; // the span that is played again and again, or null
let repeating = false;
let spanAt = () => null; // which span a moment belongs to; set by the timeline
let address = null; // of a copy that this page made, to be let go

export const on = (name, listener) => listeners[name].push(listener);
const tell = (name, ...what) => listeners[name].forEach((listener) => listener(...what));

export const player = {
  get time() { return video.currentTime; },
  get playing() { return !video.paused && !video.ended; },
  get duration() {
    return Number.isFinite(video.duration) && video.duration > 0 ? video.duration : facts.seconds || 0;
  },
  get rate() { return facts.rate || 25; },
  get shows() { return video.readyState >= 1; },

  /** Play an address; `own` where it is this page's object URL that only the player uses. */
  load(src, { own = false } = {}) {
    if (address) URL.revokeObjectURL(address);
    address = own ? src : null;
    repeated = null;
    video.src = src;
    video.playbackRate = Number($("#speed").value);
    this.words(null);
  },
  clear(words) {
    video.removeAttribute("src");
    video.load();
    this.words(words);
    drawTime();
  },
  /** What is known of the video; its shape keeps the page from jumping when it loads. */
  know(info) {
    facts = { seconds: info?.seconds ?? 0, rate: info?.rate ?? 25 };
    if (info?.width) $("#stage").style.aspectRatio = `${info.width} / ${info.height}`;
    else $("#stage").style.removeProperty("aspect-ratio");
    drawTime();
  },
  words(text) {
    const veil = $("#stage-words");
    veil.hidden = !text;
    veil.textContent = text ?? "";
  },
  /** What stands over the picture: `[{ label, share, colour, ink }]`. */
  overlay(labels) {
    $("#overlay").replaceChildren(...labels.map(({ label, share, colour, ink }) => {
      const pill = el("span", { class: "pill" }, el("b", {}, label), share ? ` ${share}` : "");
      if (colour) Object.assign(pill.style, { backgroundColor: colour, color: ink });
      return pill;
    }));
  },
  spans(find) { spanAt = find; if (repeating) repeated = spanAt(this.time); },

  seek(seconds) {
    // Not the very end: there some decoders have no frame to show.
    const last = Math.max(0, this.duration - 0.5 / this.rate);
    const to = clamp(seconds, 0, last);
    if (repeating) repeated = spanAt(to);
    if (this.shows) video.currentTime = to;
    tick(to);
  },
  move(seconds) { this.seek(this.time + seconds); },
  step(frames) { video.pause(); this.seek(this.time + frames / this.rate); },
  toggle() {
    if (!this.shows) return;
    if (this.playing) video.pause();
    else video.play().catch(() => {}); // a press that interrupts a press
  },
  speed(steps) {
    const select = $("#speed");
    select.selectedIndex = clamp(select.selectedIndex + steps, 0, select.options.length - 1);
    video.playbackRate = Number(select.value);
  },
  repeat() {
    repeating = !repeating;
    repeated = repeating ? spanAt(this.time) : null;
    video.loop = repeating && !repeated;
    $("#loop").setAttribute("aria-pressed", repeating);
  },
  mute() { video.muted = !video.muted; },
  full() {
    const stage = $("#stage");
    if (document.fullscreenElement) document.exitFullscreen();
    else if (stage.requestFullscreen) stage.requestFullscreen().catch(() => {});
    else video.webkitEnterFullscreen?.(); // phones that only show the video itself
  },
  /** The picture now, as an address; null where there is none. */
  picture(width = 160) {
    if (!video.videoWidth) return null;
    const canvas = el("canvas", { width, height: Math.max(1, Math.round((width * video.videoHeight) / video.videoWidth)) });
    canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
    return canvas.toDataURL("image/jpeg", 0.8);
  },
};

function drawTime(at = video.currentTime) {
  const [whole, seek] = [player.duration, $("#seek")];
  const now = clamp(at || 0, 0, whole);
  $("#time").textContent = `${clock(now)} / ${clock(whole)}`;
  seek.max = whole || 1;
  seek.value = now;
  seek.disabled = !player.shows;
  seek.setAttribute("aria-valuetext", `${clock(now)} of ${clock(whole)}`);
  seek.style.setProperty("--done", `${whole ? (now / whole) * 100 : 0}%`);
}

function tick(at = video.currentTime) {
  drawTime(at);
  tell("tick", at);
}

function follow() {
  if (repeated && (video.currentTime >= repeated.end - 0.5 / player.rate || video.currentTime < repeated.start - 0.1)) {
    video.currentTime = repeated.start;
  }
  tick();
  if (player.playing) requestAnimationFrame(follow);
}

function drawPlaying() {
  const name = player.playing ? "Pause" : "Play";
  $("#play").setAttribute("aria-label", name);
  $("#play").replaceChildren(icon(player.playing ? "pause" : "play"));
}

video.addEventListener("play", () => { drawPlaying(); requestAnimationFrame(follow); });
video.addEventListener("pause", drawPlaying);
video.addEventListener("ended", () => {
  drawPlaying();
  if (repeating) { video.currentTime = repeated?.start ?? 0; video.play().catch(() => {}); }
});
video.addEventListener("seeked", () => tick());
video.addEventListener("loadedmetadata", () => {
  // A container without a picture that this browser reads has no width: as good as broken.
  if (!video.videoWidth) return tell("broken");
  $("#stage").style.aspectRatio = `${video.videoWidth} / ${video.videoHeight}`;
  tick();
});
video.addEventListener("loadeddata", () => { if (video.videoWidth) { tick(); tell("ready"); } });
video.addEventListener("error", () => { if (video.hasAttribute("src")) tell("broken"); });
video.addEventListener("volumechange", () => {
  $("#mute").setAttribute("aria-pressed", video.muted);
  $("#mute").replaceChildren(icon(video.muted ? "mute" : "sound"));
});
video.addEventListener("click", () => player.toggle());
$("#overlay").addEventListener("click", () => player.toggle());
$("#play").addEventListener("click", () => player.toggle());
$("#back").addEventListener("click", () => player.step(-1));
$("#forth").addEventListener("click", () => player.step(1));
$("#loop").addEventListener("click", () => player.repeat());
$("#mute").addEventListener("click", () => player.mute());
$("#full").addEventListener("click", () => player.full());
$("#speed").addEventListener("change", () => player.speed(0));
$("#seek").addEventListener("input", (event) => player.seek(Number(event.target.value)));
