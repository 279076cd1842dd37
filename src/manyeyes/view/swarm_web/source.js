// Where a run comes from: the server beside it, live; or the file itself, once it was exported.

const AGAIN = 2000;  // milliseconds after which a server that refused is asked again

// Server-sent events from a number on; the browser asks again from its last number when the line breaks.
export class LiveSource {
  constructor(listeners) {
    this.listeners = listeners;
    this.offline = false;
    this.run = 0;
    this.stream = null;
  }

  async open() {
    const vitals = await (await this.ask("/api/runs")).json();
    this.follow(vitals.runs.at(-1).id);
  }

  follow(run) {
    this.run = run;
    this.listeners.begin(run);
    this.listen();
  }

  listen() {
    if (this.stream) this.stream.close();
    const query = new URLSearchParams({ after: String(this.listeners.last()) });
    const stream = this.stream = new EventSource(`/api/runs/${this.run}/events?${query}`);
    const heard = (kind, act) => stream.addEventListener(kind, (event) => { if (stream === this.stream) act(JSON.parse(event.data)); });
    heard("events", (events) => this.listeners.events(events));
    heard("vitals", (vitals) => this.listeners.vitals(vitals));
    heard("problem", (words) => {  // the run's file is damaged; to ask again would not mend it
      this.stream = null;
      stream.close();
      this.listeners.problem(words);
    });
    stream.onopen = () => this.listeners.connected(true);
    stream.onerror = () => {
      if (stream !== this.stream) return;
      this.listeners.connected(false);
      if (stream.readyState === EventSource.CLOSED) setTimeout(() => { if (stream === this.stream) this.listen(); }, AGAIN);
    };
  }

  async ask(path, options) {
    const answer = await fetch(path, options);
    if (!answer.ok) throw new Error(await answer.text());
    return answer;
  }

  async transcript(agent, after) {
    const query = new URLSearchParams({ name: agent, after: String(after) });
    return (await this.ask(`/api/runs/${this.run}/agent?${query}`)).json();
  }

  async files(agent) {
    return (await this.ask(`/api/runs/${this.run}/files?${new URLSearchParams({ name: agent })}`)).json();
  }

  fileUrl(agent, path) { return `/api/runs/${this.run}/file?${new URLSearchParams({ name: agent, path })}`; }
  pictureUrl(name) { return /^[0-9a-f]{64}$/.test(name) ? `/api/runs/${this.run}/blobs/${name}` : null; }
  get exportUrl() { return `/api/runs/${this.run}/export`; }

  async control(action, agent = "", text = "") {
    await this.ask("/api/control", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ action, agent, text }),
    });
  }
}

export class FileSource {
  constructor(listeners) {
    this.listeners = listeners;
    this.offline = true;
  }

  async open() {
    const bytes = Uint8Array.from(atob(document.getElementById("data").textContent), (letter) => letter.charCodeAt(0));
    const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const data = this.data = JSON.parse(await new Response(plain).text());
    this.listeners.begin(0);
    this.listeners.vitals({
      runs: [{ id: 0, name: data.name, asked: data.asked }], live: false, steerable: false, paused: false, queue: null,
    });
    this.listeners.events(data.events);
  }

  async transcript(agent, after) {
    const known = this.data.agents[agent];
    return known ? known.filter((event) => event.seq > after) : null;
  }

  async files() { return []; }
  fileUrl() { return null; }
  pictureUrl(name) { return this.data.pictures[name] || null; }
}
