// The result table, cell by cell; a click on a cell says who found it, on which page, and who disagrees.

import { byId, el, setText, webLink } from "./dom.js";
import { folded } from "./result_table.js";
import { RowScroller } from "./scroller.js";

const LINE = 26, NARROW = 5, WIDE = 26;  // pixels; characters
const FRESH = 1.5;  // seconds in which a cell counts as new
const KINDS = { note: "noted", result: "returned", answer: "in the answer" };

export class TablePanel {
  constructor({ select }) {
    this.select = select;
    this.box = byId("table");
    this.head = byId("table-head");
    this.scroller = new RowScroller(this.box, LINE, () => this.make(), (line, row) => this.fill(line, row));
    this.open = null;
    byId("cell").addEventListener("keydown", (event) => { if (event.key === "Escape") this.close(); });
  }

  show(run) {
    const table = run.tables.main, stamp = table ? `${table.version} ${run.tables.version}` : "";
    if (this.of === run && this.stamp === stamp) return;
    Object.assign(this, { of: run, run, stamp, table });
    setText(byId("table-count"), table ? `${table.rows.size} rows, ${table.filled} cells${table.conflicts ? `, ${table.conflicts} with disagreeing sources` : ""}` : "");
    byId("table-none").hidden = Boolean(table);
    this.heads(table);
    this.scroller.show(table ? [...table.rows.values()] : []);
  }

  // Headings, and the widths of columns: as wide as what stands in them, up to a bound.
  heads(table) {
    const names = table ? [table.key, ...table.columns.map((column) => column.name)] : [];
    const wide = table ? [table.widest, ...table.columns.map((column) => column.widest)] : [];
    const columns = wide.map((most, place) => Math.min(WIDE, Math.max(NARROW, most, names[place].length)))
      .map((most) => `minmax(calc(${most} * .8ch + 26px), ${most + 4}fr)`).join(" ");
    if (this.columns !== columns) byId("table-pane").style.setProperty("--columns", this.columns = columns);
    const stamp = names.join("\u0000");
    if (this.names === stamp) return;
    this.names = stamp;
    this.head.replaceChildren(...names.map((text) => el("span", { role: "columnheader", text, title: text })));
  }

  make() {
    const name = el("span", { role: "rowheader" }), row = el("div", { class: "line", role: "row" }, name);
    return { row, name, cells: [] };
  }

  fill(line, row) {
    const { columns } = this.table;
    line.of = row;
    setText(line.name, row.name);
    line.name.title = row.name;
    while (line.cells.length < columns.length) line.cells.push(this.cell(line));
    line.cells.forEach((node, at) => {
      if (node.hidden !== at >= columns.length) node.hidden = at >= columns.length;
      if (at < columns.length) this.value(node, row.cells.get(columns[at].key), columns[at]);
    });
  }

  cell(line) {
    const button = el("button", { type: "button" }), node = el("span", { role: "cell" }, button);
    button.addEventListener("click", () => this.detail(this.table, line.of, node.column, button));
    line.row.append(node);
    return node;
  }

  value(node, cell, column) {
    node.column = column;
    const button = node.firstChild, best = cell ? cell.best : null;
    setText(button, best ? best.value : "");
    button.disabled = !best;
    button.title = best ? best.value : "";
    const fresh = best && this.run.last - cell.began < FRESH && !this.run.over;
    const kind = best ? best.kind + (cell.disagree ? " disagree" : "") + (fresh ? " fresh" : "") : "";
    if (node.className !== kind) node.className = kind;
  }

  frame() { this.scroller.frame(); }

  detail(table, row, column, button) {
    const cell = row.cells.get(column.key), box = byId("cell");
    if (!cell) return;
    this.open = button;
    const values = [...cell.values.values()].sort((a, b) => (folded(b.value) === folded(cell.best.value)) - (folded(a.value) === folded(cell.best.value)));
    box.replaceChildren(
      el("button", { type: "button", class: "close", "aria-label": "close", text: "×", on: { click: () => this.close() } }),
      el("h3", { text: `${row.name} · ${column.name}` }),
      ...values.map((one) => el("div", { class: "value" }, el("b", { text: one.value }),
        el("ul", {}, ...one.sources.map((source) => this.source(source, row.name))))),
      el("p", { class: "quiet", hidden: !cell.disagree, text: "Sources disagree: the answer's value counts, else a returned one, else the newest page's." }));
    box.hidden = false;
    const area = box.offsetParent.getBoundingClientRect(), at = button.getBoundingClientRect();
    box.style.left = Math.max(8, Math.min(at.left - area.left, area.width - box.offsetWidth - 8)) + "px";
    const below = at.bottom - area.top + 4;
    box.style.top = (below + box.offsetHeight > area.height ? Math.max(4, at.top - area.top - box.offsetHeight - 4) : below) + "px";
    box.querySelector(".close").focus();
  }

  source(source, row) {
    const agent = this.run.byName.get(source.agent), name = agent ? `${agent.number} ${agent.title}`.trim() : source.agent;
    const pages = source.url ? [[source.url, ""]] : agent ? pagesOn(agent, row) : [];
    return el("li", {},
      el("button", { type: "button", class: "link", text: name, on: { click: () => this.select(source.agent) } }),
      ` ${KINDS[source.kind]}${source.date ? ", page of " + source.date : ""}`,
      ...pages.map(([url, title]) => el("div", {}, webLink(url, title ? `${title} — ${url}` : url))));
  }

  close() {
    byId("cell").hidden = true;
    if (this.open) this.open.focus();
    this.open = null;
  }
}

// Pages that an agent opened and that name the row; of an agent that worked on others for it, none.
function pagesOn(agent, row) {
  const plain = (text) => folded(text).replace(/[-_]/g, ""), key = plain(row);
  const all = [...agent.pages], named = all.filter(([url, title]) => plain(title + url).includes(key));
  return (named.length || agent.children.length ? named : all.slice(-3)).slice(0, 6);
}
