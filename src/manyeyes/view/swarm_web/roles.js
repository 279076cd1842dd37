// The cloud of roles (Fig. 6 of the report): as large as the agents that had one are many, laid out the same every time.

import { byId, el } from "./dom.js";

const MOST_WORDS = 120, LONGEST_ROLE = 40;
const SVG = "http://www.w3.org/2000/svg";
const measure = document.createElement("canvas").getContext("2d");

export class Roles {
  constructor({ choose }) {
    this.box = byId("roles");
    this.choose = choose;
    this.stamp = "";
  }

  show(roles) {
    const width = this.box.clientWidth, height = this.box.clientHeight, sum = [...roles.values()].reduce((a, b) => a + b, 0);
    const stamp = `${sum} ${roles.size} ${width} ${height}`;
    if (stamp === this.stamp || width < 50) return;
    this.stamp = stamp;
    if (!roles.size) return this.box.replaceChildren(el("p", { class: "quiet", text: "No sub-agent yet." }));
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", "roles of sub-agents");
    for (const word of laidOut(roles, width, height)) svg.append(this.word(word));
    this.box.replaceChildren(svg);
  }

  word({ text, shown, count, x, y, size, colour }) {
    const node = document.createElementNS(SVG, "text"), title = document.createElementNS(SVG, "title");
    for (const [name, value] of Object.entries({ x, y, "font-size": size, class: "c" + colour, tabindex: 0 })) node.setAttribute(name, value);
    title.textContent = `${text}: ${count}`;
    node.append(shown, title);
    node.addEventListener("click", () => this.choose(text));
    return node;
  }
}

// Largest first, each at the first free place of a spiral around the middle.
export function laidOut(roles, width, height) {
  const words = [...roles].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, MOST_WORDS);
  const most = words[0][1], area = width * height, taken = [], found = [];
  const letters = words.reduce((sum, [text, count]) => sum + Math.min(LONGEST_ROLE, text.length) * (0.35 + 0.65 * Math.sqrt(count / most)) ** 2, 0);
  const largest = Math.min(46, Math.max(13, Math.sqrt(area * 0.5 / Math.max(1, letters * 0.62))));
  words.forEach(([text, count], place) => {
    const wanted = Math.max(9.5, largest * (0.35 + 0.65 * Math.sqrt(count / most))), shown = cut(text);
    measure.font = `600 ${wanted}px system-ui, sans-serif`;
    const fits = Math.min(1, (width - 24) / measure.measureText(shown).width);
    for (const share of [fits, fits * 0.8, fits * 0.6]) {
      const size = wanted * share;
      measure.font = `600 ${size}px system-ui, sans-serif`;
      const at = free(measure.measureText(shown).width + 10, size * 1.12, taken, width, height);
      if (!at) continue;
      found.push({ text, shown, count, x: round(at.x), y: round(at.y), size: round(size), colour: place % 7 });
      break;
    }
  });
  return found;
}

// The first place on a spiral where a box overlaps no other; it is taken from then on.
function free(wide, high, taken, width, height) {
  for (let step = 0; step < 1500; step++) {
    const angle = step * 0.35, far = step * 0.34;
    const x = width / 2 + far * Math.cos(angle) * (width / height) ** 0.5 * 1.2, y = height / 2 + far * Math.sin(angle) * 0.62;
    const box = [x - wide / 2, y - high / 2, x + wide / 2, y + high / 2];
    if (box[0] < 2 || box[1] < 2 || box[2] > width - 2 || box[3] > height - 2) continue;
    if (taken.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3])) continue;
    taken.push(box);
    return { x, y };
  }
  return null;
}

const cut = (text) => (text.length > LONGEST_ROLE ? text.slice(0, LONGEST_ROLE - 1) + "…" : text);
const round = (value) => Math.round(value * 10) / 10;
