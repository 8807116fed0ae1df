// What is shown, and the look at the server that keeps it up to date.
import { ask, el, post } from "./ask.js";
import { showForm } from "./form.js";
import { showJob, showNothing, showRun } from "./stage.js";
import { showQueue, showRuns } from "./shelf.js";

const EVERY_MS = 1000, HIDDEN_MS = 5000;
const lost = document.getElementById("lost");
let jobs = [], runs = [], done = "", shown = decodeURIComponent(location.hash.slice(1));

function show(what) {
  shown = what;
  history.replaceState(null, "", `#${encodeURIComponent(what)}`);
  draw();
  showRuns(runs, shown, show);
  if (innerWidth < 900) document.getElementById("stage").scrollIntoView({ behavior: "smooth", block: "start" });
}

/** The job or run that is shown; a job that is done gives way to its run. */
function draw() {
  showQueue(jobs, shown, show);
  const job = jobs.find((each) => shown === `job ${each.id}`);
  const run = runs.find((each) => shown === `run ${each.run}` || (job?.state === "done" && each.run === job.run));
  if (job && job.state !== "done") {
    const ahead = jobs.filter((each) => ["waiting", "running", "stopping"].includes(each.state) && each.queued < job.queued).length;
    showJob(job, ahead, (problem) => (problem ? say(problem.message) : look()));
  } else if (run) showRun(run, forget(job));
  else if (!job) showNothing();
}

/** Rename nothing, lose nothing: a run is removed on the command line only. */
function forget(job) {
  if (!job) return null;
  const made = el("button", { type: "button", className: "quiet", title: "take it off the queue's list; the run stays" }, "Tidy up");
  made.addEventListener("click", async () => { await post(`/api/jobs/${job.id}/remove`).catch(() => {}); shown = `run ${job.run}`; look(); });
  return made;
}

function say(text) {
  lost.textContent = text;
  lost.hidden = !text;
}

async function look() {
  try {
    jobs = await ask("/api/jobs");
    const ended = JSON.stringify(jobs.filter((job) => !["waiting", "running", "stopping"].includes(job.state)).map((job) => [job.id, job.state]));
    if (ended !== done) {
      runs = await ask("/api/runs");
      done = ended;
      showRuns(runs, shown, show);
    }
    say("");
    draw();
  } catch (problem) {
    say(problem.message);
  }
}

async function keepLooking() {
  await look();
  setTimeout(keepLooking, document.hidden ? HIDDEN_MS : EVERY_MS);
}

document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  localStorage.setItem("prior3d-theme", root.dataset.theme = dark ? "light" : "dark");
});
const theme = localStorage.getItem("prior3d-theme");
if (theme) document.documentElement.dataset.theme = theme;
addEventListener("dragover", (event) => event.preventDefault());  // a file beside its field does not replace the page
addEventListener("drop", (event) => event.preventDefault());
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });

showForm((job) => { jobs = [...jobs.filter((each) => each.id !== job.id), job]; show(`job ${job.id}`); look(); });
keepLooking();
