"use strict";
// Sorting and filtering of the cards.
const cards = [...document.querySelectorAll(".gallery article")];
const gallery = document.querySelector(".gallery");
const find = document.getElementById("find"), method = document.getElementById("method"), by = document.getElementById("by");
function show() {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const card of cards) {
    const text = data.runs[Number(card.dataset.run)].text;
    const fits = words.every((word) => text.includes(word)) && (!method.value || card.dataset.method === method.value);
    card.hidden = !fits;
    shown += fits;
  }
  document.getElementById("count").textContent = `${shown} of ${cards.length}`;
}
function sort() {
  const [key, direction] = by.value.split("|");
  const value = (card) => data.runs[Number(card.dataset.run)].values[key];
  const missing = (v) => v === undefined || v === null;
  const sorted = cards.slice().sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (missing(x) || missing(y)) return Number(missing(x)) - Number(missing(y));
    const order = typeof x === "string" ? x.localeCompare(y) : x - y;
    return direction === "down" ? -order : order;
  });
  gallery.append(...sorted);
}
find.addEventListener("input", show);
method.addEventListener("change", show);
by.addEventListener("change", sort);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select")) return;
  if (event.key === "t") toggleTheme();
  else if (event.key === "/") { event.preventDefault(); find.focus(); }
});
sort();
show();
