// The bundle that ships: built here as the package builds it.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";

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
