import { expect, test } from "vitest";
import { general, humanBytes, humanCount, humanTime, shorten, thousands } from "../src/words.js";

test("numbers as Python writes them", () => {
  expect([0.1 + 0.2, 1e-5, 123456789, 1e16, -2.5, 0, 100].map((v) => general(v, 6))).toEqual([
    "0.3",
    "1e-05",
    "1.23457e+08",
    "1e+16",
    "-2.5",
    "0",
    "100",
  ]);
  expect(general(Number.NaN, 3)).toBe("nan");
});

test("sizes, times, counts", () => {
  expect([999, 1280, 123456, 5e6, 3e12].map(humanBytes)).toEqual([
    "999 B",
    "1.28 kB",
    "123 kB",
    "5 MB",
    "3000 GB",
  ]);
  expect([0.41, 999, 1200, 2.5e6].map(humanTime)).toEqual(["0.41 µs", "999 µs", "1.2 ms", "2.5 s"]);
  expect([12, 1500, 2e6].map(humanCount)).toEqual(["12", "1.5k", "2M"]);
  expect(thousands(1234567)).toBe("1,234,567");
});

test("long words lose their middle, by whole characters", () => {
  expect(shorten("abcdefghijkl", 8)).toBe("abcd…jkl");
  expect([...shorten("😀".repeat(12), 8)]).toHaveLength(8);
});
