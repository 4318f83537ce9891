// The page: asks the server what it serves, and opens the form that fits.

import { ApiError, asCurl, getStatus, hasKey, setKey } from "./api.js";
import { make } from "./elements.js";
import { openGeneration } from "./generation.js";
import { openTaskForm } from "./task_form.js";
import { TASKS } from "./tasks.js";

const AGAIN_MILLISECONDS = 1000;
const element = (id) => document.getElementById(id);
let opened = false;

const page = {
  clear() {
    element("trouble").hidden = true;
    element("request").hidden = true;
  },
  showRequest(path, body) {
    element("request").hidden = false;
    element("request").querySelector("pre").textContent = asCurl(path, body);
  },
  showTrouble(error) {
    const known = error instanceof ApiError;
    const soon = known && error.retryAfter ? ` Try again in ${error.retryAfter} s.` : "";
    element("trouble").replaceChildren(
      make("strong", {}, known ? error.headline : "This page failed"),
      make("span", {}, `${error.message}${soon}`),
    );
    element("trouble").hidden = false;
    element("trouble").scrollIntoView({ block: "nearest" });
    if (known && error.status === 401) askForKey();
  },
};

element("access").addEventListener("submit", (event) => {
  event.preventDefault();
  setKey(element("key").value);
  page.clear();
  look();
});
look();

/** Ask how the server is, again and again until the model answers. */
async function look() {
  try {
    const status = await getStatus();
    element("access").hidden = true;
    element("key").value = "";
    document.querySelectorAll(".open").forEach((link) => {
      link.hidden = hasKey();
    });
    describe(status);
    if (status.stage === "loading") setTimeout(look, AGAIN_MILLISECONDS);
    else open(status);
  } catch (error) {
    if (error.status === 401 && !hasKey()) askForKey();
    else page.showTrouble(error);
    if (error.status === 401) showStage("locked", "needs a key");
    else showStage("unknown", "no answer");
  }
}

function askForKey() {
  setKey("");
  document.querySelectorAll(".open").forEach((link) => {
    link.hidden = true;
  });
  element("access").hidden = false;
  element("key").focus();
}

function describe(status) {
  document.title = `${status.model} · LLMInference`;
  element("model").textContent = status.model;
  element("version").textContent = `Version ${status.version}`;
  const words = { loading: `loading: ${status.phase}`, ready: "ready", draining: "shutting down" };
  showStage(status.stage, words[status.stage] ?? status.stage);
  const limit = status.max_input_tokens;
  const facts = [
    status.task,
    status.engine,
    status.device && status.precision && `${status.precision} on ${status.device}`,
    limit && `texts up to ${limit.toLocaleString("en")} tokens`,
    status.revision && `commit ${status.revision.slice(0, 10)}`,
  ];
  element("facts").textContent = facts.filter(Boolean).join(" · ");
}

function showStage(stage, words) {
  element("stage").dataset.stage = stage;
  element("stage").textContent = words;
}

function open(status) {
  if (opened) return;
  opened = true;
  const place = element("try");
  if (status.task in TASKS) openTaskForm(place, status, page);
  else openGeneration(place, status, page);
  place.querySelector("textarea, input")?.focus();
}
