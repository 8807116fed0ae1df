// The middle of the page: a mesh to turn, or the field of a run while it trains, and below it how the run is doing.
import { duration, el, post, words } from "./ask.js";
import { suggest } from "./form.js";

const view = document.getElementById("view");
const about = document.getElementById("about");
const EXAMPLES = ["a red mushroom with white dots", "a blue mug", "a green cactus in a brown pot", "a yellow umbrella"];
const STILL_PX = 320, MOVING_PX = 128, DEGREES_PER_PX = 0.5;
let drawn = "";  // what the view shows
let written = "";  // what stands below it
let live = null;

/** Nothing chosen yet. */
export function showNothing() {
  if (drawn === "nothing") return;
  drawn = "nothing";
  live = null;
  const chips = EXAMPLES.map((text) => {
    const chip = el("button", { type: "button", className: "chip" }, text);
    chip.addEventListener("click", () => suggest(text));
    return chip;
  });
  view.replaceChildren(el("div", { className: "empty" }, el("p", { className: "large" }, "What shall it be?"),
    el("p", { className: "soft" }, "Say it in words, or drop an image."), el("div", { className: "chips" }, chips)));
  about.replaceChildren();
}

/** Fetch what draws meshes, once, when there is one to draw: a megabyte that the form need not wait for. */
function loadViewer() {
  if (document.getElementById("viewer-script")) return;
  document.head.append(el("script", { id: "viewer-script", src: "/static/model-viewer.min.js" }));
}

/** A finished run. */
export function showRun(run, actions) {
  loadViewer();
  const key = `run ${run.run} ${run.version}`;
  if (drawn !== key) {
    drawn = key;
    live = null;
    const source = `/runs/${encodeURIComponent(run.run)}/mesh.glb?v=${run.version}`;
    const viewer = el("model-viewer", { src: source, alt: `${run.run} in 3D`, "camera-controls": "", "disable-pan": "",
      "camera-orbit": "30deg 75deg auto", "tone-mapping": "neutral", "shadow-intensity": "0.6", "shadow-softness": "1", loading: "eager" },
      el("div", { slot: "progress-bar" }));
    view.replaceChildren(run.done ? viewer : el("div", { className: "empty" }, el("p", { className: "soft" },
      run.problem || "This run is not complete. Its report shows what there is.")));
  }
  write(["run", run], () => [
    el("div", { className: "title" }, el("h2", {}, run.run), el("p", { className: "soft" }, `${run.method} · ${run.asked}`)),
    el("div", { className: "actions" }, run.done && link("Download GLB", `/runs/${encodeURIComponent(run.run)}/mesh.glb`, `${run.run}.glb`),
      link("Report", `/runs/${encodeURIComponent(run.run)}/page`), actions),
    el("dl", { className: "facts" }, run.facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))),
  ]);
}

function link(text, href, file) {
  const made = el("a", { className: file ? "button main" : "button", href }, text);
  if (file) made.download = file; else made.target = "_blank";
  return made;
}

/** Write below the view, if it is not as it stands there: a button that is being pressed stays. */
function write(key, children) {
  const text = JSON.stringify(key);
  if (text === written && about.childElementCount) return;
  written = text;
  about.replaceChildren(...children().flat().filter(Boolean));
}

const STATES = { waiting: "waiting for its turn", running: "running", stopping: "saving its checkpoints", stopped: "stopped", failed: "failed", done: "done" };

/** A job that waits, runs, was stopped or failed. */
export function showJob(job, place, changed) {
  loadViewer();  // its mesh comes soon
  const key = `job ${job.id}`;
  if (drawn !== key) {
    drawn = key;
    live = new Live(job.run);
    view.replaceChildren(live.element);
  }
  live.show(job);
  write(["job", job, place], () => [
    el("div", { className: "title" }, el("h2", {}, job.run), el("p", { className: "soft" }, `${job.method} · ${job.asked}`)),
    el("p", { className: `state ${job.state}`, role: "status" }, el("span", { className: "dot" }), status(job, place)),
    el("div", { className: "actions" }, buttons(job, changed)),
    el("ol", { className: "stages" }, job.stages.map((stage) => stageRow(job.state === "stopped" && ["failed", "interrupted"].includes(stage.state) ? { ...stage, state: "stopped" } : stage))),
    job.warnings.map((text) => el("p", { className: "warning" }, text)),
  ]);
}

function status(job, place) {
  if (job.state === "waiting" && place > 0) return `waiting: ${place} before it`;
  if (job.state === "running" && job.left_s !== null) return `running, about ${duration(job.left_s)} left`;
  if (job.state === "running" && !job.stages.length) return "starting";
  return job.message ? `${STATES[job.state]}: ${job.message}` : STATES[job.state];
}

function buttons(job, changed) {
  const button = (text, what, main) => {
    const made = el("button", { type: "button", className: main ? "main" : "" }, text);
    made.addEventListener("click", async () => {
      made.disabled = true;
      try { await post(`/api/jobs/${job.id}/${what}`); } catch (problem) { changed(problem); return; }
      changed();
    });
    return made;
  };
  const log = link("Log", `/api/jobs/${job.id}/log`);
  if (job.state === "running") return [button("Stop", "stop"), log];
  if (job.state === "stopping") return [log];
  if (job.state === "waiting") return [button("Stop", "stop"), button("Remove", "remove")];
  return [button("Resume", "resume", true), button("Remove", "remove"), log];
}

const MARKS = { done: "✓", restored: "✓", unchanged: "✓", failed: "!" };

function stageRow(stage) {
  const running = stage.state === "running";
  const share = stage.total ? stage.step / stage.total : 0;
  const facts = running
    ? [stage.total > 1 && `${stage.step.toLocaleString("en")} of ${stage.total.toLocaleString("en")}`, stage.left_s !== null && `${duration(stage.left_s)} left`,
      stage.loss !== null && `loss ${stage.loss.toPrecision(3)}`, stage.text]
    : [stage.state === "restored" && "from the cache", stage.state === "unchanged" && "there", stage.seconds !== null && stage.state === "done" && duration(stage.seconds),
      ["failed", "interrupted", "retrying"].includes(stage.state) && stage.state, stage.state === "stopped" && (stage.total > 1 ? `stopped at ${stage.step} of ${stage.total}` : "stopped")];
  const bar = running && stage.total > 1 ? el("progress", { max: 1, value: share, "aria-label": words(stage.name) }) : "";
  return el("li", { className: stage.state.replace(" ", "-") }, el("span", { className: "mark", "aria-hidden": "true" }, MARKS[stage.state] ?? ""),
    el("span", { className: "what" }, words(stage.name)), el("span", { className: "soft" }, facts.filter(Boolean).join(" · ")), bar);
}

/** The field while it trains: an image from the server, turned by dragging; the stage's preview in a corner. */
class Live {
  constructor(run) {
    this.run = encodeURIComponent(run);
    this.azimuth = 30; this.elevation = 15;
    this.field = ""; this.preview = "";
    this.busy = false; this.stale = false;
    this.image = el("img", { className: "field", alt: "the object while it trains; drag to turn it", draggable: false, hidden: true, tabIndex: 0 });
    this.small = el("img", { className: "preview", alt: "newest preview of the stage", hidden: true });
    this.text = el("p", { className: "soft" }, "The object appears here as soon as there is something to see.");
    this.element = el("div", { className: "live" }, this.text, this.image, this.small);
    this.image.addEventListener("pointerdown", (event) => this.grab(event));
    this.image.addEventListener("keydown", (event) => this.turnByKey(event));
  }

  show(job) {
    if (job.preview && job.preview !== this.preview) {
      this.preview = job.preview;
      this.small.src = `/runs/${this.run}/preview.png?v=${encodeURIComponent(job.preview)}`;
      this.small.onload = () => { this.small.hidden = false; this.text.hidden = true; };
      this.small.onerror = () => { this.small.hidden = true; };
    }
    if (job.field && job.field !== this.field) {
      this.field = job.field;
      this.draw(STILL_PX);
    }
    this.element.classList.toggle("large-preview", this.image.hidden);
  }

  async draw(size) {
    if (this.busy) { this.stale = true; return; }
    this.busy = true;
    this.stale = false;
    const asked = `azimuth=${this.azimuth}&elevation=${this.elevation}&size=${size}&v=${encodeURIComponent(this.field)}`;
    try {
      const answer = await fetch(`/runs/${this.run}/live.jpg?${asked}`);
      if (answer.ok) {
        const before = this.image.src;
        this.image.src = URL.createObjectURL(await answer.blob());
        await this.image.decode().catch(() => {});
        if (before.startsWith("blob:")) URL.revokeObjectURL(before);
        this.image.hidden = false;
        this.text.hidden = true;
        this.element.classList.remove("large-preview");
      }
    } catch { /* studio is gone: the page says so elsewhere */ }
    this.busy = false;
    if (this.stale) this.draw(this.turning ? MOVING_PX : STILL_PX);
    else if (size < STILL_PX && !this.turning) this.draw(STILL_PX);
  }

  grab(event) {
    event.preventDefault();
    this.image.setPointerCapture(event.pointerId);
    this.turning = true;
    let [x, y] = [event.clientX, event.clientY];
    const move = (moved) => {
      this.turn((x - moved.clientX) * DEGREES_PER_PX, (moved.clientY - y) * DEGREES_PER_PX);
      [x, y] = [moved.clientX, moved.clientY];
    };
    const end = () => {
      this.turning = false;
      this.image.removeEventListener("pointermove", move);
      this.draw(STILL_PX);
    };
    this.image.addEventListener("pointermove", move);
    this.image.addEventListener("pointerup", end, { once: true });
    this.image.addEventListener("pointercancel", end, { once: true });
  }

  turn(azimuth, elevation) {
    this.azimuth = (this.azimuth + azimuth + 360) % 360;
    this.elevation = Math.min(85, Math.max(-85, this.elevation + elevation));
    this.draw(MOVING_PX);
  }

  turnByKey(event) {
    const step = { ArrowLeft: [15, 0], ArrowRight: [-15, 0], ArrowUp: [0, 10], ArrowDown: [0, -10] }[event.key];
    if (!step) return;
    event.preventDefault();
    this.turn(...step);
  }
}
