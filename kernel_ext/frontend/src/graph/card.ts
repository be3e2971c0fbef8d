// What is known of a node or a scope, shown beside its box.

import { cellHref, h, s } from "../dom.js";
import { general, humanBytes, humanTime, shorten, thousands } from "../words.js";
import type { Totals } from "./paint.js";
import { type GraphNode, SOURCES, type ValueSummary } from "./record.js";
import { type Box, constantValue, nodeTitle } from "./scene.js";

export interface CardContext {
  node(id: number): GraphNode | undefined;
  /** What a comparison says of a node. */
  notes(id: number): string[];
}

type Row = [name: string, value: string | Node, cls?: string];

/** "In [3], line 2" as a link to the cell; the name of a file for code that is in no cell. */
function place(node: GraphNode): Node | string {
  const file = node.cell && /[/\\]/.test(node.cell) ? node.cell.split(/[/\\]/).pop() : undefined;
  const where = node.exec === null ? (node.cell ? "cell" : "") : `In [${node.exec}]`;
  const words = [file ?? where, node.line === null ? "" : `line ${node.line}`];
  const text = words.filter(Boolean).join(", ");
  const href = file ? undefined : cellHref(node.cell);
  return href && text ? h("a", { href, class: "jump" }, text) : text;
}

function listing(node: GraphNode, context: CardContext): string {
  const names = node.inputs.map((id) => {
    const input = context.node(id);
    // The drawing shows no numbers of nodes: without a name it is what its op is called.
    return input ? input.name || constantValue(input) || input.op : `%${id}`;
  });
  const more = names.length > 6 ? ` and ${names.length - 6} more` : "";
  return shorten(names.slice(0, 6).join(", "), 120) + more;
}

function attributes(node: GraphNode): string {
  const parts = Object.entries(node.attrs ?? {}).map(([k, v]) => `${k}=${JSON.stringify(v)}`);
  return shorten(parts.join(", "), 120);
}

/** A small histogram with the count of what is not finite. */
export function histogram(values: ValueSummary): Node[] {
  const counts = values.counts ?? [];
  const most = Math.max(1, ...counts);
  const out: Node[] = [];
  if (counts.length) {
    const bars = counts.map((count, i) => {
      const height = count ? Math.max(1, (34 * count) / most) : 0;
      return s("rect", { x: i + 0.06, y: 36 - height, width: 0.88, height });
    });
    const label = `histogram from ${general(values.low, 4)} to ${general(values.high, 4)}`;
    out.push(
      s(
        "svg",
        {
          class: "bars",
          viewBox: `0 0 ${counts.length} 36`,
          preserveAspectRatio: "none",
          role: "img",
          "aria-label": label,
        },
        ...bars,
      ),
      h(
        "div",
        { class: "ends" },
        h("span", {}, general(values.low, 4)),
        h("span", {}, `mean ${general(values.mean, 4)}`),
        h("span", {}, general(values.high, 4)),
      ),
    );
  }
  const bad = [
    [values.nan, "NaN"],
    [values.inf, "Inf"],
  ] as const;
  const words = bad.filter(([n]) => n).map(([n, word]) => `${thousands(n)} ${word}`);
  if (words.length) out.push(h("div", { class: "bad" }, words.join(", ")));
  return out;
}

function definition(rows: Row[]): HTMLElement {
  return h(
    "dl",
    {},
    ...rows
      .filter(([, value]) => value !== "")
      .flatMap(([name, value, cls]) => [h("dt", {}, name), h("dd", { class: cls }, value)]),
  );
}

export function nodeCard(node: GraphNode, box: Box, totals: Totals, context: CardContext): Node[] {
  const source = SOURCES.has(node.kind);
  const head = h("div", {}, h("b", {}, source ? nodeTitle(node) : node.op));
  if (!source && node.name) head.append(" ", h("span", { class: "name" }, node.name));
  const shared = node.fused_with ? ` with ${node.fused_with} more` : "";
  const rows: Row[] = [
    ["", node.alarm ? `the first ${node.alarm} appears here` : "", "bad"],
    ["", node.failed ? "failed here" : "", "bad"],
    ["kind", source || node.kind !== "op" ? node.kind : ""],
    ["spec", node.spec ?? "", "mono"],
    ["inputs", listing(node, context), "mono"],
    ["options", attributes(node), "mono"],
    ["memory", node.bytes === null ? "" : humanBytes(node.bytes)],
    ["time", node.time_us === null ? "" : humanTime(node.time_us) + shared],
    ["device", node.device ?? ""],
    ["scope", node.scope, "mono"],
    ["from", place(node)],
    ["∂", box.gradients ? gradientWords(box, totals) : ""],
    ...context.notes(node.id).map((note): Row => ["", note]),
  ];
  return [head, definition(rows), ...(node.values ? histogram(node.values) : [])];
}

const gradientNodes = ({ gradients: n }: Box): string => `${n} gradient node${n > 1 ? "s" : ""}`;

function gradientWords(box: Box, totals: Totals): string {
  const nodes = gradientNodes(box);
  return totals.timed ? `${nodes}; ${humanTime(totals.time)} all together` : nodes;
}

export function scopeCard(box: Box, path: string, totals: Totals): Node[] {
  const rows: Row[] = [
    ["scope", path, "mono"],
    ["nodes", thousands(totals.nodes.length)],
    ["repeats", box.repeat > 1 ? `${box.repeat} times the same` : ""],
    ["memory", totals.bytes ? humanBytes(totals.bytes) : ""],
    ["time", totals.timed ? humanTime(totals.time) : ""],
  ];
  const hint =
    box.kind === "scope" ? "Click or Enter opens it." : "Click its title or Enter closes it.";
  return [h("b", {}, box.title), definition(rows), h("div", { class: "hint" }, hint)];
}

/** The words a screen reader says for a box. */
export function boxLabel(box: Box, node: GraphNode | undefined, extra: string[]): string {
  const parts =
    box.kind === "node" && node
      ? [
          SOURCES.has(node.kind) ? `${node.kind} ${nodeTitle(node)}` : node.op,
          SOURCES.has(node.kind) ? "" : (node.name ?? ""),
          node.spec ?? "",
          node.line === null ? "" : `line ${node.line}`,
          box.failed ? (node.alarm ? `first ${node.alarm}` : "failed") : "",
          box.gradients ? gradientNodes(box) : "",
        ]
      : [
          `scope ${box.title}`,
          box.repeat > 1 ? `${box.repeat} times` : "",
          box.sub,
          box.failed ? "holds a failure" : "",
        ];
  return [...parts, ...extra].filter(Boolean).join(", ");
}
