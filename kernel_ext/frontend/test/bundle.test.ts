// @vitest-environment node
// The bundle that ships: built here as the package builds it.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { buildSync } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import { slim } from "../slim.mjs";

const folder = mkdtempSync(join(tmpdir(), "flowbook-bundle-"));

beforeAll(() => {
  execFileSync("node", ["build.mjs", "--quiet"], {
    env: { ...process.env, FLOWBOOK_STATIC: folder },
  });
});
afterAll(() => rmSync(folder, { recursive: true }));

test("it weighs at most 60 KB gzipped", () => {
  const code = readFileSync(join(folder, "flowbook.js"));
  expect(gzipSync(code, { level: 9 }).length).toBeLessThanOrEqual(60 * 1024);
});

test("it loads nothing from anywhere", () => {
  const code = readFileSync(join(folder, "flowbook.js"), "utf8");
  expect(code).not.toMatch(/\bimport\s*[("'{*]/);
  expect(code).not.toMatch(/https?:\/\/(?!www\.w3\.org\/)/);
});

test("licences of bundled packages come along", () => {
  const notices = readFileSync(join(folder, "flowbook.js.LICENSES.txt"), "utf8");
  expect(notices).toContain("Apache License 2.0");
});

test("what was left out of uPlot is asked for nowhere", () => {
  const source = readFileSync("node_modules/uplot/dist/uPlot.esm.js", "utf8");
  const file = join(folder, "uPlot.js");
  buildSync({
    stdin: { contents: slim(source) },
    bundle: true,
    format: "esm",
    minifySyntax: true,
    outfile: file,
  });
  const flags = "--ignoreConfig --allowJs --checkJs --noEmit --strict false --lib es2022,dom";
  const { stdout } = spawnSync("node_modules/.bin/tsc", [...flags.split(" "), file], {
    encoding: "utf8",
  });
  expect(stdout).toContain("TS2339"); // it was read: uPlot gives objects their properties later
  expect(stdout).not.toMatch(/Cannot find name.*/);
});
