// The page: what is served, choosing and dropping, tabs, the token.

import * as api from "./api.js";
import { $, $$, announce, el } from "./util.js";
import { add, leave, remove, session, setModel } from "./session.js";
import { definitions } from "./palette.js";
import { forgetModel, showModel } from "./model.js";
import { notice } from "./results.js";
import { explained, limitsInWords, scoreInWords } from "./words.js";
import "./keys.js";

document.body.append(definitions());
const asked = new URLSearchParams(location.search);
let models = [];

// What is served -----------------------------------------------------------------------------------

async function begin() {
  const claim = $("#claim");
  $("#choose").disabled = true;
  claim.className = "claim";
  claim.textContent = "Loading…";
  try {
    const { models: served, limits, samples } = await api.models({
      onwait: (_, starting) => {
        claim.textContent = starting ? "The server is starting: its models are being loaded…" : "The server is busy…";
      },
    });
    models = served;
    session.limits = limits;
    const wanted = models.find(({ name }) => name === asked.get("model"));
    offer(samples ?? []);
    choose(wanted ?? models.find((each) => each.default) ?? models[0]);
    $("#choose").disabled = false;
  } catch (error) {
    const { title, text } = explained(error);
    claim.className = "notice";
    notice(claim, { title, text, action: "Try again" }, begin);
  }
}

function offer(samples) {
  const select = $("#model");
  select.replaceChildren(...models.map(({ name }) => el("option", { value: name }, name)));
  $("#model-choice").hidden = models.length < 2;
  $("#limits").textContent = `${limitsInWords(session.limits)}Deleted from the server when this page is closed, or soon after.`;
  $("#samples").hidden = samples.length === 0;
  $(".samples").replaceChildren(...samples.map((sample) => el("li", {}, el(
    "button", { type: "button", onclick: () => add([{ sample }]) },
    sample.name, sample.label ? el("small", {}, `shows ${sample.label}`) : null))));
  const time = Number.parseFloat(asked.get("t"));
  session.start = Number.isFinite(time) ? time : null;
}

function choose(model) {
  $("#model").value = model.name;
  const few = model.labels.slice(0, 4).join(", ");
  const rest = model.labels.length - 4;
  $("#start-words").textContent = `Drop a video anywhere on this page. The model knows ${few}${rest > 0 ? ` and ${rest} more` : ""}.`;
  $("#claim").replaceChildren(
    el("b", {}, model.name), `: ${scoreInWords(model.score)}. `,
    el("a", { href: "#panel-model", onclick: (event) => { event.preventDefault(); tab("model", true); } }, "More on the model"));
  setModel(model);
  if (!$("#panel-model").hidden) showModel(model);
}

$("#model").addEventListener("change", (event) => {
  const model = models.find(({ name }) => name === event.target.value);
  asked.set("model", model.name);
  history.replaceState(null, "", `?${asked}`);
  choose(model);
  announce(`Model ${model.name}: ${scoreInWords(model.score)}.`);
});

// Choosing and dropping ----------------------------------------------------------------------------

const take = (files) => {
  if (!session.model) return; // what is served is not known yet, and the button says so
  tab("analyse");
  add([...files].map((file) => ({ file })));
};
$("#choose").addEventListener("click", () => $("#file").click());
$("#another").addEventListener("click", () => $("#file").click());
$("#close").addEventListener("click", () => remove(session.current));
$("#file").addEventListener("change", (event) => {
  take(event.target.files);
  event.target.value = ""; // so that the same file can be chosen again
});

let over = 0; // elements that are dragged over: the last one left ends it
const files = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files") && session.model;
const veil = (shown) => { $("#dropveil").hidden = !shown; };
addEventListener("dragenter", (event) => {
  if (!files(event)) return;
  event.preventDefault();
  over += 1;
  veil(true);
});
addEventListener("dragover", (event) => { if (files(event)) event.preventDefault(); });
addEventListener("dragleave", (event) => {
  if (!files(event)) return;
  over = Math.max(0, over - 1);
  veil(over > 0);
});
addEventListener("drop", (event) => {
  if (!files(event)) return;
  event.preventDefault();
  over = 0;
  veil(false);
  take(event.dataTransfer.files);
});
addEventListener("pagehide", (event) => { if (!event.persisted) leave(); });

// Tabs ---------------------------------------------------------------------------------------------

function tab(name, focus = false) {
  for (const each of $$("[role=tab]")) {
    const chosen = each.id === `tab-${name}`;
    each.setAttribute("aria-selected", chosen);
    each.tabIndex = chosen ? 0 : -1;
    $(`#${each.getAttribute("aria-controls")}`).hidden = !chosen;
    if (chosen && focus) each.focus();
  }
  if (name === "model") {
    $("#video").pause();
    if (session.model) showModel(session.model);
  }
}
for (const each of $$("[role=tab]")) each.addEventListener("click", () => tab(each.id.slice(4)));
$("[role=tablist]").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1, Home: -9, End: 9 }[event.key];
  if (!step) return;
  event.preventDefault();
  const all = $$("[role=tab]");
  const now = all.indexOf(document.activeElement);
  const to = Math.abs(step) > 1 ? (step > 0 ? all.length - 1 : 0) : (now + step + all.length) % all.length;
  tab(all[to].id.slice(4), true);
});

// The token ----------------------------------------------------------------------------------------

let asking = null; // one dialog for however many requests wait for it

api.onTokenWanted((error) => {
  asking ??= askToken(error).finally(() => { asking = null; });
  return asking;
});

function askToken(error) {
  const dialog = $("#token");
  const { title, text } = explained(error);
  const wrong = api.token.get() !== "";
  const input = el("input", { type: "password", id: "token-value", autocomplete: "off", required: true, "aria-describedby": "token-words" });
  const form = el(
    "form", { method: "dialog" },
    el("h2", { id: "token-title" }, wrong ? "That token was not taken" : title),
    el("p", { class: "quiet", id: "token-words" }, text),
    el("label", {}, "Token", input),
    el("div", { class: "row" }, el("button", { class: "main", value: "yes" }, "Go on"), el("button", { type: "button", onclick: () => dialog.close("") }, "Cancel")),
  );
  dialog.replaceChildren(form);
  dialog.returnValue = "";
  dialog.showModal();
  input.focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const given = dialog.returnValue === "yes" ? input.value.trim() : "";
      if (given) { api.token.set(given); forgetModel(); }
      resolve(given !== "");
    }, { once: true });
  });
}

begin();
