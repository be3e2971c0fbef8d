import { expect, test } from "vitest";
import { search } from "../src/graph/search.js";
import { node } from "./records.js";

const nodes = [
  node(0, "input", [], { name: "x", spec: "f32[32, 784]", shape: [32, 784], kind: "input" }),
  node(1, "matmul", [], { name: "logits", line: 12, spec: "f32[32, 10]" }),
  node(2, "relu", [], { line: 2, scope: "model/blocks[3]", dtype: "f16" }),
  node(3, "tanh", [], { line: 12 }),
];

test.each([
  ["matmul", [1]],
  ["LOGITS", [1]],
  ["f32[32, 10]", [1, 2, 3]],
  ["[32, 784]", [0]],
  ["relu|tanh", [2, 3]],
  ["^r", [2]],
  ["blocks[3]", [2]],
  ["line 12", [1, 3]],
  ["line:2", [2]],
  ["op:tanh", [3]],
  ["dtype:f16", [2]],
  ["kind:input", [0]],
  ["shape:784", [0]],
  ["nothing", []],
  ["  ", []],
  ["f32[", [0, 1, 2, 3]],
  ["op:", []],
])("%s", (query, found) => {
  expect(search(nodes, query)).toEqual(found);
});

test("an expression that would never end is taken as plain words", () => {
  const slow = [node(0, "a".repeat(5000))];
  const start = performance.now();
  search(slow, "(a+)+$");
  search(slow, "(a|a)*b");
  search(slow, "(.*)*x");
  expect(performance.now() - start).toBeLessThan(1000);
});
