// The result as it grows: cells from facts that agents noted, from tables that they returned, and from the answer.
//
// Of a cell's values the answer's counts, else a returned one, else the noted one of the newest page; a cell for which
// sources disagree is flagged. Rows are known by their first column.

const RANK = { note: 0, result: 1, answer: 2 };
const MOST_ROWS = 5000, MOST_COLUMNS = 100, MOST_SOURCES = 8;

export const folded = (text) => text.toLowerCase().replace(/[\s,*]+/g, "");

class Cell {
  constructor() {
    this.values = new Map();
    this.best = null;
    this.began = 0;
  }

  add(value, source) {
    this.began = this.began || source.time;
    const key = folded(value), known = this.values.get(key) || { value, sources: [] };
    if (known.sources.some((one) => one.agent === source.agent && one.kind === source.kind && one.url === source.url)) return;
    if (known.sources.length < MOST_SOURCES) known.sources.push(source);
    this.values.set(key, known);
    if (!this.best || better(source, this.best)) this.best = { ...source, value };
  }

  get disagree() { return this.values.size > 1; }
}

function better(a, b) {
  if (a.kind !== b.kind) return RANK[a.kind] > RANK[b.kind];
  return a.kind !== "note" || a.date >= b.date;
}

class Table {
  constructor(key) {
    this.key = key;
    this.columns = [];
    this.widest = 0;
    this.rows = new Map();
    this.version = 0;
  }

  row(name) {
    const key = folded(name);
    if (!this.rows.has(key)) {
      if (this.rows.size >= MOST_ROWS) return null;
      this.rows.set(key, { name, cells: new Map() });
      this.widest = Math.max(this.widest, name.length);
    }
    return this.rows.get(key);
  }

  put(row, column, value, source) {
    const found = this.row(row), key = folded(column);
    if (!found) return;
    let place = this.columns.find((one) => one.key === key);
    if (!place && this.columns.length >= MOST_COLUMNS) return;
    if (!place) this.columns.push(place = { key, name: column, widest: 0 });
    if (!value) return;
    place.widest = Math.max(place.widest, value.length);
    if (!found.cells.has(key)) found.cells.set(key, new Cell());
    found.cells.get(key).add(value, source);
    this.version += 1;
  }

  // Columns and rows in the order of a table that an agent wrote, others behind.
  order(columns, rows, all) {
    const first = columns.map((name) => ({ widest: 0, ...this.columns.find((one) => one.key === folded(name)), key: folded(name), name }));
    this.columns = [...first, ...this.columns.filter((one) => !first.some((other) => other.key === one.key))].slice(0, MOST_COLUMNS);
    if (!all) return;
    const wanted = new Map(rows.map((name) => [folded(name), this.rows.get(folded(name))]).filter(([, row]) => row));
    for (const [key, row] of this.rows) if (!wanted.has(key)) wanted.set(key, row);
    this.rows = wanted;
  }

  get filled() {
    let count = 0;
    for (const row of this.rows.values()) count += row.cells.size;
    return count;
  }

  get conflicts() {
    let count = 0;
    for (const row of this.rows.values()) for (const cell of row.cells.values()) count += cell.disagree;
    return count;
  }
}

export class ResultTables {
  constructor() { this.tables = new Map(); }

  get version() {
    let sum = this.tables.size;
    for (const table of this.tables.values()) sum += table.version;
    return sum;
  }

  // The table that people look at: the one with most cells.
  get main() {
    let best = null;
    for (const table of this.tables.values()) if (!best || table.filled > best.filled) best = table;
    return best;
  }

  facts(agent, time, facts) {
    const table = this.tables.values().next().value || this.of("");
    for (const [row, column, value, date, url] of facts) table.put(row, column, value, { agent, time, kind: "note", date, url });
  }

  written(agent, time, kind, { columns, rows }) {
    const table = this.of(columns[0]);
    for (const row of rows) {
      if (!row[0] || !table.row(row[0])) continue;
      columns.slice(1).forEach((column, place) => table.put(row[0], column, row[place + 1] || "", { agent, time, kind, date: "", url: "" }));
    }
    table.order(columns.slice(1), rows.map((row) => row[0]).filter(Boolean), kind === "answer");
    table.version += 1;
  }

  // By the heading of the first column; facts, which name none, belong to the first table that is written.
  of(heading) {
    const key = folded(heading);
    if (key && this.tables.has("")) {
      const noted = this.tables.get("");
      this.tables.delete("");
      noted.key = heading;
      this.tables.set(key, noted);
    }
    if (!this.tables.has(key)) this.tables.set(key, new Table(heading));
    return this.tables.get(key);
  }
}
