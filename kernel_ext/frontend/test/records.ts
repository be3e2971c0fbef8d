// Graph records for tests.
import type { GraphNode, GraphRecord } from "../src/graph/record.js";

/** A node with everything that a record says of it. */
export function node(
  id: number,
  op: string,
  inputs: number[] = [],
  more: Partial<GraphNode> = {},
): GraphNode {
  return {
    id,
    op,
    family: "elementwise",
    name: null,
    inputs,
    spec: "f32[32, 10]",
    shape: [32, 10],
    dtype: "f32",
    device: null,
    bytes: 1280,
    kind: "op",
    scope: "",
    cell: null,
    exec: null,
    line: null,
    time_us: null,
    failed: false,
    forward_of: null,
    attrs: {},
    ...more,
  };
}

export function recordOf(nodes: GraphNode[], more: Partial<GraphRecord> = {}): GraphRecord {
  return { name: "test", nodes, outputs: [], assignments: [], stats: {}, ...more };
}

/** A chain of blocks with gradients; as large as asked for. */
export function large(count: number): GraphRecord {
  const nodes: GraphNode[] = [];
  const add = (
    op: string,
    inputs: number[],
    scope: string,
    more: Partial<GraphNode> = {},
  ): number =>
    nodes.push(
      node(nodes.length, op, inputs, {
        scope,
        line: 1 + Math.floor(nodes.length / 40),
        time_us: nodes.length % 50,
        ...more,
      }),
    ) - 1;
  let x = add("input", [], "", { kind: "input", name: "x" });
  const forward: number[] = [];
  for (let k = 0; nodes.length < count * 0.6; ++k) {
    const scope = `model/blocks[${k}]`;
    const skip = x;
    for (const part of ["attention", "mlp"]) {
      const w = add("variable", [], `${scope}/${part}`, { kind: "variable", name: `w${k}` });
      x = add("matmul", [x, w], `${scope}/${part}`);
      x = add(k % 7 ? "relu" : "tanh", [x], `${scope}/${part}`);
      forward.push(x - 1, x);
    }
    x = add("add", [x, skip], scope);
    forward.push(x);
  }
  let last = add("mse", [x], "");
  for (const f of forward.reverse()) {
    if (nodes.length >= count) break;
    last = add("backward", [last, f], "", { kind: "gradient", forward_of: f });
  }
  return recordOf(nodes, { name: "large" });
}
