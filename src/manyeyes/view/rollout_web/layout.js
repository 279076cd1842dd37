// Tokens as lines of a page: heads of turns, lines of tokens, pictures and events, each with a height that is known
// before it is drawn, so that only what is in sight has to exist.

export const HEIGHTS = { node: 30, tokens: 19, more: 24, event: 26 };
const QUIET = new Set(["spawned", "ended", "reply"]);  // what the tree and the tokens say already
const FOLDED_LINES = 4;   // of what was given, when it is folded
const LONGEST_PIECE = 400;  // characters of one token in one line
const PATCH = 14, LARGEST = 240, SMALLEST = 44;

// `columns`: characters in a line. `open`: numbers of nodes whose given tokens are not folded.
export function layout(forest, numbers, { columns, fold, open }) {
  const rows = [];
  for (const number of numbers) {
    const node = forest.nodes[number];
    rows.push({ kind: "node", node, height: HEIGHTS.node });
    const writer = new Writer(forest, node, columns, rows);
    const begin = rows.length;
    writer.write(0, node.given);
    writer.end();
    if (forest.outline.media_pad === null) for (const _ of node.media) writer.picture(node.start, 0);  // nobody knows where they stand
    if (fold && !open.has(number)) foldGiven(rows, begin, node);
    writer.write(node.given, node.length);
    writer.end();
    for (const event of node.events) if (!QUIET.has(forest.outline.events[event].kind)) rows.push({ kind: "event", event, height: HEIGHTS.event });
  }
  return rows;
}

// Pictures stay.
function foldGiven(rows, begin, node) {
  const lines = [];
  for (let place = begin; place < rows.length; place += 1) if (rows[place].kind === "tokens") lines.push(place);
  if (lines.length <= FOLDED_LINES + 2) return;
  const hidden = new Set(lines.slice(FOLDED_LINES - 1, -1));
  let tokens = 0;
  for (const place of hidden) tokens += new Set(rows[place].pieces.filter((_, i) => i % 2 === 0)).size;
  const kept = [];
  rows.splice(begin).forEach((row, i) => {
    const place = begin + i;
    if (place === lines[FOLDED_LINES - 1]) kept.push({ kind: "more", node, tokens, height: HEIGHTS.more });
    if (!hidden.has(place)) kept.push(row);
  });
  rows.push(...kept);
}

class Writer {
  constructor(forest, node, columns, rows) {
    Object.assign(this, { forest, node, columns, rows, pieces: [], used: 0, item: 0 });
    this.decoder = new TextDecoder("utf-8");
    this.pending = false;
  }

  write(from, to) {
    const { forest, node } = this, pad = forest.outline.media_pad, texts = forest.outline.texts;
    for (let i = from; i < to; i += 1) {
      const token = node.start + i, id = forest.ids[token];
      if (pad !== null && id === pad) {
        let end = i;
        while (end < to && forest.ids[node.start + end] === pad) end += 1;
        this.picture(token, end - i);
        i = end - 1;
        continue;
      }
      this.put(token, texts ? this.text(texts[id], id) : id + " ");
    }
  }

  // A character whose bytes are spread over tokens stands at the last of them.
  text(entry, id) {
    if (!entry) return `[${id}]`;
    const [bytes, special] = entry;
    if (special || (!this.pending && /^[\x00-\x7f]*$/.test(bytes))) return bytes;
    const text = this.decoder.decode(Uint8Array.from(bytes, (letter) => letter.charCodeAt(0)), { stream: true });
    this.pending = !text || text.endsWith("\ufffd") || bytes.charCodeAt(bytes.length - 1) > 0x7f;
    return text || "·";
  }

  put(token, text) {
    let piece = "";
    for (const letter of clean(text.length > 4 * LONGEST_PIECE ? text.slice(0, 4 * LONGEST_PIECE) + "…" : text)) {
      const size = letter === "\n" ? 1 : width(letter);
      if (this.used + size > this.columns || piece.length > LONGEST_PIECE) {
        if (piece) this.pieces.push(token, piece);
        piece = "";
        this.line();
      }
      piece += letter === "\n" ? "↵" : letter;
      this.used += size;
      if (letter === "\n") {
        this.pieces.push(token, piece);
        piece = "";
        this.line();
      }
    }
    if (piece) this.pieces.push(token, piece);
  }

  picture(token, tokens) {
    this.end();
    const media = this.node.media[this.item];
    this.item += 1;
    const height = media ? Math.min(LARGEST, Math.max(SMALLEST, media[1] * media[2] * PATCH)) : SMALLEST;
    this.rows.push({ kind: "picture", node: this.node, token, tokens, media, height: height + 8 });
  }

  line() {
    this.rows.push({ kind: "tokens", node: this.node, pieces: this.pieces, height: HEIGHTS.tokens });
    this.pieces = [];
    this.used = 0;
  }

  end() {
    if (this.pieces.length) this.line();
  }
}

// What would move the cursor or turn the text around is shown as a mark.
function clean(text) {
  if (/^[\x20-\x7e\n]*$/.test(text)) return text;
  return text.replace(/\r\n/g, "\n").replace(/\t/g, "⇥   ").replace(/[\x00-\x09\x0b-\x1f]/g, (letter) => String.fromCharCode(0x2400 + letter.charCodeAt(0)))
    .replace(/[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g, "\ufffd");
}

// Characters of East Asian scripts and emoji take two columns.
function width(letter) {
  const code = letter.codePointAt(0);
  if (code < 0x1100) return 1;
  return code <= 0x115f || (code >= 0x2e80 && code <= 0xa4cf) || (code >= 0xac00 && code <= 0xd7a3) || (code >= 0xf900 && code <= 0xfaff)
    || (code >= 0xfe30 && code <= 0xfe6f) || (code >= 0xff00 && code <= 0xff60) || (code >= 0x1f300 && code <= 0x1faff) || (code >= 0x20000 && code <= 0x3fffd) ? 2 : 1;
}
