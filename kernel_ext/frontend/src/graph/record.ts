// The record of a graph as the kernel describes it (src/flowbook/_record.py), and the compact form
// in which it travels: strings and reals each once, and columns of small whole numbers in a buffer.

import type { Message } from "../channel.js";

export interface GraphNode {
  id: number;
  op: string;
  family: string | null;
  name: string | null;
  inputs: number[];
  spec: string | null;
  shape: (number | string)[];
  dtype: string | null;
  device: string | null;
  bytes: number | null;
  kind: string;
  scope: string;
  cell: string | null;
  exec: number | null;
  line: number | null;
  time_us: number | null;
  failed: boolean;
  forward_of: number | null;
  attrs: Record<string, unknown>;
  /** From `--inspect`: what the value looked like in the last run. */
  values?: ValueSummary;
  /** What this node was the first to make: "NaN" or "Inf". */
  alarm?: string;
  /** How many other nodes share its time, because they ran as one. */
  fused_with?: number;
  [field: string]: unknown;
}

/** Kinds of nodes that bring values into a graph. */
export const SOURCES: ReadonlySet<string> = new Set(["input", "capture", "variable", "constant"]);

export interface ValueSummary {
  count: number;
  nan: number;
  inf: number;
  low: number;
  high: number;
  mean: number;
  /** A histogram between low and high. */
  counts: number[];
}

export interface GraphError {
  type: string;
  message: string;
  line?: number | null;
  source?: string;
  names?: [string, string][];
}

export interface Diff {
  added: number[];
  removed: GraphNode[];
  changed: { id: number; was: string }[];
}

export interface GraphRecord {
  name: string;
  nodes: GraphNode[];
  outputs: { name: string; node: number }[];
  assignments: { variable: string; node: number }[];
  stats: Record<string, unknown>;
  error?: GraphError;
  diff?: Diff;
  stale?: string;
  /** Where the first NaN or infinity came from. */
  nonfinite?: { text: string };
  [field: string]: unknown;
}

export interface Packed {
  count: number;
  strings: string[];
  reals: (number | null)[];
  /** Of each column its bytes per number; 0 and the value, where it has but one. */
  columns: number[][];
  /** Fields that few nodes have, by position. */
  more: Record<string, Record<string, unknown>>;
}

/** Rebuilds nodes from their packed form (flowbook_ext/views/packing.py); -1 is what is absent. */
export function unpackNodes(packed: Packed, data: DataView): GraphNode[] {
  const { count, strings, reals, columns, more } = packed;
  let column = 0;
  let place = data.byteOffset;
  // All of one type: code that reads them stays simple for the engine.
  const next = (length = count): Int32Array => {
    const [width, value] = columns[column++];
    if (!width) return new Int32Array(length).fill(value);
    // A copy, because a column's start need not be aligned.
    const part = data.buffer.slice(place, place + width * length) as ArrayBuffer;
    place += part.byteLength;
    if (width > 2) return new Int32Array(part);
    return new Int32Array(width === 1 ? new Int8Array(part) : new Int16Array(part));
  };
  // In the order of the buffer: places in `strings`, the last two of JSON; whole numbers; places in
  // `reals`; sources of all nodes.
  const [op, family, name, spec, dtype, device, kind, scope, cell, shape, attrs] = Array.from(
    { length: 11 },
    () => next(),
  );
  const [id, exec, line, forwardOf, failed, degree, bytes, time] = Array.from({ length: 8 }, () =>
    next(),
  );
  const sources = next(degree.reduce((sum, n) => sum + n, 0));
  const words = [null, ...strings]; // one further, so that -1 is found, too
  const parsed: unknown[] = new Array(strings.length);
  const parse = (index: number): unknown => {
    parsed[index] ??= JSON.parse(strings[index]);
    return parsed[index];
  };
  const nodes: GraphNode[] = new Array(count);
  let at = 0;
  for (let i = 0; i < count; ++i) {
    const inputs: number[] = [];
    for (const end = at + degree[i]; at < end; ++at) inputs.push(sources[at]);
    nodes[i] = {
      id: id[i],
      op: words[op[i] + 1] ?? "",
      family: words[family[i] + 1],
      name: words[name[i] + 1],
      inputs,
      spec: words[spec[i] + 1],
      dtype: words[dtype[i] + 1],
      device: words[device[i] + 1],
      kind: words[kind[i] + 1] ?? "op",
      scope: words[scope[i] + 1] ?? "",
      cell: words[cell[i] + 1],
      shape: shape[i] < 0 ? [] : (parse(shape[i]) as (number | string)[]),
      attrs: attrs[i] < 0 ? {} : (parse(attrs[i]) as Record<string, unknown>),
      exec: exec[i] < 0 ? null : exec[i],
      line: line[i] < 0 ? null : line[i],
      forward_of: forwardOf[i] < 0 ? null : forwardOf[i],
      bytes: reals[bytes[i]],
      time_us: reals[time[i]],
      failed: failed[i] === 1,
    };
  }
  for (const [i, fields] of Object.entries(more)) Object.assign(nodes[Number(i)], fields);
  return nodes;
}

/** A record from a message: its nodes are packed, or plain in exported pages. */
export function readRecord(message: Message, buffers: DataView[]): GraphRecord | undefined {
  const record = message.record as (GraphRecord & { packed?: Packed }) | undefined;
  if (!record || typeof record !== "object") return undefined;
  const { packed, ...rest } = record;
  const nodes = packed ? unpackNodes(packed, buffers[0]) : record.nodes;
  return {
    ...rest,
    stats: rest.stats ?? {},
    outputs: rest.outputs ?? [],
    assignments: rest.assignments ?? [],
    nodes,
  };
}
