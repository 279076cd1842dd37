// What the page asks its server for.

async function ask(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error((await answer.text()) || `the server answered ${answer.status}`);
  return answer;
}

const json = async (path) => (await ask(path)).json();

export const choices = () => json("/api/choices");
export const list = (query) => json(`/api/list?${new URLSearchParams(query)}`);
export const pictureUrl = (blob) => (/^[0-9a-f]{64}$/.test(blob) ? `/api/blobs/${blob}` : null);

// The snapshots so far, kept up to date.
export class Series {
  constructor() {
    Object.assign(this, { rows: [], generation: -1, have: 0 });
  }

  async refresh() {
    const part = await json(`/api/series?${new URLSearchParams({ generation: this.generation, have: this.have })}`);
    this.rows = part.generation === this.generation ? this.rows.slice(0, part.first).concat(part.rows) : part.rows;
    this.generation = part.generation;
    this.have = Math.max(0, this.rows.length - 1);  // the newest may not stay
    return part;
  }
}

export async function trajectory(name) {
  const query = new URLSearchParams({ name });
  const [outline, arrays] = await Promise.all([json(`/api/outline?${query}`), ask(`/api/tokens?${query}`).then((answer) => answer.arrayBuffer())]);
  return { outline, arrays };
}
