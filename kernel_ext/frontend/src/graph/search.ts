// Finding nodes by what is known of them, in closed scopes too.

import type { GraphNode } from "./record.js";

const FIELDS: Record<string, (node: GraphNode) => string> = {
  name: (node) => node.name ?? "",
  op: (node) => node.op,
  shape: (node) => `[${(node.shape ?? []).join(", ")}]`,
  spec: (node) => node.spec ?? "",
  dtype: (node) => node.dtype ?? "",
  device: (node) => node.device ?? "",
  kind: (node) => node.kind,
  scope: (node) => node.scope,
  line: (node) => (node.line === null ? "" : String(node.line)),
};
const LONGEST = 200; // letters that expressions are tried on
const ANYWHERE = ["name", "op", "spec", "dtype", "scope"];

/**
 * A test for nodes: words found in name, op, spec, dtype or scope, or `line 12`; `op:conv` asks one
 * field. Words count as they stand and as a regular expression, so that both `f32[32, 10]` and
 * `relu|tanh` find what they look like.
 */
export function matcher(query: string): ((node: GraphNode) => boolean) | undefined {
  const text = query.trim();
  if (!text) return undefined;
  const line = /^(?:line|l)[\s:]*(\d+)$/i.exec(text);
  if (line) return (node) => node.line === Number(line[1]);
  const [, field, rest] = /^(\w+):(.*)$/.exec(text) ?? [];
  const asked = field && Object.hasOwn(FIELDS, field) ? field : undefined;
  const words = (asked ? rest : text).trim().toLowerCase();
  if (!words) return undefined;
  const pattern = safeRegExp(words);
  const fields = (asked ? [asked] : ANYWHERE).map((name) => FIELDS[name]);
  return (node) =>
    fields.some((read) => {
      const value = read(node).toLowerCase();
      return value.includes(words) || (pattern?.test(value.slice(0, LONGEST)) ?? false);
    });
}

/**
 * The words as a regular expression; none where they are not one, or one that could take for ever:
 * groups that repeat, and more than two open ends.
 */
function safeRegExp(words: string): RegExp | undefined {
  const shape = /^\[[\d, ]*\]$/.test(words); // not a class of digits
  if (shape || words.length > 100 || /\)[*+{]/.test(words)) return undefined;
  if ((words.match(/[*+}]/g)?.length ?? 0) > 2) return undefined;
  try {
    return new RegExp(words, "iu");
  } catch {
    return undefined;
  }
}

/** Positions of the nodes that a query finds; all of them in the order of the record. */
export function search(nodes: GraphNode[], query: string): number[] {
  const test = matcher(query);
  if (!test) return [];
  const found: number[] = [];
  nodes.forEach((node, i) => {
    if (test(node)) found.push(i);
  });
  return found;
}
