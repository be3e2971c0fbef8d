// The layout against the native one: scenes that tests/notebook/scenes.py wrote.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { period } from "../src/graph/grouping.js";
import type { GraphRecord } from "../src/graph/record.js";
import { build, type Scene, type SceneOptions } from "../src/graph/scene.js";
import { stubs } from "../src/graph/shapes.js";
import { large } from "./records.js";

const folder = join(__dirname, "fixtures");

interface NativeBox {
  [field: string]: unknown;
}
interface Fixture {
  record: GraphRecord;
  scenes: {
    options: Record<string, unknown>;
    scene: {
      boxes: NativeBox[];
      lines: { points: [number, number][]; [field: string]: unknown }[];
      box_of_node: number[];
      [field: string]: unknown;
    };
  }[];
}

function optionsOf(native: Record<string, unknown>): SceneOptions {
  return {
    direction: native.direction as SceneOptions["direction"],
    maxBoxes: native.max_boxes as number | undefined,
    foldGradients: native.fold_gradients as boolean | undefined,
    foldRepeats: native.fold_repeats as boolean | undefined,
    expanded: native.expanded
      ? new Map(Object.entries(native.expanded as Record<string, boolean>))
      : undefined,
  };
}

const round = (value: number): number => Math.round(value * 100) / 100;

/** The scene in the native form, coordinates to a hundredth of a pixel. */
function plain(scene: Scene): unknown {
  return {
    direction: scene.direction,
    width: round(scene.width),
    height: round(scene.height),
    boxes: scene.boxes.map((box) => ({
      ...box,
      x: round(box.x),
      y: round(box.y),
      width: round(box.width),
      height: round(box.height),
    })),
    lines: scene.lines.map((line) => ({
      ...line,
      points: line.points.map((p) => [round(p.x), round(p.y)]),
    })),
    scopes: scene.scopes,
    box_of_node: scene.boxOfNode,
    mark: scene.mark,
  };
}

/** Rounding may fall either way at the edge; anything beyond that is a difference. */
function closely(ours: unknown, native: unknown, where = ""): void {
  if (typeof native === "number" && typeof ours === "number") {
    if (Math.abs(ours - native) > 0.011) expect(ours, where).toBe(native);
  } else if (native !== null && typeof native === "object") {
    expect(Object.keys(ours as object).sort(), where).toEqual(Object.keys(native).sort());
    for (const [key, value] of Object.entries(native))
      closely((ours as Record<string, unknown>)[key], value, `${where}.${key}`);
  } else {
    expect(ours, where).toBe(native);
  }
}

for (const file of readdirSync(folder).filter((name) => name.endsWith(".json"))) {
  const fixture = JSON.parse(readFileSync(join(folder, file), "utf8")) as Fixture;
  describe(file, () => {
    for (const { options, scene } of fixture.scenes) {
      test(`as the native core: ${JSON.stringify(options)}`, () => {
        closely(plain(build(fixture.record, optionsOf(options))), scene);
      });
    }
  });
}

test.each(["down", "right"] as const)(
  "long lines say what is on their other side: %s",
  (direction) => {
    const { record } = JSON.parse(readFileSync(join(folder, "skips.json"), "utf8")) as Fixture;
    const scene = build(record, { direction });
    const said = stubs(scene).map(({ box, label, arrow }) => [
      scene.boxes[box].tag,
      label.kind === "text" ? label.words : undefined,
      arrow,
    ]);
    expect(said.sort()).toEqual([
      ["h0", "→ y", false],
      ["late", "start", true],
      ["start", "→ 2 uses", false],
      ["y", "2 inputs", true],
    ]);
  },
);

test("the longest repetition wins", () => {
  const sig = [9, 9, ...[1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3], 7];
  expect(period(sig)).toEqual([2, 3, 4]);
  expect(period([1, 2, 3, 4, 5, 6, 7])).toBeUndefined();
  expect(period([5, 5, 5, 5, 5, 5])).toEqual([0, 2, 3]);
});

test("10,000 nodes are arranged in well under a frame of patience", () => {
  const record = large(10_000);
  build(record); // warm
  const start = performance.now();
  const scene = build(record);
  const took = performance.now() - start;
  expect(scene.boxes.length).toBeLessThanOrEqual(60);
  expect(took).toBeLessThan(1500); // 60 ms on a quiet machine
});
