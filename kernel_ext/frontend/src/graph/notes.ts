// What is said around a drawing: the line of figures, strips with errors and changes, the legend.

import { h } from "../dom.js";
import { humanBytes, humanTime, thousands } from "../words.js";
import type { Legend } from "./paint.js";
import type { Diff, GraphError, GraphRecord } from "./record.js";

const NAMED = 12; // nodes that are gone and named

// What a cell without an op on a tensor has recorded.
const NOTHING = ": nothing was recorded. Ops on tensors become nodes, such as fb.exp(x) or x * 2";

/** One line of figures: nodes, memory, times, and why it was compiled again. */
export function statusLine(record: GraphRecord): string {
  const { stats } = record;
  const count = record.nodes.length;
  const parts = [`${thousands(count)} node${count === 1 ? "" : "s"}${count ? "" : NOTHING}`];
  if (typeof stats.planned_peak_bytes === "number")
    parts.push(`peak ${humanBytes(stats.planned_peak_bytes)}`);
  for (const key of ["trace", "compile", "run"]) {
    const value = stats[`${key}_ms`];
    if (typeof value === "number") parts.push(`${key} ${humanTime(value * 1000)}`);
  }
  if (stats.recompiled) parts.push(`recompiled: ${stats.recompiled}`);
  return parts.join(" · ");
}

/** What must be read before the drawing: the error, the first NaN, what changed, what was optimised. */
export function strips(
  { error, nonfinite }: GraphRecord,
  diff: Diff | undefined,
  optimised: string,
): Node[] {
  const out: Node[] = [];
  if (error) out.push(errorStrip(error));
  if (nonfinite) out.push(h("div", { class: "strip error" }, nonfinite.text));
  if (optimised) out.push(h("div", { class: "strip" }, optimised));
  if (diff) out.push(diffStrip(diff));
  return out;
}

function errorStrip(error: GraphError): Node {
  const rows = (error.names ?? []).map(([name, spec]) =>
    h("tr", {}, h("td", {}, name), h("td", {}, spec)),
  );
  return h(
    "div",
    { class: "strip error" },
    h("b", {}, error.type),
    ` ${error.message}`,
    error.source
      ? h("div", {}, error.line ? `line ${error.line}: ` : "", h("code", {}, error.source))
      : null,
    rows.length ? h("table", {}, h("tbody", {}, ...rows)) : null,
  );
}

function diffStrip({ added, removed, changed }: Diff): Node {
  const names = removed
    .slice(0, NAMED)
    .flatMap((node) => [" ", h("code", {}, `${node.name ?? `%${node.id}`} = ${node.op}`)]);
  const more = removed.length > NAMED ? ` and ${removed.length - NAMED} more` : "";
  return h(
    "div",
    { class: "strip" },
    `Since the version before: ${added.length} new, ${changed.length} changed, ${removed.length} gone`,
    names.length ? ":" : ".",
    ...names,
    more,
  );
}

/** The keys below the drawing. */
export function legendKeys(legend: Legend[], gradients: boolean): Node[] {
  const all = gradients
    ? [...legend, { label: "∂ gradient nodes", colour: "var(--grad)", look: "source" as const }]
    : legend;
  return all.map(({ label, colour, look = "" }) =>
    h(
      "span",
      { class: "key" },
      h("span", { class: `swatch ${look}`, style: `--c:${colour}` }),
      label,
    ),
  );
}
