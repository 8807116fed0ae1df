"use strict";
// Viewers of meshes and of splats that move together, turntables on one slider, images that grow.
const viewers = [...document.querySelectorAll("model-viewer")];
const START = { orbit: "30deg 75deg 4.1m", fieldOfView: "40deg" };
for (const viewer of viewers) {
  viewer.addEventListener("camera-change", (event) => {
    if (event.detail.source === "user-interaction") follow(viewer);
  });
}
// The rest of the page is there to read while the objects are loaded.
const splats = [];
function loadObjects() {
  for (const viewer of viewers) viewer.src = data.models[viewer.dataset.model];
  for (const canvas of document.querySelectorAll("canvas.splats")) {
    splats.push(new SplatViewer(canvas, data.splats[canvas.dataset.splats], followSplats));
  }
}
addEventListener("load", () => requestAnimationFrame(() => setTimeout(loadObjects, 0)));
function follow(leader) {
  for (const viewer of viewers) {
    if (viewer === leader) continue;
    viewer.cameraOrbit = leader.getCameraOrbit().toString();
    viewer.fieldOfView = `${leader.getFieldOfView()}deg`;
    viewer.jumpCameraToGoal();
  }
  const { theta, phi, radius } = leader.getCameraOrbit();
  for (const other of splats) other.look({ azimuth: theta / RADIANS, elevation: 90 - phi / RADIANS, radius });
}
function followSplats(leader) {
  const { azimuth, elevation, radius } = leader.orbit;
  for (const viewer of viewers) {
    viewer.cameraOrbit = `${azimuth}deg ${90 - elevation}deg ${radius}m`;
    viewer.jumpCameraToGoal();
  }
  for (const other of splats) if (other !== leader) other.look(leader.orbit);
}
function rotate() {
  const button = document.getElementById("rotate");
  if (!button) return;
  const on = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(on));
  for (const viewer of viewers) { viewer.autoRotateDelay = 0; viewer.autoRotate = on; }
  for (const viewer of splats) viewer.rotate(on);
}
function reset() {
  for (const viewer of viewers) {
    viewer.resetTurntableRotation(0);
    viewer.cameraOrbit = START.orbit;
    viewer.fieldOfView = START.fieldOfView;
    viewer.jumpCameraToGoal();
  }
  for (const viewer of splats) viewer.look(viewer.shown.orbit);
}
document.getElementById("rotate")?.addEventListener("click", rotate);
document.getElementById("reset")?.addEventListener("click", reset);

const slider = document.getElementById("turn");
const turning = [...document.querySelectorAll("img.turning")];
const choices = [...document.querySelectorAll("button.series")];
let series = choices.length ? choices[0].dataset.series : Object.keys(data.series.find((s) => Object.keys(s).length) ?? {})[0];
function turn() {
  if (!slider) return;
  const degrees = Number(slider.value);
  document.getElementById("angle").textContent = `${degrees}°`;
  for (const image of turning) {
    const frames = data.series[Number(image.dataset.version)][series];
    if (frames) image.src = frames[Math.round((degrees / 360) * frames.length) % frames.length];
    image.style.visibility = frames ? "visible" : "hidden";
  }
  for (const button of choices) button.setAttribute("aria-pressed", String(button.dataset.series === series));
}
for (const button of choices) button.addEventListener("click", () => { series = button.dataset.series; turn(); });
slider?.addEventListener("input", turn);
turn();

const large = document.getElementById("large");
function enlarge(image) {
  large.querySelector("img").src = image.src;
  large.querySelector("p").textContent = image.alt;
  large.showModal();
}
for (const image of document.querySelectorAll("img.large")) {
  image.addEventListener("click", () => enlarge(image));
  image.addEventListener("keydown", (event) => { if (event.key === "Enter") enlarge(image); });
}
large.addEventListener("click", () => large.close());

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || large.open) return;
  const inControl = event.target.closest("button, input, model-viewer, canvas, summary");
  if (event.key === "t") toggleTheme();
  else if (event.key === "0") reset();
  else if (event.key === " " && !inControl) { event.preventDefault(); rotate(); }
  else if ((event.key === "ArrowLeft" || event.key === "ArrowRight") && slider && !inControl) {
    event.preventDefault();
    slider.value = (Number(slider.value) + (event.key === "ArrowRight" ? 10 : 350)) % 360;
    turn();
  }
});
