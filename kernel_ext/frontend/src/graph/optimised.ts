// The graph that runs. Nodes that run in one pass stand in a scope of their own, called after the
// step, so that the drawing frames them.

import type { GraphNode, GraphRecord } from "./record.js";

/** A step that joins several nodes. */
export interface Group {
  id: number;
  label: string;
  /** Nodes as they were recorded. */
  members: number[];
  /** Nodes of the optimised graph. */
  nodes: number[];
}

export class Optimised {
  readonly record: GraphRecord;
  /** What became of the graph, in a line. */
  readonly summary: string;
  readonly #groupOf = new Map<number, Group>();
  readonly #originOf = new Map<number, number>();

  constructor(recorded: GraphRecord, found: GraphRecord, groups: Group[]) {
    for (const group of groups) for (const id of group.nodes) this.#groupOf.set(id, group);
    const scopes = new Map(groups.map((group) => [group, scopeOf(group, found.nodes)]));
    const nodes = found.nodes.map((node): GraphNode => {
      if (typeof node.origin === "number") this.#originOf.set(node.id, node.origin);
      const group = this.#groupOf.get(node.id);
      return group ? { ...node, scope: scopes.get(group)! } : node;
    });
    this.record = { ...recorded, ...found, nodes, error: undefined, diff: undefined };
    this.summary = String(found.summary ?? `${nodes.length} nodes`);
  }

  /** The recorded nodes that nodes of this graph stand for. */
  recorded(ids: number[]): number[] {
    const found = ids.flatMap((id) => {
      const origin = this.#originOf.get(id);
      return this.#groupOf.get(id)?.members ?? (origin === undefined ? [] : [origin]);
    });
    return [...new Set(found)];
  }

  /** What a node runs with, in words. */
  note(id: number): string {
    const group = this.#groupOf.get(id);
    return group ? `step ${group.id} computes ${group.label} in one pass` : "";
  }
}

/** The scope of a group: below what the scopes of its nodes have in common. */
function scopeOf(group: Group, nodes: GraphNode[]): string {
  const own = new Set(group.nodes);
  const paths = nodes.filter(({ id }) => own.has(id)).map(({ scope }) => scope.split("/"));
  const [first = [], ...rest] = paths;
  const differs = (part: string, at: number): boolean => rest.some((path) => path[at] !== part);
  const end = first.findIndex(differs);
  const common = (end < 0 ? first : first.slice(0, end)).filter(Boolean);
  return [...common, `step ${group.id}: ${group.label.replaceAll("/", "∕")}`].join("/");
}
