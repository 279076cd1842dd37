// What the colour of a token says, and the legend that says so.

import { colours, series, tint } from "./colours.js";

const figure = (value) => (Number.isFinite(value) ? Number(value.toPrecision(4)).toString() : "unknown");

// Each: a name for the menu; the colour of a sampled token ("" for none); the legend: pairs of a colour and words.
export function painters(forest) {
  const found = [mask(forest), logprob(forest)];
  const advantages = forest.values.get("advantage");
  if (advantages || forest.advantage !== null) found.push(advantage(forest, advantages));
  if (forest.values.has("ratio")) found.push(ratio(forest, forest.values.get("ratio")));
  for (const [name, values] of forest.values) if (name !== "advantage" && name !== "ratio") found.push(other(name, values));
  found.push(version(forest));
  return found;
}

function mask(forest) {
  const kinds = () => [["trained", tint(colours.good, 0.3)], ["frozen agent", tint(colours.c1, 0.28)], ["masked", tint(colours.bad, 0.3)], ["no log-probability", tint(colours.warn, 0.35)]];
  return {
    name: "mask",
    colour: (drawn, node) => {
      const [trained, frozen, masked, unknown] = kinds().map(([, colour]) => colour);
      if (forest.outline.masked || node.masked) return masked;
      if (forest.agents[node.agent].policy === "frozen") return frozen;
      return forest.learns(drawn, node) ? trained : unknown;
    },
    legend: () => [...kinds().map(([words, colour]) => [colour, words]), ["transparent", "given: no colour"]],
  };
}

function logprob(forest) {
  return {
    name: "log-probability",
    colour: (drawn) => (Number.isNaN(forest.logprobs[drawn]) ? tint(colours.quiet, 0.3) : tint(colours.bad, -forest.logprobs[drawn] / 6)),
    legend: () => [[tint(colours.bad, 0.02), "certain (0)"], [tint(colours.bad, 0.4), "-2.4"], [tint(colours.bad, 1), "-6 and below"]],
    tell: (drawn) => `log-probability ${figure(forest.logprobs[drawn])}`,
  };
}

function advantage(forest, values) {
  let most = values ? 0 : Math.abs(forest.advantage);
  if (values) for (const value of values) if (Math.abs(value) > most) most = Math.abs(value);
  most = most || 1;
  const of = (drawn, node) => (values ? values[drawn] : node.trainable ? forest.advantage : NaN);
  return {
    name: values ? "advantage" : "advantage (reward − mean of its group)",
    colour: (drawn, node) => {
      const value = of(drawn, node);
      return Number.isNaN(value) ? "" : tint(value < 0 ? colours.bad : colours.good, 0.1 + 0.5 * Math.abs(value) / most);
    },
    legend: () => [[tint(colours.bad, 0.6), figure(-most)], [tint(colours.quiet, 0.1), "0"], [tint(colours.good, 0.6), figure(most)]],
    tell: (drawn, node) => `advantage ${figure(of(drawn, node))}`,
  };
}

function ratio(forest, values) {
  const strength = (value) => Math.abs(Math.log(value)) / Math.log(2);
  return {
    name: "ratio π_θ/π_old",
    colour: (drawn) => (values[drawn] > 0 ? tint(values[drawn] < 1 ? colours.c1 : colours.warn, strength(values[drawn])) : ""),
    legend: () => [[tint(colours.c1, 1), "1/2 and below"], [tint(colours.quiet, 0.1), "1"], [tint(colours.warn, 1), "2 and above"]],
    tell: (drawn) => `ratio ${figure(values[drawn])}`,
  };
}

function other(name, values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) if (Number.isFinite(value)) [low, high] = [Math.min(low, value), Math.max(high, value)];
  return {
    name,
    colour: (drawn) => (Number.isFinite(values[drawn]) ? tint(colours.accent, (values[drawn] - low) / Math.max(1e-9, high - low)) : ""),
    legend: () => [[tint(colours.accent, 0.05), figure(low)], [tint(colours.accent, 1), figure(high)]],
    tell: (drawn) => `${name} ${figure(values[drawn])}`,
  };
}

function version(forest) {
  const known = [...new Set(forest.versions)].sort((a, b) => a - b);
  const of = (value) => tint(series(((value % 8) + 8) % 8), 0.4);
  return {
    name: "policy version",
    colour: (drawn) => of(forest.versions[drawn]),
    legend: () => known.slice(0, 12).map((value) => [of(value), value < 0 ? "unknown" : `version ${value}`]),
    tell: (drawn) => `version ${forest.versions[drawn]}`,
  };
}
