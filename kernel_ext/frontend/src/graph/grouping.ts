// What belongs together in a graph: parameters and their readers, gradients and what they are of, nodes
// that may stand for each other, scopes and the groups of crowded ones. As src/flowbook/_scene.py and
// _scopes.py do it for the static picture.

import { type GraphNode, SOURCES } from "./record.js";

const CROWD = 30; // more loose nodes than this in one scope are searched for repetition
const LIMIT = 48; // more entries than this in one scope are grouped by line

export class Scopes {
  readonly path: string[] = [];
  readonly parent: number[] = [];
  readonly #index = new Map<string, number>();

  add(path: string, parent: number): number {
    const found = this.#index.get(path);
    if (found !== undefined) return found;
    const own = this.path.length;
    this.#index.set(path, own);
    this.path.push(path);
    this.parent.push(parent);
    return own;
  }

  addPath(path: string): number {
    const found = this.#index.get(path);
    if (found !== undefined) return found;
    const cut = path.lastIndexOf("/");
    const head = cut < 0 ? "" : path.slice(0, cut);
    return this.add(path, head ? this.addPath(head) : -1);
  }
}

/** The forward node of every gradient node, or -1; loose ones follow their neighbours. */
export function besideOf(nodes: GraphNode[], indexOf: Map<number, number>): Int32Array {
  const beside = new Int32Array(nodes.length).fill(-1);
  for (let i = 0; i < nodes.length; ++i) {
    const node = nodes[i];
    if (node.kind !== "gradient" || node.failed) continue;
    let forward = node.forward_of === null ? -1 : (indexOf.get(node.forward_of) ?? -1);
    if (!(forward >= 0 && forward < i)) {
      forward = -1;
      for (const id of node.inputs) {
        const j = indexOf.get(id) ?? i;
        if (j >= i) continue;
        if (beside[j] >= 0) {
          forward = beside[j];
          break;
        }
        if (j > forward && !SOURCES.has(nodes[j].kind)) forward = j;
      }
    }
    beside[i] = forward;
  }
  return beside;
}

/** Numbers of equal ones for nodes that may stand for each other in repeated blocks. */
export function signatures(nodes: GraphNode[]): number[] {
  const known = new Map<string, number>();
  const scopes = new Map<string, string>(); // without their numbers
  return nodes.map(({ op, spec, kind, failed, scope }) => {
    let where = scopes.get(scope);
    if (where === undefined) {
      where = (scope || "").replace(/\p{Nd}+/gu, "");
      scopes.set(scope, where);
    }
    const key = `${op}\0${spec ?? "\u0001"}\0${kind}\0${failed}\0${where}`;
    const found = known.get(key) ?? known.size;
    if (found === known.size) known.set(key, found);
    return found;
  });
}

/** Parameters and numbers that one node reads are written on its box: id -> reader's id. */
export function absorbed(nodes: GraphNode[]): Map<number, number> {
  const indexOf = new Map(nodes.map((node, i) => [node.id, i]));
  const readers = new Int32Array(nodes.length); // how many nodes read it
  const reader = new Int32Array(nodes.length).fill(-1); // the last of them
  const other = new Int32Array(nodes.length).fill(-1); // the first gradient or optimizer that does
  nodes.forEach(({ kind, failed, inputs }, i) => {
    const aside = (kind === "gradient" || kind === "optimizer") && !failed;
    for (const id of inputs) {
      const j = indexOf.get(id);
      if (j === undefined) continue;
      if (aside) {
        if (other[j] < 0) other[j] = i;
      } else if (reader[j] !== i) {
        reader[j] = i;
        ++readers[j];
      }
    }
  });
  const home = new Map<number, number>();
  nodes.forEach(({ id, kind, scope, failed }, i) => {
    const constant = kind === "constant";
    if (readers[i] === 1 && !failed) {
      if ((kind === "variable" && scope) || constant) home.set(id, nodes[reader[i]].id);
    } else if (readers[i] === 0 && other[i] >= 0) {
      const { kind: what, id: by } = nodes[other[i]];
      if (constant || (kind === "variable" && what === "optimizer")) home.set(id, by);
    }
  });
  return home;
}

/** An optimizer reads every variable: those lines would only fill the picture. */
export const implied = (source: GraphNode, reader: GraphNode): boolean =>
  reader.kind === "optimizer" && source.kind === "variable";

/** Finds the longest stretch that repeats at least three times. */
export function period(
  signature: number[],
): [start: number, period: number, times: number] | undefined {
  let best: [number, number, number] | undefined;
  const last = Math.min(65, Math.floor(signature.length / 3) + 1);
  for (let p = 2; p < last; ++p) {
    const end = signature.length - p;
    for (let start = 0; start < end; ) {
      if (signature[start] !== signature[start + p]) {
        ++start;
        continue;
      }
      let stop = start + 1;
      while (stop < end && signature[stop] === signature[stop + p]) ++stop;
      const times = Math.floor((stop - start) / p) + 1;
      if (times >= 3 && (!best || times * p > 1.2 * best[1] * best[2])) best = [start, p, times];
      start = stop;
    }
  }
  return best;
}

/** Groups the nodes of crowded scopes: repetitions first, then lines, then runs of nodes. */
export function groupCrowds(
  nodes: GraphNode[],
  scope: number[],
  scopes: Scopes,
  loose: boolean[],
  sig: number[],
): void {
  const known = scopes.path.length;
  const ownNodes: number[][] = Array.from({ length: known + 1 }, () => []);
  const children: number[] = new Array(known + 1).fill(0);
  for (let i = 0; i < scope.length; ++i) {
    if (loose[i]) ownNodes[scope[i] + 1].push(i);
  }
  for (const s of scopes.parent) ++children[s + 1];
  for (let parent = -1; parent < known; ++parent) {
    const prefix = parent >= 0 ? `${scopes.path[parent]}/` : "";
    let members = ownNodes[parent + 1];
    let others = children[parent + 1];
    if (members.length > CROWD) {
      const found = period(members.map((i) => sig[i]));
      if (found) {
        const [start, length, times] = found;
        for (let k = 0; k < times; ++k) {
          const own = scopes.add(`${prefix}block[${k}]`, parent);
          for (const i of members.slice(start + k * length, start + (k + 1) * length))
            scope[i] = own;
        }
        members = [...members.slice(0, start), ...members.slice(start + length * times)];
        ++others;
      }
    }
    if (members.length === 0 || members.length + others <= LIMIT) continue;
    const lines = new Map<number | null, number[]>();
    for (const i of members) {
      const line = nodes[i].line ?? null;
      const list = lines.get(line);
      if (list) list.push(i);
      else lines.set(line, [i]);
    }
    let groups: [string, number[]][] = [];
    for (const [line, part] of lines) {
      if (line !== null && part.length > 1) groups.push([`line ${line}`, part]);
    }
    const single = members.length - groups.reduce((sum, [, part]) => sum + part.length, 0);
    if (groups.length + single + others > LIMIT || groups.length < 2) {
      const size = Math.ceil(members.length / (LIMIT / 2));
      groups = [];
      for (let i = 0; i < members.length; i += size) {
        const part = members.slice(i, i + size);
        groups.push([`nodes ${nodes[part[0]].id}-${nodes[part[part.length - 1]].id}`, part]);
      }
    }
    for (const [label, part] of groups) {
      const own = scopes.add(prefix + label, parent);
      for (const i of part) scope[i] = own;
    }
  }
}

/** Removes scopes that hold one thing only: a frame around a single box says nothing. */
export function dropThin(scope: number[], scopes: Scopes, loose: boolean[]): [number[], Scopes] {
  const count: number[] = new Array(scopes.path.length).fill(0);
  for (let i = 0; i < scope.length; ++i) {
    if (scope[i] >= 0 && loose[i]) ++count[scope[i]];
  }
  for (const parent of scopes.parent) {
    if (parent >= 0) ++count[parent];
  }
  const kept = new Scopes();
  const moved: number[] = [];
  scopes.path.forEach((path, s) => {
    const parent = scopes.parent[s] >= 0 ? moved[scopes.parent[s]] : -1;
    moved.push(count[s] > 1 ? kept.add(path, parent) : parent);
  });
  return [scope.map((s) => (s >= 0 ? moved[s] : -1)), kept];
}
