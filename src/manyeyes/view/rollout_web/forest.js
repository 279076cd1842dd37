// A trajectory as the viewer knows it: its agents, its nodes and where their tokens lie in the arrays, its branches.

const AGENT = ["name", "role", "parent", "node", "policy", "task", "began", "ended", "stop", "reason", "text"];
const NODE = ["length", "given", "parent", "agent", "at", "seconds", "stop", "fork", "malformed", "masked", "kind", "trainable", "media"];

const named = (names, row) => Object.fromEntries(names.map((name, place) => [name, row[place]]));

export class Forest {
  constructor(outline, arrays) {
    this.outline = outline;
    this.agents = outline.agents.map((row) => named(AGENT, row));
    let start = 0, drawn = 0;
    this.nodes = outline.nodes.map((row, number) => {
      const node = Object.assign(named(NODE, row), { number, start, drawn, events: [], children: [] });
      start += node.length;
      drawn += node.length - node.given;
      return node;
    });
    this.tokens = start;
    this.sampled = drawn;
    this.ids = new Int32Array(arrays, 0, start);
    this.logprobs = new Float32Array(arrays, start * 4, drawn);
    this.versions = new Int32Array(arrays, (start + drawn) * 4, drawn);
    this.values = new Map(outline.values.map((name, place) => [name, new Float32Array(arrays, (start + (2 + place) * drawn) * 4, drawn)]));
    for (const node of this.nodes) if (node.parent >= 0) this.nodes[node.parent].children.push(node.number);
    this.loose = [];  // events of no node
    outline.events.forEach((event, number) => (event.node >= 0 ? this.nodes[event.node].events : this.loose).push(number));
    this.children = this.agents.map(() => []);
    this.agents.forEach((agent, number) => { if (agent.parent >= 0) this.children[agent.parent].push(number); });
    this.branches = this.agents.map(() => []);
    for (const node of this.nodes) if (!node.children.length) this.branches[node.agent].push(node.number);
  }

  // Numbers of the nodes from the root to this one.
  branch(leaf) {
    const numbers = [];
    for (let number = leaf; number >= 0; number = this.nodes[number].parent) numbers.push(number);
    return numbers.reverse();
  }

  // The node that a token belongs to.
  nodeOf(token) {
    let low = 0, high = this.nodes.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.nodes[middle].start <= token) low = middle;
      else high = middle - 1;
    }
    return this.nodes[low];
  }

  // Where a sampled token's values lie; -1 for a given one.
  drawnOf(token, node) {
    const place = token - node.start - node.given;
    return place < 0 ? -1 : node.drawn + place;
  }

  // Whether a sampled token carries loss: the first one of a stream has nothing before it, others nobody knows.
  learns(drawn, node) {
    return node.trainable && Number.isFinite(this.logprobs[drawn]) && !(node.parent < 0 && !node.given && drawn === node.drawn);
  }

  // Of the whole rollout, unless the trainer kept one for each token.
  get advantage() {
    const { reward, group } = this.outline;
    return reward === null || !group || group.count < 2 ? null : reward - group.mean;
  }

  // Rows of the tree: everything; each agent under the one that started it; the branches of one that has several.
  get rows() {
    const rows = [{ kind: "all", depth: 0, nodes: this.nodes.map((node) => node.number) }];
    const visit = (number, depth) => {
      const leaves = this.branches[number];
      rows.push({ kind: "agent", depth, agent: number, nodes: leaves.length ? this.branch(leaves.at(-1)) : [], leaves: leaves.length });
      if (leaves.length > 1) leaves.forEach((leaf, place) => rows.push({ kind: "branch", depth: depth + 1, agent: number, place, nodes: this.branch(leaf) }));
      for (const child of this.children[number]) visit(child, depth + 1);
    };
    this.agents.forEach((agent, number) => { if (agent.parent < 0) visit(number, 0); });
    return rows;
  }
}
