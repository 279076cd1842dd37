// The list of trajectories: rows exist only where they are seen, and are asked for by the page of the index.

import { byId, compact, duration, el, setText } from "./dom.js";
import { choices, list } from "./source.js";
import { RowScroller } from "./scroller.js";

const PAGE = 200, ROW = 30;

export class TrajectoryList {
  constructor({ open, problem }) {
    Object.assign(this, { open, problem });
    this.filters = byId("filters");
    this.pages = new Map();
    this.before = new Map();
    this.count = this.turn = 0;
    this.chosen = -1;
    this.scroller = new RowScroller(byId("table"), ROW, () => this.row(), (node, _, place) => this.fill(node, place));
    this.filters.addEventListener("input", () => {
      byId("table").scrollTop = 0;
      this.chosen = -1;
      this.again();
    });
    this.filters.addEventListener("submit", (event) => event.preventDefault());
    byId("table").addEventListener("keydown", (event) => this.key(event));
  }

  // The rows may have changed.
  async refresh() {
    const offered = await choices();
    this.offer("environment", "any environment", offered.environment || []);
    this.offer("stop", "any ending", offered.stop || []);
    this.offer("failure", "any failure or none", offered.failure || []);
    const order = this.filters.elements.order;
    if (!order.options.length) order.append(...["newest", ...offered.orders.filter((name) => name !== "newest")].map((name) => el("option", { value: name, text: name })));
    this.again();
  }

  offer(name, all, values) {
    const select = this.filters.elements[name], chosen = select.value || "*";
    if (document.activeElement === select && select.options.length) return;  // somebody is choosing
    select.replaceChildren(el("option", { value: "*", text: all }), ...values.map(([value, count]) => el("option", { value: "=" + value, text: `${value || "none"} (${compact(count)})` })));
    select.value = chosen;
    if (!select.value) select.value = "*";
  }

  again() {
    this.turn += 1;
    this.before = new Map([...this.pages].filter(([, rows]) => rows));  // shown until the new ones are there
    this.pages = new Map();
    this.ask(0);
  }

  get query() {
    const query = {};
    for (const { name, value } of this.filters.elements) {
      if (!name || value === "" || value === "*") continue;
      query[name] = value.startsWith("=") ? value.slice(1) : value;
    }
    return query;
  }

  async ask(page) {
    if (this.pages.has(page)) return;
    this.pages.set(page, null);
    const turn = this.turn;
    let found = null;
    try {
      found = await list({ ...this.query, offset: page * PAGE, limit: PAGE });
    } catch (error) {
      this.pages.delete(page);
      return this.problem(error);
    }
    if (turn !== this.turn) return;
    this.pages.set(page, found.rows);
    this.count = found.count;
    setText(byId("found"), `${found.count.toLocaleString("en")} found`);
    byId("none").hidden = found.count > 0;
    this.scroller.show({ length: found.count });
    this.scroller.frame();
  }

  at(place) {
    const page = Math.floor(place / PAGE), rows = this.pages.get(page);
    if (rows === undefined) this.ask(page);
    return (rows || this.before.get(page))?.[place % PAGE] || null;
  }

  row() {
    const cells = ["name", "reward", "stop", "turns", "agents", "tokens", "sampled", "version", "time"].map((name) => el("span", { class: name }));
    const row = el("a", { class: "row", role: "option" }, ...cells);
    return { row, cells };
  }

  fill(node, place) {
    const one = this.at(place), [name, reward, stop, turns, agents, tokens, sampled, version, time] = node.cells;
    node.row.classList.toggle("chosen", place === this.chosen);
    node.row.setAttribute("aria-selected", String(place === this.chosen));
    if (!one) {
      for (const cell of node.cells) setText(cell, "");
      setText(name, "…");
      node.row.removeAttribute("href");
      return;
    }
    node.row.href = "#t/" + encodeURIComponent(one.key);
    setText(name, one.name);
    setText(reward, one.reward === null ? "–" : Number(one.reward.toPrecision(4)).toString());
    reward.title = Object.entries(one.rewards).map(([part, value]) => `${part}: ${value}`).join("\n");
    setText(stop, one.failure ? `${one.stop}: ${one.failure}` : one.masked ? `${one.stop} (masked)` : one.stop);
    stop.title = one.masked || one.reason;
    stop.classList.toggle("bad", Boolean(one.failure || one.masked));
    setText(turns, compact(one.turns));
    setText(agents, compact(one.agents));
    setText(tokens, compact(one.tokens));
    setText(sampled, compact(one.sampled));
    setText(version, one.last_version < 0 ? "–" : one.first_version === one.last_version ? String(one.last_version) : `${one.first_version}–${one.last_version}`);
    setText(time, duration(one.seconds));
  }

  key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 20, PageUp: -20 }[event.key];
    if (event.key === "Enter" && this.at(this.chosen)) this.open(this.at(this.chosen).key);
    if (!step || !this.count) return;
    event.preventDefault();
    this.chosen = Math.min(this.count - 1, Math.max(0, this.chosen + step));
    this.scroller.reveal(this.chosen);
    this.scroller.dirty = true;
  }

  frame() {
    const { box } = this.scroller, bar = box.offsetWidth - box.clientWidth;  // the head stands above the rows, with a scroll bar or without
    if (bar !== this.bar) byId("list").querySelector(".head").style.paddingRight = `${10 + (this.bar = bar)}px`;
    this.scroller.frame();
  }
}
