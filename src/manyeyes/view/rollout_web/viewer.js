// One trajectory: the tree of its agents and branches, the tokens of what was chosen there, and what is known of them.

import { byId, compact, duration, el, hideTip, setText, showTip } from "./dom.js";
import { RowScroller } from "./scroller.js";
import { BlockScroller } from "./blocks.js";
import { Details } from "./details.js";
import { Forest } from "./forest.js";
import { layout } from "./layout.js";
import { painters } from "./paint.js";
import { pictureUrl, trajectory } from "./source.js";

const ROW = 26, PADDING = 22;

export class Viewer {
  constructor() {
    this.opened = "";
    this.open_ = new Set();
    this.tree = new RowScroller(byId("forest"), ROW, () => this.treeRow(), (node, row, place) => this.fill(node, row, place));
    this.stream = new BlockScroller(byId("tokens"), (row) => this.block(row));
    this.stream.onWidth = () => this.lay();
    this.details = new Details(byId("details"));
    byId("colour").addEventListener("change", () => this.repaint());
    byId("fold").addEventListener("change", () => { this.open_.clear(); this.lay(); });
    byId("tokens").addEventListener("click", (event) => this.click(event));
    byId("tokens").addEventListener("pointermove", (event) => this.hover(event));
    byId("tokens").addEventListener("pointerleave", () => hideTip());
    byId("forest").addEventListener("keydown", (event) => this.key(event));
    for (const tab of document.querySelectorAll(".panes button")) tab.addEventListener("click", () => this.pane(tab.dataset.pane));
    this.pane("token-pane");
  }

  async open(name) {
    if (name === this.opened) return this.lay();
    const begun = performance.now(), turn = this.turn = {};
    this.forget();  // what cannot be opened must not stand under another's name
    const { outline, arrays } = await trajectory(name);
    if (turn !== this.turn) return;
    this.forest = new Forest(outline, arrays);
    this.opened = name;
    this.open_.clear();
    this.rows = this.forest.rows;
    this.painters = painters(this.forest);
    const before = byId("colour").value;
    byId("colour").replaceChildren(...this.painters.map(({ name: words }) => el("option", { value: words, text: words })));
    if (this.painters.some(({ name: words }) => words === before)) byId("colour").value = before;
    setText(byId("forest-count"), `${compact(this.forest.agents.length)} · ${compact(this.forest.tokens)} tokens`);
    this.details.begin(this.forest);
    this.choose(Math.min(1, this.rows.length - 1));
    this.tree.frame();
    this.stream.frame();
    requestAnimationFrame(() => requestAnimationFrame(() => { this.milliseconds = performance.now() - begun; }));
  }

  forget() {
    this.forest = null;
    this.opened = "";
    this.rows = [];
    this.tree.show([]);
    this.stream.show([]);
    this.details.forget();
    for (const id of ["stream", "forest-count"]) setText(byId(id), "");
    byId("legend").replaceChildren();
  }

  choose(place) {
    this.chosen = place;
    const row = this.rows[place];
    if (row && row.kind !== "all") this.details.agent(row.agent);
    setText(byId("stream"), row ? title(this.forest, row) : "");
    this.tree.show(this.rows);
    byId("tokens").scrollTop = 0;
    this.lay();
  }

  // Lines depend on the width, and on what is folded.
  lay() {
    if (!this.forest) return;
    const width = byId("tokens").clientWidth - PADDING;
    if (width <= 0) return;
    const columns = Math.max(20, Math.floor(width / letterWidth()));
    this.stream.show(layout(this.forest, this.rows[this.chosen].nodes, { columns, fold: byId("fold").checked, open: this.open_ }));
    this.stream.frame();
    this.legend();
  }

  repaint() {
    this.legend();
    this.stream.again();
    this.stream.frame();
  }

  legend() {
    if (!this.forest) return;
    byId("legend").replaceChildren(...this.painter.legend().map(([colour, words]) => {
      const swatch = el("i");
      swatch.style.background = colour;
      return el("span", {}, swatch, words);
    }));
  }

  get painter() { return this.painters.find(({ name }) => name === byId("colour").value) || this.painters[0]; }

  get figures() {
    return this.forest && { rows: this.stream.rows.length, nodes: this.rows[this.chosen].nodes.length, drawn: this.stream.nodes.size, tokens: this.forest.tokens, agents: this.forest.agents.length, colour: this.painter.name };
  }

  frame() {
    this.tree.frame();
    this.stream.frame();
  }

  treeRow() {
    const mark = el("i", { class: "mark" }), name = el("span", { class: "name" }), more = el("small"), row = el("div", { class: "row" }, mark, name, more);
    const node = { row, mark, name, more, place: 0 };
    row.addEventListener("click", () => { this.choose(node.place); this.pane("token-pane"); });
    return node;
  }

  fill(node, row, place) {
    const { forest } = this;
    node.place = place;
    node.row.classList.toggle("chosen", place === this.chosen);
    node.row.style.paddingLeft = `${8 + 14 * Math.min(row.depth, 8)}px`;
    const agent = forest.agents[row.agent], tokens = row.nodes.reduce((sum, number) => sum + forest.nodes[number].length, 0);
    node.row.classList.toggle("frozen", Boolean(agent && agent.policy === "frozen"));
    node.row.classList.toggle("failed", Boolean(agent && !["done", ""].includes(agent.stop)));
    setText(node.mark, row.kind === "all" ? "≡" : row.kind === "branch" ? "⌥" : agent.policy === "frozen" ? "❄" : "●");
    setText(node.name, label(forest, row));
    setText(node.more, row.nodes.length ? `${row.nodes.length} · ${compact(tokens)}` : "nothing");
    node.row.title = row.kind === "branch" ? forest.nodes[row.nodes.at(-1)].fork : agent ? agent.name : "";
  }

  key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || !this.forest) return;
    event.preventDefault();
    this.choose(Math.min(this.rows.length - 1, Math.max(0, this.chosen + step)));
    this.tree.reveal(this.chosen);
  }

  block(row) {
    switch (row.kind) {
      case "node": return this.nodeHead(row.node);
      case "tokens": return this.line(row);
      case "picture": return this.picture(row);
      case "more": return el("button", { class: "more", type: "button", "data-open": row.node.number, text: `… ${row.tokens.toLocaleString("en")} more given tokens` });
      default: return this.eventLine(row.event);
    }
  }

  nodeHead(node) {
    const agent = this.forest.agents[node.agent], sampled = node.length - node.given;
    const flags = [node.fork && `fork: ${node.fork}`, node.malformed && `malformed: ${node.malformed}`, node.masked && `masked: ${node.masked}`].filter(Boolean);
    return el("div", { class: "turn", "data-node": node.number },
      el("b", { text: `turn ${node.number}` }), el("span", { class: "who", text: agent.role || agent.name }),
      el("small", { text: `${compact(node.given)} given, ${compact(sampled)} sampled · ${duration(node.at)} + ${duration(node.seconds)}${node.stop ? " · " + node.stop : ""}` }),
      ...flags.map((words) => el("em", { class: "flag", text: words })));
  }

  line(row) {
    const line = el("div", { class: "line" }), { forest, painter } = this, { node, pieces } = row;
    for (let i = 0; i < pieces.length; i += 2) {
      const token = pieces[i], drawn = forest.drawnOf(token, node), entry = forest.outline.texts && forest.outline.texts[forest.ids[token]];
      const span = el("span", { "data-token": token, class: (drawn < 0 ? "given" : "sampled") + (entry && entry[1] ? " special" : ""), text: pieces[i + 1] });
      if (drawn >= 0) span.style.background = painter.colour(drawn, node);
      line.append(span);
    }
    return line;
  }

  picture(row) {
    const url = row.media && pictureUrl(row.media[0]), box = el("div", { class: "picture", "data-token": row.token });
    if (url) {
      const image = el("img", { src: url, alt: "a picture that the model saw", loading: "lazy" });
      image.style.height = row.height - 8 + "px";
      box.append(image);
    }
    box.append(el("small", { text: `${row.tokens ? row.tokens.toLocaleString("en") + " tokens of " : ""}${row.media ? `${row.media[3]} × ${row.media[2]} patches${row.media[1] > 1 ? `, ${row.media[1]} frames` : ""}` : "a picture that is not there"}` }));
    return box;
  }

  eventLine(number) {
    const event = this.forest.outline.events[number], { data } = event, failure = (data.result && data.result.failure) || data.why || data.cause;
    const words = event.kind === "tool" ? [data.name, short(data.arguments)] : [event.kind, short(data.words ?? (Object.keys(data).length ? data : ""))];
    return el("button", { class: "event" + (failure ? " bad" : ""), type: "button", "data-event": number },
      el("b", { text: String(words[0]) }), el("span", { text: words[1] }), el("small", { text: `${failure ? short(failure) + " · " : ""}${duration(event.seconds)}` }));
  }

  click(event) {
    const found = (key) => event.target.closest(`[data-${key}]`)?.dataset[key];
    const [token, node, told, unfold] = ["token", "node", "event", "open"].map(found);
    if (unfold !== undefined) {
      this.open_.add(Number(unfold));
      return this.lay();
    }
    if (token !== undefined) this.details.token(Number(token));
    else if (told !== undefined) this.details.event(Number(told));
    else if (node !== undefined) this.details.node(Number(node));
    else return;
    if (matchMedia("(max-width: 800px)").matches) this.pane("detail-pane");
  }

  hover(event) {
    const token = event.target.closest?.("[data-token]")?.dataset.token;
    if (token === undefined || !this.forest) return hideTip();
    const { forest, painter } = this, node = forest.nodeOf(Number(token)), drawn = forest.drawnOf(Number(token), node);
    showTip(event.clientX, event.clientY, `id ${forest.ids[token]}`, drawn < 0 ? "given" : painter.tell ? painter.tell(drawn, node) : `log-probability ${forest.logprobs[drawn].toPrecision(3)}`);
  }

  // On a narrow screen one of the three is seen.
  pane(id) {
    for (const tab of document.querySelectorAll(".panes button")) tab.setAttribute("aria-selected", String(tab.dataset.pane === id));
    for (const pane of document.querySelectorAll(".pane")) pane.classList.toggle("shown", pane.id === id);
  }
}

function label(forest, row) {
  if (row.kind === "all") return "everything, as it ended";
  const agent = forest.agents[row.agent];
  if (row.kind === "branch") return `branch ${row.place + 1}`;
  return (agent.role ? `${agent.role} ` : "") + agent.name.replace(/^main\//, "#");
}

function title(forest, row) {
  if (row.kind === "all") return "Everything";
  return row.kind === "branch" ? `${forest.agents[row.agent].role || forest.agents[row.agent].name}, branch ${row.place + 1}` : label(forest, row);
}

function short(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value) ?? "";
  return text.length > 200 ? text.slice(0, 200) + "…" : text;
}

let letter = 0;

function letterWidth() {
  if (letter) return letter;
  const probe = el("span", { class: "probe", text: "0".repeat(100) });
  byId("tokens").append(probe);
  letter = probe.getBoundingClientRect().width / 100 || 8;
  probe.remove();
  return letter;
}
