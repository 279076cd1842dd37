// Colours of canvases and tokens: the style sheet's own, read again when the system goes dark or light.

const NAMES = ["paper", "card", "ink", "quiet", "line", "grid", "good", "bad", "warn", "accent", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8"];

export const colours = {};

export function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of NAMES) colours[name] = style.getPropertyValue("--" + name).trim();
}

export function onThemeChange(act) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); act(); });
}

export const series = (place) => colours["c" + ((place % 8) + 1)];

// A colour that is so strong, 0 to 1.
export const tint = (colour, strength) => `color-mix(in srgb, ${colour} ${Math.round(100 * Math.min(1, Math.max(0, strength)))}%, transparent)`;
