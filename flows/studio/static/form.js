// The form: what a person has, the method, its fields, the plan. A draft survives a reload; a problem stands at its field.
import { Problem, ask, duration, el, post, words } from "./ask.js";

const catalogue = JSON.parse(document.getElementById("catalogue").textContent);
const form = document.getElementById("make");
const DRAFT = "prior3d-draft";
const LARGEST_MB = { image: 50, mesh: 100, splats: 500 };
const CALLED = { image: "an image", mesh: "a mesh", splats: "a file of splats" };
const PLAN_AFTER_MS = 500;
const LABELS = { prompt: "In words", instruction: "What to change", image: "Image", images: "Posed images", scene: "Captured scene",
  mesh: "Mesh", shape: "Rough shape", photos: "Photos without cameras" };
const EXAMPLES = { prompt: "a red mushroom with white dots", instruction: "make the roof red", camera: "azimuth,elevation,fov, e.g. 0,10,40" };
const OPTIONS = [
  { name: "name", label: "Name of the run", hint: "made from the words" },
  { name: "seed", label: "Seed", hint: "0" },
  { name: "preset", label: "Preset", hint: "by the prior", choices: ["", "toy", "paper", "turbo"] },
  { name: "set", label: "Parameters", hint: "one a line: stage.parameter=value", lines: true },
];

const draft = { start: "words", methods: {}, inputs: {}, options: {}, key: crypto.randomUUID() };
try { Object.assign(draft, JSON.parse(localStorage.getItem(DRAFT) ?? "{}")); } catch { /* a draft of another version */ }
const save = () => localStorage.setItem(DRAFT, JSON.stringify(draft));

const offered = () => catalogue.methods.filter((method) => method.starts.includes(draft.start));
function chosen() {
  return offered().find((method) => method.name === draft.methods[draft.start]) ?? offered()[0];
}

/** The inputs that stand in front: what is needed, what this start is about, and words. */
function inFront(input, method) {
  const about = input.name === draft.start || (draft.start === "words" && input.name === "prompt");
  return input.required || (method.one_of.includes(input.name) && about);
}

/** The inputs of a method that suit what a person has: of those that exclude each other, one. */
function shownInputs(method) {
  return method.inputs.filter((input) => !method.apart.includes(input.name) || input.name === draft.start);
}

function problemAt(field, text) {
  const place = form.querySelector(`[data-problem="${CSS.escape(field)}"]`) ?? form.querySelector('[data-problem=""]');
  place.textContent = text;
  if (!text) return;
  place.closest("details")?.setAttribute("open", "");
  place.scrollIntoView({ block: "nearest" });
}
const clearProblems = () => form.querySelectorAll(".problem").forEach((place) => { place.textContent = ""; });

let planning = 0;
function changed() {
  save();
  clearTimeout(planning);
  planning = setTimeout(showPlan, PLAN_AFTER_MS);
}

/** What is sent: only what the method takes. */
function filledIn() {
  const inputs = {};
  for (const input of shownInputs(chosen())) {
    const value = draft.inputs[input.name];
    if (typeof value === "string" ? value.trim() : value) inputs[input.name] = typeof value === "string" ? value : sent(value);
  }
  return { method: chosen().name, start: draft.start === "words" ? "prompt" : draft.start, key: draft.key, inputs, ...draft.options };
}
const sent = (value) => (value.upload ? { upload: value.upload } : { path: value.path });

function isComplete() {
  const { inputs } = filledIn();
  const method = chosen();
  return method.inputs.every((input) => !input.required || inputs[input.name])
    && (!method.one_of.length || method.one_of.some((name) => inputs[name]));
}

const plan = document.getElementById("plan");
let asked = 0;
async function showPlan() {
  const number = ++asked;
  if (!isComplete()) { plan.replaceChildren(); return; }
  try {
    const found = await post("/api/plan", filledIn());
    if (number !== asked) return;
    clearProblems();
    plan.replaceChildren(...planned(found));
  } catch (problem) {
    if (number !== asked || !(problem instanceof Problem)) return;
    plan.replaceChildren();
    if (problem.field !== "lost") problemAt(problem.field, problem.message);
  }
}

function planned(found) {
  const make = found.steps.filter((step) => step.action !== "keep");
  if (!make.length) return [el("p", {}, el("b", {}, found.run), ": all of it is there already")];
  const time = found.seconds === null ? "the first of its kind here, so its time is not known" : `about ${duration(found.seconds)}`;
  const stages = `${make.length} of ${found.steps.length} stages`;
  const row = (step) => el("li", { className: step.action, title: step.reasons.join("; ") }, el("span", {}, words(step.stage)),
    el("span", { className: "soft" }, step.action === "keep" ? "there" : step.seconds ? duration(step.seconds) : ""));
  return [el("details", {}, el("summary", {}, el("b", {}, found.run), `: ${stages}, ${time}`), el("ol", {}, found.steps.map(row)))];
}

function label(input) {
  return LABELS[input.name] ?? words(input.name).replace(/^./, (letter) => letter.toUpperCase());
}

function field(input, front) {
  const id = `field-${input.name}`;
  const control = input.kind === "text" ? textField(input, id, front)
    : input.kind === "prior" ? priorField(input, id) : input.kind === "file" ? fileField(input, id) : folderField(input, id);
  const hint = front && input.kind === "text" ? "" : el("small", { className: "soft" }, input.help);
  return el("div", { className: "field" }, el("label", { htmlFor: id }, label(input)), control, hint,
    el("p", { className: "problem", role: "alert", dataset: { problem: input.name } }));
}

function textField(input, id, front) {
  const long = ["prompt", "instruction"].includes(input.name);
  const made = el(long ? "textarea" : "input", { id, value: draft.inputs[input.name] ?? "", placeholder: EXAMPLES[input.name] ?? "",
    maxLength: 2 * input.longest });
  if (long) made.rows = front ? 3 : 2;
  made.addEventListener("input", () => { draft.inputs[input.name] = made.value; problemAt(input.name, ""); changed(); });
  made.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); form.requestSubmit(); }
  });
  return made;
}

function priorField(input, id) {
  const list = el("datalist", { id: `${id}-known` }, input.known.map((name) => el("option", { value: name })));
  const made = el("input", { id, list: list.id, value: draft.inputs[input.name] ?? "", placeholder: input.default || "none" });
  made.addEventListener("input", () => { draft.inputs[input.name] = made.value; problemAt(input.name, ""); changed(); });
  return el("div", {}, made, list);
}

/** A place to drop a file on, which is also a button. */
function fileField(input, id) {
  const chooser = el("input", { type: "file", id, accept: input.suffixes.join(","), className: "chooser" });
  const shown = el("div", { className: "dropped" });
  const place = el("label", { className: "drop", htmlFor: id }, shown, chooser);
  const show = () => showFile(shown, draft.inputs[input.name], input, () => { delete draft.inputs[input.name]; show(); changed(); });
  chooser.addEventListener("change", () => { if (chooser.files[0]) take(input, chooser.files[0], show); chooser.value = ""; });
  onDrop(place, (items) => { const file = [...items.files][0]; if (file) take(input, file, show); });
  show();
  return place;
}

function onDrop(place, taken) {
  for (const name of ["dragenter", "dragover"]) {
    place.addEventListener(name, (event) => { event.preventDefault(); place.classList.add("over"); });
  }
  place.addEventListener("dragleave", () => place.classList.remove("over"));
  place.addEventListener("drop", (event) => { event.preventDefault(); place.classList.remove("over"); taken(event.dataTransfer); });
}

function showFile(shown, value, input, remove) {
  if (!value) {
    shown.replaceChildren(el("span", {}, `Drop ${CALLED[input.what]} here, or choose one`));
    return;
  }
  const image = input.what === "image" ? el("img", { src: `/api/files/${value.upload}`, alt: "" }) : "";
  const away = el("button", { type: "button", className: "quiet round", title: "remove", "aria-label": `remove ${value.name}` }, "×");
  away.addEventListener("click", (event) => { event.preventDefault(); remove(); });
  shown.replaceChildren(image, el("span", { className: "name" }, value.name), away);
}

async function take(input, file, show) {
  const kind = input.what, megabytes = file.size / 1e6;
  problemAt(input.name, "");
  try {
    if (megabytes > LARGEST_MB[kind]) {
      const size = `${Math.round(megabytes)} MB`;
      throw new Problem(input.name, `this file has ${size}; ${CALLED[kind]} may have ${LARGEST_MB[kind]} MB`);
    }
    form.classList.add("busy");
    const { upload } = await ask(`/api/files/${kind}?name=${encodeURIComponent(file.name)}`, { method: "PUT", body: file });
    draft.inputs[input.name] = { upload, name: file.name };
    show();
    changed();
  } catch (problem) {
    problemAt(input.name, problem.message);
  } finally {
    form.classList.remove("busy");
  }
}

/** A folder: dropped or chosen, or written as a path on this machine. */
function folderField(input, id) {
  const value = draft.inputs[input.name];
  const chooser = el("input", { type: "file", id: `${id}-folder`, className: "chooser", multiple: true, webkitdirectory: true });
  const shown = el("div", { className: "dropped" });
  const path = el("input", { id, value: value?.path ?? "", placeholder: "/path/to/folder on this machine" });
  const show = () => shown.replaceChildren(el("span", {}, draft.inputs[input.name]?.name ?? "Choose a folder"));
  path.addEventListener("input", () => {
    draft.inputs[input.name] = path.value.trim() ? { path: path.value.trim() } : undefined;
    problemAt(input.name, ""); show(); changed();
  });
  chooser.addEventListener("change", async () => {
    if (chooser.files.length) await takeFolder(input, [...chooser.files], shown, () => { path.value = ""; show(); });
    chooser.value = "";
  });
  show();
  return el("div", {}, el("label", { className: "drop", htmlFor: chooser.id }, shown, chooser), el("small", { className: "soft" }, "or"), path);
}

async function takeFolder(input, files, shown, show) {
  const upload = crypto.randomUUID().replaceAll("-", "");
  const top = files[0].webkitRelativePath.split("/")[0];
  problemAt(input.name, "");
  form.classList.add("busy");
  try {
    for (const [index, file] of files.entries()) {
      if (file.size) await ask(`/api/folders/${upload}?path=${encodeURIComponent(file.webkitRelativePath)}`, { method: "PUT", body: file });
      shown.textContent = `${top}: ${index + 1} of ${files.length} files`;
    }
    draft.inputs[input.name] = { upload, name: `${top}, ${files.length} files` };
    changed();
  } catch (problem) {
    problemAt(input.name, problem.message);
  } finally {
    form.classList.remove("busy");
    show();
  }
}

function option(about) {
  const id = `option-${about.name}`, value = draft.options[about.name] ?? "";
  const made = about.choices
    ? el("select", { id }, about.choices.map((name) => el("option", { value: name, selected: name === value }, name || about.hint)))
    : el(about.lines ? "textarea" : "input", { id, value, placeholder: about.hint });
  made.addEventListener("input", () => { draft.options[about.name] = made.value; problemAt(about.name, ""); changed(); });
  return el("div", { className: "field" }, el("label", { htmlFor: id }, about.label), made,
    el("p", { className: "problem", role: "alert", dataset: { problem: about.name } }));
}

function radio(group, value, text, checked, choose) {
  const made = el("input", { type: "radio", name: group, value, checked });
  made.addEventListener("change", choose);
  return el("label", { className: "choice" }, made, text);
}

/** The whole form, for what is chosen now. */
function draw() {
  document.getElementById("starts").replaceChildren(...catalogue.starts.map(([name, text]) =>
    radio("start", name, el("span", {}, text), name === draft.start, () => { draft.start = name; redraw(); })));
  document.getElementById("methods").replaceChildren(...offered().map((method) =>
    radio("method", method.name, el("span", {}, el("b", {}, method.name), el("small", { className: "soft" }, method.summary)),
      method === chosen(), () => { draft.methods[draft.start] = method.name; redraw(); })));
  const method = chosen(), inputs = shownInputs(method);
  document.getElementById("fields").replaceChildren(...inputs.filter((i) => inFront(i, method)).map((i) => field(i, true)));
  document.getElementById("optional").replaceChildren(...inputs.filter((i) => !inFront(i, method)).map((i) => field(i, false)),
    ...OPTIONS.map(option));
}

function redraw() {
  const name = document.activeElement?.name, value = document.activeElement?.value;
  clearProblems();
  draw();
  changed();
  if (name) form.querySelector(`[name="${CSS.escape(name)}"][value="${CSS.escape(value)}"]`)?.focus();
}

/** Put words into the form. */
export function suggest(text) {
  Object.assign(draft, { start: "words" });
  draft.inputs.prompt = text;
  redraw();
  document.getElementById("field-prompt")?.focus();
}

/** Show the form; `started` gets each job that it starts. */
export function showForm(started) {
  draw();
  showPlan();
  const button = document.getElementById("start");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    button.disabled = true;
    clearProblems();
    try {
      const job = await post("/api/jobs", filledIn());
      draft.key = crypto.randomUUID();
      draft.options = { ...draft.options, name: "" };
      save();
      draw();
      started(job);
    } catch (problem) {
      problemAt(problem.field === "lost" ? "" : problem.field, problem.message);
    } finally {
      button.disabled = false;
    }
  });
}
