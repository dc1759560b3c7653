// The videos of this page: sending them, asking about them, showing one of them.
// Nothing of it outlives the page.

import * as api from "./api.js";
import { $, announce, bytes, clock, lasting } from "./util.js";
import { evidence } from "./evidence.js";
import { player, on } from "./player.js";
import * as results from "./results.js";
import { drawShelf, thumbnail } from "./shelf.js";
import { timeline } from "./timeline.js";
import { explained, refused } from "./words.js";
import { look } from "./palette.js";

const LONG = 1.5; // windows: a longer video gets a timeline unasked
const WINDOW = 10; // seconds, of a model that does not know its own

export const session = { entries: [], current: null, model: null, limits: null, start: null };

let counter = 0;
let pumping = false;
const progress = new results.Progress("progress");
$("#notice").after(progress.element);

/** Add files (or a sample) and analyse them one after the other; the first is shown. */
export function add(things) {
  const fresh = things.map(({ file = null, sample = null }) => ({
    key: ++counter, file, sample, name: file?.name ?? sample.name, id: null, info: null, thumb: null,
    local: file?.size ? URL.createObjectURL(file) : null, broken: false, preview: null, remote: null,
    state: "waiting", fault: null, progress: null, control: null, after: null, of: new Map(),
  }));
  if (!fresh.length) return;
  session.entries.push(...fresh);
  select(fresh[0], { focus: true });
  for (const entry of fresh) {
    if (entry.local) thumbnail(entry.local).then((thumb) => { entry.thumb ??= thumb; shelf(); });
  }
  pump();
}

/** What one model has said of an entry. */
function said(entry, model = session.model) {
  if (!entry.of.has(model.name)) {
    entry.of.set(model.name, { prediction: null, timeline: null, job: null, pending: null, running: null, waiting: null, fault: null, tried: false, spoken: false, evidence: new Map() });
  }
  return entry.of.get(model.name);
}

async function pump() {
  if (pumping) return;
  pumping = true;
  for (let entry; (entry = session.entries.find((one) => one.state === "waiting")); ) await analyse(entry);
  pumping = false;
}

const shelf = () => drawShelf(session, { select, remove });

async function analyse(entry) {
  const control = new AbortController();
  const { signal } = control;
  Object.assign(entry, { state: "working", fault: null, control });
  const tell = (words, share = null) => { entry.progress = { words, share, cancel: () => control.abort() }; draw(entry); };
  const onwait = (seconds) => tell(`The server is busy; trying again in ${Math.ceil(seconds)} s.`);
  try {
    if (!entry.id) await send(entry, { signal, tell, onwait });
    const model = session.model;
    if (!said(entry, model).prediction) {
      tell("Looking at the video…");
      said(entry, model).prediction = await api.predict({ video: entry.id, model: model.name, topk: 5 }, { signal, onwait });
    }
    Object.assign(entry, { state: "done", progress: null });
  } catch (error) {
    if (!session.entries.includes(entry)) return;
    Object.assign(entry, { progress: null, state: api.stopped(error) ? "stopped" : "failed" });
    entry.fault = api.stopped(error) ? null : error;
    if (entry === session.current && !entry.id && !player.shows) player.words("Nothing to show");
  }
  draw(entry);
  shelf();
  if (entry.state === "done" && entry.after) { entry.after(); entry.after = null; }
  if (entry === session.current && entry.state === "done" && !said(entry).prediction) again(entry);
}

async function send(entry, { signal, tell, onwait }) {
  const wrong = entry.file && refused(entry.file, session.limits);
  if (wrong) throw new api.ApiError(wrong.status, wrong);
  if (entry.file) {
    const onprogress = (share) => tell(share < 1 ? `Sending ${bytes(entry.file.size)}…` : "The server looks at the file…", share < 1 ? share : null);
    onprogress(0);
    entry.info = await api.upload(entry.file, { signal, onprogress, onwait });
  } else {
    tell("Opening the sample…");
    entry.info = await api.sample(entry.sample.id, { signal, onwait });
  }
  entry.id = entry.info.id;
  // Taken off the shelf meanwhile: nothing stays on the server.
  if (!session.entries.includes(entry)) { api.forget("videos", entry.id); throw api.stop(); }
  if (entry === session.current) { player.know(entry.info); watch(entry); }
}

/** Analyse an entry again; from the file itself where the server no longer knows it. */
export function again(entry) {
  if (entry.fault?.status === 404) {
    Object.assign(entry, { id: null, remote: null, preview: null, broken: false });
    for (const one of entry.of.values()) one.job = null;
  }
  Object.assign(entry, { state: "waiting", fault: null });
  draw(entry);
  pump();
}

export function remove(entry) {
  entry.control?.abort();
  forget(entry);
  if (entry.local) URL.revokeObjectURL(entry.local);
  const place = session.entries.indexOf(entry);
  session.entries.splice(place, 1);
  if (entry === session.current) select(session.entries[Math.min(place, session.entries.length - 1)] ?? null, { focus: true });
  else shelf();
}

/** Let the server forget a video, and stop what it still does for it. */
function forget(entry) {
  for (const one of entry.of.values()) {
    api.forget("jobs", one.pending); // the page may be closing: nothing waits for the abort
    one.pending = null;
    one.running?.abort();
  }
  api.forget("videos", entry.id);
}

/** Forget everything on the server; the page is being closed. */
export function leave() { session.entries.forEach(forget); }

// Showing one of them ----------------------------------------------------------------------------

export function select(entry, { focus = false } = {}) {
  session.current = entry;
  $("#start").hidden = entry !== null;
  $("#work").hidden = entry === null;
  shelf();
  if (!entry) {
    player.clear(null);
    timeline.close();
    document.title = "FrameFlow";
    $("#choose").focus();
    return;
  }
  document.title = `${entry.name} · FrameFlow`;
  $("#name").textContent = entry.name;
  player.know(entry.info);
  watch(entry);
  draw(entry, { fresh: true });
  if (focus) $("#name").focus({ preventScroll: entry.info !== null });
}

export function setModel(model) {
  session.model = model;
  const entry = session.current;
  if (!entry) return;
  if (entry.id && !said(entry).prediction && entry.state !== "working") again(entry);
  draw(entry, { fresh: true });
}

/** Draw what is known of an entry, where it is the one on show. */
function draw(entry, { fresh = false } = {}) {
  if (entry !== session.current) { shelf(); return; }
  const { info, fault } = entry;
  const one = said(entry);
  $("#facts").textContent = info
    ? `${clock(info.seconds, 1)}, ${info.width} × ${info.height}, ${Number(info.rate).toFixed(2).replace(/\.?0+$/, "")} frames a second, ${info.codec}`
    : "";
  $("#notice").hidden = true;
  progress.show(entry.progress);
  if (fault) results.notice($("#notice"), explained(fault), () => again(entry));
  else if (entry.state === "stopped") results.notice($("#notice"), { title: "Cancelled", text: "", action: "Send it again" }, () => again(entry));
  if (!one.prediction) {
    results.clearResult();
    evidence.close();
    timeline.close();
  } else if (fresh || !one.spoken) {
    results.showPrediction(one.prediction, session.model, { speak: !one.spoken, long: isLong(entry) });
    one.spoken = true;
    evidence.offer({
      entry, model: session.model, kept: one.evidence, labels: one.prediction.topk.map(({ label }) => label), onstale: () => stale(entry),
    });
    showTimeline(entry, one);
  }
  tick(player.time);
}

function stale(entry) { entry.fault = new api.ApiError(404); again(entry); }

// The picture --------------------------------------------------------------------------------------

/** Give the player something to play: the local file, the upload, or a preview made of it. */
function watch(entry) {
  if (entry.preview === "made") return player.load(entry.remote);
  if (entry.info?.playable === false) entry.broken = true;
  if (entry.broken) return preview(entry);
  if (entry.local) { if ($("#video").src !== entry.local) player.load(entry.local); return; }
  if (entry.id) return api.playable(entry.id, "file").then((src) => { if (entry === session.current) player.load(src); });
  return player.clear("Opening…");
}

async function preview(entry) {
  if (entry.preview === "failed") { player.clear(entry.unseen); return; }
  player.clear(entry.state === "failed" && !entry.id ? "Nothing to show"
    : "This browser does not play this kind of file. A copy that it plays is made once the file is sent.");
  if (!entry.id || entry.preview === "making") return;
  entry.preview = "making";
  const show = (words) => { if (entry === session.current) player.words(words); };
  show("This browser does not play this kind of file. A copy that it plays is being made…");
  try {
    entry.remote = await api.playable(entry.id, "preview", {
      onprogress: (share) => show(`This browser does not play this kind of file. A copy that it plays is being made: ${Math.round(share * 100)} %`),
    });
    entry.preview = "made";
    if (entry === session.current) player.load(entry.remote);
  } catch (error) {
    unseen(entry, `No copy to play could be made: ${explained(error).text || error.message}`);
  }
}

function unseen(entry, why) {
  Object.assign(entry, { preview: "failed", unseen: `${why} The answers do not depend on it.` });
  if (entry === session.current) player.clear(entry.unseen);
}

on("broken", async () => {
  const entry = session.current;
  if (!entry) return;
  entry.broken = true;
  if (entry.preview !== "made") { preview(entry); return; }
  // What came from the server does not play: it is forgotten there, or cannot be played here.
  if (await api.there(entry.id, "preview")) unseen(entry, "This browser does not play H.264 video.");
  else stale(entry);
});
on("ready", () => {
  const entry = session.current;
  if (!entry) return;
  if (!entry.thumb) { entry.thumb = player.picture(); shelf(); }
  if (session.start !== null) { player.seek(session.start); session.start = null; } // the ?t= of the address
});

// Time ---------------------------------------------------------------------------------------------

const isLong = (entry) => entry.info.seconds > LONG * (session.model.clip_seconds ?? WINDOW);

function showTimeline(entry, one) {
  const run = (settings) => makeTimeline(entry, session.model, settings);
  if (one.timeline) {
    timeline.show(one.timeline, session.model, one.job, { name: entry.name, run, onfail: (error) => timelineFailed(entry, one, error, () => run({})) });
    results.offerMoments(true);
    if (isLong(entry)) results.showShares(one.timeline, one.prediction);
  } else timeline.offer(run);
  timeline.wait(one.waiting);
  if (one.fault) timeline.fault(...one.fault);
  if (!one.timeline && isLong(entry) && !one.running && !one.tried) run({});
}

async function makeTimeline(entry, model, settings) {
  const one = said(entry, model);
  one.running?.abort();
  const control = new AbortController();
  const { signal } = control;
  Object.assign(one, { running: control, tried: true });
  const began = performance.now();
  const shown = () => entry === session.current && model === session.model;
  const tell = (words, share = null) => {
    if (one.running !== control) return;
    one.waiting = { words, share, cancel: () => control.abort() };
    if (shown()) timeline.wait(one.waiting);
  };
  tell("Making the timeline…");
  one.fault = null;
  timeline.fault(null);
  try {
    const onwait = (seconds) => tell(`The server is busy; trying again in ${Math.ceil(seconds)} s.`);
    const { job } = await api.startTimeline({ video: entry.id, model: model.name, ...settings }, { signal, onwait });
    one.pending = job;
    const result = await api.finished(job, { signal, onprogress: ({ state, progress }) => {
      const left = progress > 0.05 ? ((performance.now() - began) / 1000) * (1 / progress - 1) : 0;
      const about = left > 2 ? ` About ${lasting(Math.round(left))} left.` : "";
      tell(state === "queued" ? "Waiting for others…" : `Making the timeline.${about}`, state === "queued" ? null : progress);
    } });
    Object.assign(one, { timeline: result, job });
    if (shown()) announce(`The timeline is there: ${result.segments.length} segments.`);
  } catch (error) {
    if (!api.stopped(error)) timelineFailed(entry, one, error, () => makeTimeline(entry, model, settings));
  }
  if (one.running !== control) return; // another one was started meanwhile
  Object.assign(one, { running: null, waiting: null, pending: null });
  if (!shown()) return;
  showTimeline(entry, one);
  tick(player.time);
}

/** Say what is wrong below the title of the timeline; its button tries the same again. */
function timelineFailed(entry, one, error, retry) {
  const gone = error.status === 404 && error.code !== "unknown_job";
  const act = gone ? () => { entry.after = retry; one.fault = null; one.timeline = null; stale(entry); } : retry;
  one.fault = [explained(error), () => { one.fault = null; act(); }];
  if (entry === session.current) timeline.fault(...one.fault);
}

/** What belongs to a moment: the label over the picture, the bars, the ribbon's playhead. */
function tick(at) {
  const entry = session.current;
  const one = entry && said(entry);
  if (!one?.prediction) return player.overlay([]);
  const now = timeline.tick(at);
  if (now) {
    results.showMoment(now, session.model, at);
    return player.overlay(now.segments);
  }
  const { prediction } = one;
  if (prediction.abstained) return player.overlay([{ label: "None of these" }]);
  const labels = prediction.present ?? [prediction.label];
  return player.overlay(labels.map((label) => ({
    label, share: Math.round(100 * (prediction.topk.find((each) => each.label === label)?.probability ?? 0)) + " %",
    ...look(session.model.name, label),
  })));
}
on("tick", tick);
