// The right side: the queue, and the shelf of all runs with what was chosen to compare.
import { el } from "./ask.js";

const queue = document.getElementById("queue");
const shelf = document.querySelector("#runs .cards");
const none = document.querySelector("#runs .none");
const compare = document.getElementById("compare");
const MOST = 6;
const thumbnails = new Map();
const picked = new Set();

/** The jobs that are not done. */
export function showQueue(jobs, shown, show) {
  const open = jobs.filter((job) => job.state !== "done");
  queue.hidden = !open.length;
  const key = JSON.stringify([open.map((job) => [job.id, job.state, share(job)]), shown]);
  if (queue.dataset.key === key) return;
  queue.dataset.key = key;
  const focused = document.activeElement?.dataset?.job;
  queue.querySelector(".cards").replaceChildren(...open.map((job) => {
    const made = el("button", { type: "button", className: `card job ${job.state}`, dataset: { job: job.id }, "aria-pressed": String(shown === `job ${job.id}`) },
      el("span", { className: "dot" }), el("span", { className: "text" }, el("b", {}, job.run), el("small", { className: "soft" }, `${job.state} · ${job.method}`)),
      job.state === "running" ? el("progress", { max: 1, value: share(job), "aria-label": "stages done" }) : "");
    made.addEventListener("click", () => show(`job ${job.id}`));
    return made;
  }));
  if (focused) queue.querySelector(`[data-job="${focused}"]`)?.focus();
}

function share(job) {
  if (!job.stages.length) return 0;
  const done = job.stages.reduce((sum, s) => sum + (["done", "restored", "unchanged"].includes(s.state) ? 1 : s.total && s.state === "running" ? s.step / s.total : 0), 0);
  return Math.round(100 * done / job.stages.length) / 100;
}

/** All runs. */
export function showRuns(runs, shown, show) {
  none.hidden = runs.length > 0;
  const there = new Set(runs.map((run) => run.run));
  for (const name of picked) if (!there.has(name)) picked.delete(name);
  shelf.replaceChildren(...runs.map((run) => card(run, shown, show)));
  showPicked();
}

function card(run, shown, show) {
  const image = el("img", { alt: "", className: "thumbnail", width: 56, height: 56 });
  thumbnail(run, image);
  const open = el("button", { type: "button", className: "open", dataset: { run: run.run }, "aria-pressed": String(shown === `run ${run.run}`) }, image,
    el("span", { className: "text" }, el("b", {}, run.run), el("small", { className: "soft" }, run.problem ? "damaged" : run.done ? run.method : `${run.method}, not complete`)));
  open.addEventListener("click", () => show(`run ${run.run}`));
  const box = el("input", { type: "checkbox", title: "compare", "aria-label": `compare ${run.run}`, checked: picked.has(run.run), disabled: !run.done });
  box.addEventListener("change", () => {
    if (box.checked) picked.add(run.run); else picked.delete(run.run);
    if (picked.size > MOST) { picked.delete(run.run); box.checked = false; }
    showPicked();
  });
  return el("div", { className: "card" }, open, box);
}

async function thumbnail(run, image) {
  const key = `${run.run} ${run.version} ${run.when}`;
  if (!thumbnails.has(key)) {
    const asked = fetch(`/runs/${encodeURIComponent(run.run)}/thumbnail`).then((answer) => (answer.ok ? answer.text() : "")).catch(() => "");
    thumbnails.set(key, asked);
  }
  const url = await thumbnails.get(key);
  if (url.startsWith("data:image/")) image.src = url; else image.classList.add("blank");
}

function showPicked() {
  compare.hidden = picked.size < 2;
  compare.textContent = `Compare ${picked.size}`;
}

compare.addEventListener("click", () => {
  const query = [...picked].map((name) => `run=${encodeURIComponent(name)}`).join("&");
  window.open(`/compare?${query}`, "_blank");
});
