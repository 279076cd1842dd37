// Elements whose text is always text: whatever a model or a web page wrote passes through `textContent` or attributes of ours.

export function el(name, options = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(options)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "class") node.className = value;
    else if (key === "text") node.textContent = value;
    else if (key === "on") for (const [kind, act] of Object.entries(value)) node.addEventListener(kind, act);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export const byId = (id) => document.getElementById(id);

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// A link to an address that a model or a page wrote: only the web's own schemes are followed.
export function webLink(url, text) {
  const safe = /^https?:\/\//i.test(url);
  return safe ? el("a", { href: url, target: "_blank", rel: "noopener noreferrer", text }) : el("span", { text });
}

export function compact(value) {
  for (const [size, letter] of [[1e9, "B"], [1e6, "M"], [1e3, "k"]]) {
    if (value >= size * 0.9995) return (value / size).toFixed(value >= size * 99.95 ? 0 : value >= size * 9.995 ? 1 : 2) + letter;
  }
  return String(Math.round(value));
}

export function duration(seconds) {
  if (!(seconds > 0)) return "0 s";
  if (seconds < 9.95) return seconds.toFixed(1) + " s";
  if (seconds < 60) return Math.round(seconds) + " s";
  const whole = Math.round(seconds), hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
  return hours ? `${hours} h ${minutes} min` : `${minutes} min ${whole % 60} s`;
}

export const money = (dollars) => (dollars >= 0.995 ? "$" + dollars.toFixed(2) : "$" + dollars.toPrecision(2));

// A canvas as sharp as the screen; returns its context, scaled to CSS pixels. Nothing happens while the size stays.
export function sharp(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1, w = Math.round(width * ratio), h = Math.round(height * ratio);
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.width = width + "px";
    canvas.style.height = height + "px";
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

const tip = el("div", { class: "tip", role: "tooltip", hidden: true });

export function showTip(x, y, ...lines) {
  if (!tip.parentNode) document.body.append(tip);
  tip.replaceChildren(...lines.filter(Boolean).map((line, place) => el(place ? "div" : "b", { text: line })));
  tip.hidden = false;
  const left = Math.min(x + 14, innerWidth - tip.offsetWidth - 8), top = Math.min(y + 14, innerHeight - tip.offsetHeight - 8);
  tip.style.transform = `translate(${Math.max(4, left)}px, ${Math.max(4, top)}px)`;
}

export function hideTip() { tip.hidden = true; }
