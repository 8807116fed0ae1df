// Asking the server, and making elements. Text reaches the page as text only.

export class Problem extends Error {
  constructor(field, text) { super(text); this.field = field; }
}

const LOST = "Studio does not answer. Start it again: prior3d studio. A run that went on continues.";
const OLD = "This address has no key. Open the one that prior3d studio printed.";

/** JSON of an answer; throws a Problem with the field that it is about. */
export async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Problem("lost", LOST);
  }
  if (answer.status === 403) throw new Problem("lost", OLD);
  const values = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Problem(values.field ?? "", values.problem ?? `the server answered ${answer.status}`);
  return values;
}

export const post = (path, values = {}) => ask(path, { method: "POST", body: JSON.stringify(values) });

/** An element with properties and children; strings become text. */
export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "dataset") Object.assign(made.dataset, value);
    else if (name in made && name !== "list" && name !== "role") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

/** A duration for people. */
export function duration(seconds) {
  const whole = Math.round(seconds);
  if (whole < 1) return "under 1 s";
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

export const words = (name) => name.replaceAll("_", " ");
