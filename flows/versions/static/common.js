"use strict";
// What every page shares: its data, and light or dark.
const data = JSON.parse(document.getElementById("data").textContent);
const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : systemIsDark.matches;
}
function toggleTheme() { document.documentElement.dataset.theme = isDark() ? "light" : "dark"; }
document.getElementById("theme").addEventListener("click", toggleTheme);
