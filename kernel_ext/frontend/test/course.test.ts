// Memory over time: from the kernel's data to paths, places and words.
import { expect, test } from "vitest";
import { CourseChart } from "../src/tables/chart.js";
import {
  type Course,
  courseOf,
  courseWords,
  pictureOf,
  SIZE,
  sampleAt,
  sampleWords,
} from "../src/tables/course.js";

const DATA = {
  history: [
    [10, 0, 0],
    [12, 4e6, 4e6],
    [15, 2e6, 8e6],
    [20, 2e6, 2e6],
  ],
  cells: [
    { exec: 1, at: [1, 2] },
    { exec: 2, at: [10, 12] },
    { exec: 3, at: [14.9, 15] },
    { exec: 4, at: [15.1, 16] },
  ],
  limit: null,
};
const course = courseOf(DATA) as Course;
const { left, right, top, bottom } = SIZE;
const middle = (top + bottom) / 2;

test("live bytes are steps, and a peak that is gone stands above them", () => {
  const picture = pictureOf(course);
  const x = (t: number): number => Math.round((left + ((right - left) * (t - 10)) / 10) * 10) / 10;
  const quarter = bottom - (bottom - top) / 4;
  expect(picture.live).toBe(
    `M${left} ${bottom}H${x(12)}V${middle}H${x(15)}V${quarter}H${right}V${quarter}`,
  );
  expect(picture.area).toBe(`${picture.live}V${bottom}H${left}Z`);
  expect(picture.peaks).toBe(`M${x(15)} ${quarter}V${top}`);
  expect(picture.high).toEqual({ x: x(15), y: top, bytes: 8e6 });
});

test("cells are marked where they began, with labels that have room", () => {
  const { cells } = pictureOf(course);
  expect(cells.map(({ label }) => label)).toEqual(["In [2]", "In [3]", ""]);
  expect(cells[0].x).toBe(left);
});

test("a limit is drawn where it leaves something to see", () => {
  expect(pictureOf({ ...course, limit: 16e6 })).toMatchObject({ limit: top, high: { y: middle } });
  expect(pictureOf({ ...course, limit: 4e6 })).toMatchObject({ limit: middle, high: { y: top } });
  expect(pictureOf({ ...course, limit: 1e9 }).limit).toBeUndefined();
});

test("a moment and the whole are told in words", () => {
  expect(sampleAt(course, left)).toBe(0);
  expect(sampleAt(course, right)).toBe(3);
  expect(sampleAt(course, (left + right) / 2 + 1)).toBe(2);
  expect(sampleWords(course, 1)).toBe("12 s: 4 MB live, In [2]");
  expect(sampleWords(course, 2)).toBe("15 s: 2 MB live, peak 8 MB, In [3]");
  expect(sampleWords(course, 3)).toBe("20 s: 2 MB live");
  expect(courseWords({ ...course, limit: 1e9 })).toBe(
    "memory over 10 s: from 0 B to 2 MB live, peak 8 MB after 15 s, limit 1 GB",
  );
});

test("what is no course is not drawn", () => {
  for (const data of [undefined, null, {}, { history: [] }, { history: [[1, 2, 3]] }])
    expect(courseOf(data)).toBeUndefined();
  const odd = { history: [...DATA.history, ["<b>", 1, 1], [21, 1]], cells: [null, { exec: "x" }] };
  expect(courseOf(odd)).toEqual({ ...course, cells: [] });
});

test("keys and news move what is read out", () => {
  const chart = new CourseChart();
  chart.show(undefined);
  expect(chart.element.hidden).toBe(true);
  chart.show(DATA);
  expect(chart.element.hidden).toBe(false);
  const slider = chart.element.querySelector('[role="slider"]')!;
  const press = (key: string): string => {
    slider.dispatchEvent(new KeyboardEvent("keydown", { key, cancelable: true }));
    return slider.getAttribute("aria-valuetext")!;
  };
  expect(slider.getAttribute("aria-label")).toBe(courseWords(course));
  expect(slider.getAttribute("aria-valuetext")).toBe(sampleWords(course, 3));
  expect(press("ArrowLeft")).toBe(sampleWords(course, 2));
  chart.show({ ...DATA, history: [...DATA.history, [22, 9e6, 9e6]] });
  expect(slider.getAttribute("aria-valuetext")).toBe(sampleWords(course, 2)); // the moment stays
  expect(press("End")).toBe("22 s: 9 MB live");
  expect(press("ArrowRight")).toBe("22 s: 9 MB live");
  expect(press("Home")).toBe(sampleWords(course, 0));
  expect(chart.element.querySelector(".fb-moment")!.textContent).toBe(press("x"));
  expect(chart.element.querySelectorAll("text")).toHaveLength(5);
});
