// Critical steps and the critical path, by the rules of swarm/critical_steps.py and swarm/critical_path.py, event by event.
//
// Of all that an event waited for only what came last is kept: the path is the chain of these, so it costs its own length.

const MODEL_ENDS = new Set(["llm.finished", "llm.failed", "context.summarised"]);

export class Graph {
  constructor() {
    this.kinds = [];
    this.times = [];
    this.agents = [];
    this.before = [];
    this.waited = [];
  }

  take(kind, time, agent, after, data) {
    let last = -1;
    for (const number of after) {
      if (last < 0 || this.times[number] > this.times[last]) last = number;
      else if (this.times[number] === this.times[last] && number > last) last = number;
    }
    this.kinds.push(kind);
    this.times.push(time);
    this.agents.push(agent);
    this.before.push(last);
    this.waited.push(data.waited || 0);
  }

  // The chain that an event waited for, from the beginning on.
  path(last) {
    const links = [];
    for (let end = last, begin; end >= 0 && (begin = this.before[end]) >= 0; end = begin) this.link(links, begin, end);
    return links.reverse();
  }

  link(links, begin, end) {
    const seconds = Math.max(0, this.times[end] - this.times[begin]), from = this.kinds[begin], to = this.kinds[end];
    const add = (spent, part) => { if (part > 0) links.push({ begin, end, agent: this.agents[end], seconds: part, spent }); };
    if (MODEL_ENDS.has(to) && from === "llm.started") {
      const waited = Math.min(seconds, this.waited[end]);
      add("model", seconds - waited);
      add("limiter", waited);
    } else if (to === "tool.finished" && from === "tool.started") add("tool", seconds);
    else add(to === "agent.resumed" ? "stopped" : "program", seconds);
  }
}

// Steps of one agent so far; `longest` holds for each of its actions the steps of the longest child.
class Steps {
  constructor(parent) {
    this.parent = parent;
    this.action = parent ? parent.longest.length - 1 : -1;
    this.critical = 0;
    this.longest = [];
  }

  act() {
    this.longest.push(0);
    this.grow(1);
  }

  grow(steps) {
    this.critical += steps;
    if (!this.parent || this.action < 0) return;
    const more = this.critical - this.parent.longest[this.action];
    if (more > 0) {
      this.parent.longest[this.action] = this.critical;
      this.parent.grow(more);
    }
  }

  // Critical steps from the root to here, through this agent and not through longer siblings.
  get through() {
    const above = this.parent && this.action >= 0 ? this.parent.through - this.parent.longest[this.action] : 0;
    return above + this.critical;
  }
}

export class StepCounter {
  constructor(main = "main") {
    this.main = main;
    this.total = 0;
    this.agents = new Map();
  }

  take(kind, agent) {
    if (kind === "agent.created") {
      const parent = this.agents.get(agent.slice(0, Math.max(0, agent.lastIndexOf("/"))));
      if (!this.agents.has(agent)) this.agents.set(agent, new Steps(parent || null));
    } else if (kind === "llm.finished" || kind === "context.summarised") {
      this.total += 1;
      if (!this.agents.has(agent)) this.agents.set(agent, new Steps(null));
      this.agents.get(agent).act();
    }
  }

  get critical() { return this.agents.has(this.main) ? this.agents.get(this.main).critical : 0; }

  through(agent) { return this.agents.has(agent) ? this.agents.get(agent).through : 0; }
}
