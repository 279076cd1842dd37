// The tree: orchestrator, its rounds, their agents; a filter by state, role and words. Rows out of sight do not exist.

import { RowScroller } from "./scroller.js";
import { byId, compact, el, money, setText } from "./dom.js";

const ROW = 26, WIDE_ROW = 270;  // pixels; narrower rows leave the cost to their title
const MARKS = { thinking: "●", tool: "◆", delegating: "▶", waiting: "·", finished: "✔", failed: "✘", cancelled: "■" };
const STATES = { all: () => true, work: (agent) => agent.alive, finished: (agent) => agent.activity === "finished",
  failed: (agent) => !agent.alive && agent.activity !== "finished" };

export class TreePanel {
  constructor({ select }) {
    this.box = byId("tree");
    this.select = select;
    this.state = "all";
    this.role = this.words = "";
    this.folded = new Set();
    this.structure = -1;
    this.rows = [];
    this.scroller = new RowScroller(this.box, ROW, () => this.make(), (node, row) => this.fill(node, row));
    for (const chip of document.querySelectorAll("#states button")) chip.addEventListener("click", () => this.filter({ state: chip.dataset.state }));
    byId("role").addEventListener("change", (event) => this.filter({ role: event.target.value }));
    byId("words").addEventListener("input", (event) => this.filter({ words: event.target.value.toLowerCase() }));
    this.box.addEventListener("keydown", (event) => this.key(event));
  }

  get filtered() { return this.state !== "all" || this.role || this.words; }

  filter(change) {
    Object.assign(this, change);
    for (const chip of document.querySelectorAll("#states button")) chip.setAttribute("aria-pressed", String(chip.dataset.state === this.state));
    this.structure = -1;
    this.onFilter();
  }

  onFilter() {}

  matches(agent) {
    return STATES[this.state](agent) && (!this.role || agent.role === this.role)
      && (!this.words || `${agent.name} ${agent.role} ${agent.prompt} ${agent.said}`.toLowerCase().includes(this.words));
  }

  // Agents that pass the filter, in the order of the tree.
  agentsOf(run) {
    const found = [], visit = (agent) => {
      if (this.matches(agent)) found.push(agent);
      agent.children.forEach(visit);
    };
    run.agents.filter((agent) => !agent.parent).forEach(visit);
    return found;
  }

  show(run, chosen) {
    this.run = run;
    this.chosen = chosen;
    if (run.structure !== this.structure || this.filtered || this.of !== run) {
      this.structure = run.structure;
      this.of = run;
      this.rows = this.flat(run);
      this.offerRoles(run);
    }
    this.scroller.show(this.rows);
  }

  flat(run) {
    const rows = [], visit = (agent) => {
      if (this.matches(agent)) rows.push({ agent });
      for (const group of agent.groups) {
        const shown = group.agents.filter((one) => this.matches(one) || one.children.length);
        if (!shown.length) continue;
        rows.push({ group });
        if (!this.folded.has(groupKey(group))) shown.forEach(visit);
      }
    };
    run.agents.filter((agent) => !agent.parent).forEach(visit);
    return rows;
  }

  offerRoles(run) {
    const select = byId("role"), known = select.options.length - 1;
    if (run.roles.size === known || run.roles.size > 300) return;
    const names = [...run.roles.keys()].sort();
    select.replaceChildren(el("option", { value: "", text: "every role" }), ...names.map((name) => el("option", { value: name, text: name })));
    select.value = this.role;
  }

  make() {
    const mark = el("i", { class: "mark" }), name = el("span", { class: "name" }), doing = el("span", { class: "doing" });
    const tokens = el("span", { class: "tokens" }), row = el("div", { class: "row", role: "treeitem" }, mark, name, doing, tokens);
    row.id = `row-${this.scroller.nodes.length}`;
    const node = { row, mark, name, doing, tokens, item: null };
    row.addEventListener("click", () => this.choose(node.item));
    return node;
  }

  fill(node, item) {
    node.item = item;
    return item.group ? this.fillGroup(node, item.group) : this.fillAgent(node, item.agent);
  }

  fillGroup({ row, mark, name, doing, tokens }, group) {
    const folded = this.folded.has(groupKey(group)), ended = group.agents.filter((agent) => !agent.alive).length;
    set(row, "class", "row group");
    set(row, "aria-level", group.parent.depth + 2);
    set(row, "aria-expanded", String(!folded));
    row.removeAttribute("aria-selected");
    row.style.paddingLeft = 8 + (group.parent.depth + 1) * 12 + "px";
    setText(mark, folded ? "▸" : "▾");
    mark.removeAttribute("title");
    row.removeAttribute("title");
    setText(name, `round ${group.number}`);
    setText(doing, `${group.agents.length} agent${group.agents.length > 1 ? "s" : ""}`);
    setText(tokens, ended < group.agents.length ? `${ended} done` : "done");
  }

  fillAgent({ row, mark, name, doing, tokens }, agent) {
    const level = agent.depth + agent.depth;
    set(row, "class", `row ${agent.activity}${agent === this.chosen ? " chosen" : ""}${agent.alive ? "" : " ended"}`);
    set(row, "aria-level", agent.depth * 2 + 1);
    set(row, "aria-selected", String(agent === this.chosen));
    row.removeAttribute("aria-expanded");
    if (agent === this.chosen) set(this.box, "aria-activedescendant", row.id);
    row.style.paddingLeft = 8 + level * 12 - (level ? 6 : 0) + "px";
    setText(mark, MARKS[agent.activity]);
    setText(name, `${agent.number} ${agent.title}`.trim());
    setText(doing, agent.alive ? [...new Set(agent.doing.values())].join(", ") || agent.activity : agent.reason || (agent.stop === "done" ? "" : agent.stop));
    set(mark, "title", agent.activity);
    const cost = agent.cost ? " " + money(agent.cost) : "";
    setText(tokens, compact(agent.tokens) + (this.scroller.width > WIDE_ROW ? cost : ""));
    set(row, "title", `${agent.title}: ${agent.activity}, ${compact(agent.tokens)} tokens${cost}`);
  }

  choose(item) {
    if (!item) return;
    if (item.agent) return this.select(item.agent.name);
    const key = groupKey(item.group);
    if (!this.folded.delete(key)) this.folded.add(key);
    this.structure = -1;
    this.onFilter();
  }

  key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 15, PageUp: -15, Home: -1e9, End: 1e9 }[event.key];
    if (step === undefined || !this.rows.length) return;
    event.preventDefault();
    const at = this.rows.findIndex((row) => row.agent && row.agent === this.chosen);
    let next = Math.min(this.rows.length - 1, Math.max(0, at + step));
    while (this.rows[next] && this.rows[next].group) next += step > 0 && next < this.rows.length - 1 ? 1 : -1;
    if (!this.rows[next]) return;
    this.select(this.rows[next].agent.name);
    this.scroller.reveal(next);
  }

  frame() { this.scroller.frame(); }
}

const groupKey = (group) => group.parent.name + ":" + group.number;

function set(node, name, value) {
  if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}
