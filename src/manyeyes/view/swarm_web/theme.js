// Colours of the canvases: the style sheet's own, read again when the system goes dark or light.

const NAMES = [
  "paper", "card", "ink", "quiet", "line", "grid", "model", "limiter", "search", "page", "code", "media", "other", "delegate",
  "thinking", "tool", "delegating", "waiting", "finished", "failed", "cancelled", "path", "path-glow", "path-core", "select", "accent",
];

export const colours = {};

export function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of NAMES) colours[name] = style.getPropertyValue("--" + name).trim();
}

export function onThemeChange(act) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); act(); });
}
