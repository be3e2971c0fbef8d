// Where arrow keys lead: every box can be reached, and open scopes come before what is in them.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { GraphRecord } from "../src/graph/record.js";
import { Arrangement, type Scene } from "../src/graph/scene.js";
import { type Arrow, walk } from "../src/graph/walk.js";
import { large } from "./records.js";

const KEYS: Arrow[] = ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"];
const folder = join(__dirname, "fixtures");

/** Scenes as they come first, and with all scopes open. */
function scenes(record: GraphRecord): Scene[] {
  const arrangement = new Arrangement(record);
  const open = new Map(arrangement.scopes.map((path) => [path, true]));
  return (["down", "right"] as const).flatMap((direction) => [
    arrangement.scene({ direction }),
    arrangement.scene({ direction, expanded: open }),
  ]);
}

/** Boxes that no way from the first one leads to. */
function missed(scene: Scene): string[] {
  const seen = new Set([0]);
  for (const box of seen) for (const key of KEYS) seen.add(walk(scene, box, key));
  return scene.boxes.flatMap((box, i) => (seen.has(i) ? [] : `${box.kind} ${box.title}`));
}

const records: [string, GraphRecord][] = readdirSync(folder).map((file) => [
  file,
  (JSON.parse(readFileSync(join(folder, file), "utf8")) as { record: GraphRecord }).record,
]);

test.each([...records, ["large", large(300)] as [string, GraphRecord]])(
  "every box of %s",
  (_, r) => {
    for (const scene of scenes(r)) expect(missed(scene)).toEqual([]);
  },
);
