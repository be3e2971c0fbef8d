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

/** Columns of interned strings, in the order of the buffer; names as in GraphNode. */
const STRINGS = [
  "op",
  "family",
  "name",
  "spec",
  "dtype",
  "device",
  "kind",
  "scope",
  "cell",
] as const;
/** Columns of interned JSON. */
const PARSED = ["shape", "attrs"] as const;
/** Columns of whole numbers. */
const NUMBERS = ["id", "exec", "line", "forward_of"] as const;

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
  const next = (length = count): ArrayLike<number> => {
    const [width, value] = columns[column++];
    if (!width) return new Array<number>(length).fill(value);
    // A copy, because a column's start need not be aligned.
    const part = data.buffer.slice(place, place + width * length) as ArrayBuffer;
    place += part.byteLength;
    return new (width === 1 ? Int8Array : width === 2 ? Int16Array : Int32Array)(part);
  };
  const text = STRINGS.map(() => next());
  const parsed = PARSED.map(() => next());
  const whole = NUMBERS.map(() => next());
  const failed = next();
  const degree = next();
  const bytes = next();
  const time = next();
  let total = 0;
  for (let i = 0; i < count; ++i) total += degree[i];
  const sources = next(total);
  let at = 0;
  const cache = new Map<number, unknown>();
  const parse = (index: number): unknown => {
    if (!cache.has(index)) cache.set(index, JSON.parse(strings[index]));
    return cache.get(index);
  };
  const nodes: GraphNode[] = new Array(count);
  for (let i = 0; i < count; ++i) {
    const string = (k: number): string | null => (text[k][i] < 0 ? null : strings[text[k][i]]);
    const number = (k: number): number | null => (whole[k][i] < 0 ? null : whole[k][i]);
    const inputs: number[] = [];
    for (const end = at + degree[i]; at < end; ++at) inputs.push(sources[at]);
    nodes[i] = {
      id: whole[0][i],
      op: string(0) ?? "",
      family: string(1),
      name: string(2),
      inputs,
      spec: string(3),
      dtype: string(4),
      device: string(5),
      kind: string(6) ?? "op",
      scope: string(7) ?? "",
      cell: string(8),
      shape: parsed[0][i] < 0 ? [] : (parse(parsed[0][i]) as (number | string)[]),
      attrs: parsed[1][i] < 0 ? {} : (parse(parsed[1][i]) as Record<string, unknown>),
      exec: number(1),
      line: number(2),
      forward_of: number(3),
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
