// The server, as functions. Every address is relative, so a prefix of a reverse proxy works.

import { sleep } from "./util.js";

const KEY = "frameflow-token";
const PATIENCE = 5; // times a busy server is asked again before its answer is shown

export const token = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

/** What went wrong; `status` 0 where no answer came. */
export class ApiError extends Error {
  constructor(status, { code = "", message = "", cure = "" } = {}, retryAfter = null) {
    super(message || `The server answered ${status}.`);
    Object.assign(this, { status, code, cure, retryAfter });
  }
}

export const stopped = (error) => error?.name === "AbortError";

let askToken = async () => false; // set by the page: resolves to true where a token was given
export function onTokenWanted(ask) { askToken = ask; }

function headers(more = {}) {
  return token.get() ? { ...more, Authorization: `Bearer ${token.get()}` } : more;
}

function failure(status, body, retryAfter) {
  let said = {};
  try { said = JSON.parse(body).error ?? {}; } catch { /* not JSON: the status speaks */ }
  if (typeof said !== "object") said = { message: String(said) };
  const seconds = Number.parseFloat(retryAfter);
  return new ApiError(status, said, Number.isFinite(seconds) ? seconds : null);
}

/** Ask again where the server is busy, and for a token where it wants one. */
async function patiently(send, { signal, onwait } = {}) {
  for (let tried = 0; ; tried += 1) {
    try {
      return await send();
    } catch (error) {
      if (error.status === 401 && (await askToken(error))) continue;
      const starting = error.code === "starting";
      const busy = starting || error.status === 429 || (error.status === 503 && error.retryAfter !== null);
      if (!busy || tried >= (starting ? 50 * PATIENCE : PATIENCE)) throw error;
      const wait = Math.min(Math.max(error.retryAfter ?? 2, 0.5), 30);
      onwait?.(wait, starting);
      await sleep(wait * 1000, signal);
    }
  }
}

async function once(path, { method = "GET", form, signal, more } = {}) {
  let answer;
  try {
    answer = await fetch(path, { method, body: form, signal, headers: headers(more), cache: "no-store" });
  } catch (error) {
    if (signal?.aborted) throw stop();
    throw new ApiError(0, { code: "network", message: error.message });
  }
  if (!answer.ok) {
    throw failure(answer.status, await answer.text(), answer.headers.get("Retry-After"));
  }
  return answer;
}

export const stop = () => new DOMException("Stopped by the reader.", "AbortError");

const request = (path, options = {}) => patiently(() => once(path, options), options);
const json = async (path, options) => (await request(path, options)).json();

function formOf(fields) {
  const form = new FormData();
  for (const [key, value] of Object.entries(fields)) {
    if (value !== null && value !== undefined && value !== "") form.append(key, value);
  }
  return form;
}

const post = (path, fields, options) => json(path, { ...options, method: "POST", form: formOf(fields) });
const name = encodeURIComponent;

export const models = (options) => json("v1/models", options);
export const model = (which) => json(`v1/model?model=${name(which)}`);
export const sample = (id, options) => post(`v1/samples/${name(id)}`, {}, options);
export const predict = (fields, options) => post("v1/predict", fields, options);
export const explain = (fields, options) => post("v1/explain", fields, options);
export const startTimeline = (fields, options) => post("v1/timeline", fields, options);
export const job = (id, options) => json(`v1/jobs/${name(id)}`, options);
export const download = async (id, form) =>
  (await request(`v1/jobs/${name(id)}/timeline.${form}`)).blob();

/** Tell the server to forget; nothing is waited for, so that it works while the page closes. */
export function forget(kind, id) {
  if (!id) return;
  fetch(`v1/${kind}/${name(id)}`, { method: "DELETE", headers: headers(), keepalive: true }).catch(() => {});
}

/** Send a file; `onprogress(share)` while it goes. fetch() cannot report that, so XMLHttpRequest. */
export function upload(file, { signal, onprogress, onwait } = {}) {
  return patiently(() => sendOnce(file, signal, onprogress), { signal, onwait });
}

function sendOnce(file, signal, onprogress) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(stop());
    const ask = new XMLHttpRequest();
    ask.open("POST", "v1/videos");
    for (const [key, value] of Object.entries(headers())) ask.setRequestHeader(key, value);
    ask.upload.onprogress = (event) => event.lengthComputable && onprogress?.(event.loaded / event.total);
    ask.onload = () => {
      if (ask.status < 300) return resolve(JSON.parse(ask.responseText));
      reject(failure(ask.status, ask.responseText, ask.getResponseHeader("Retry-After")));
    };
    ask.onerror = () => reject(new ApiError(0, { code: "network" }));
    ask.onabort = () => reject(stop());
    signal?.addEventListener("abort", () => ask.abort(), { once: true });
    ask.send(formOf({ file }));
  });
}

/** The address of the upload, or of its preview once it is made: the id is the key to it. */
export async function playable(id, which, { signal, onprogress } = {}) {
  const path = `v1/videos/${name(id)}/${which}`;
  if (which === "preview") await madeReady(path, signal, onprogress);
  return path;
}

/** Whether the server still has what a player asked for. */
export async function there(id, which) {
  try {
    (await once(`v1/videos/${name(id)}/${which}`, { more: { Range: "bytes=0-0" } })).body?.cancel();
    return true;
  } catch (error) {
    return error.status !== 404;
  }
}

async function madeReady(path, signal, onprogress) {
  for (let wait = 200; ; wait = Math.min(wait * 1.4, 1500)) {
    // One byte is asked for: what comes when the preview is ready is not fetched twice.
    const answer = await request(path, { signal, more: { Range: "bytes=0-0" } });
    if (answer.status !== 202) { answer.body?.cancel(); return; }
    const { state, progress, error } = await answer.json();
    if (state === "failed") throw new ApiError(422, error ?? { message: "No preview could be made." });
    onprogress?.(progress ?? 0);
    await sleep(wait, signal);
  }
}

/** Wait for a job; `onprogress(job)` with each answer. Stopping it tells the server to cancel. */
export async function finished(id, { signal, onprogress } = {}) {
  try {
    for (let wait = 150; ; wait = Math.min(wait * 1.25, 1000)) {
      const now = await job(id, { signal });
      onprogress?.(now);
      if (now.state === "done") return now.result;
      if (now.state === "cancelled") throw stop();
      if (now.state === "failed") {
        const said = typeof now.error === "string" ? { message: now.error } : (now.error ?? {});
        throw new ApiError(said.status ?? 422, said);
      }
      await sleep(wait, signal);
    }
  } catch (error) {
    if (signal?.aborted) { forget("jobs", id); throw stop(); }
    throw error;
  }
}
