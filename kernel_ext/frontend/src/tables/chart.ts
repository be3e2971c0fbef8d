// The chart of memory over time: live bytes, peaks, the limit, and which cell ran when. Pointer and
// arrow keys choose a moment, which is shown in words below.

import { h, s } from "../dom.js";
import { duration } from "../run/words.js";
import { humanBytes } from "../words.js";
import {
  type Course,
  courseOf,
  courseWords,
  pictureOf,
  SIZE,
  sampleAt,
  sampleWords,
  scales,
} from "./course.js";

export const COURSE_CSS = `
.fb-course { max-width: ${SIZE.width}px; margin-bottom: 6px; overflow-x: auto; }
.fb-course[hidden] { display: none; }
.fb-course svg { display: block; width: 100%; min-width: 560px; cursor: crosshair; }
.fb-course text { font: 11px var(--sans); fill: var(--soft); }
.fb-course path, .fb-course line { fill: none; stroke: var(--rim); vector-effect: non-scaling-stroke; }
.fb-course .fb-live { stroke: var(--accent); stroke-width: 1.5; }
.fb-course .fb-area { fill: var(--accent); fill-opacity: .15; stroke: none; }
.fb-course .fb-peaks { stroke: var(--warn); }
.fb-course circle { fill: var(--warn); }
.fb-course .fb-limit { stroke: var(--bad); stroke-dasharray: 5 3; }
.fb-course .fb-cell { stroke: var(--line); stroke-dasharray: 1 3; }
.fb-course .fb-cursor { stroke: var(--ink); }
.fb-moment { font-size: 12px; min-height: 1.45em; font-variant-numeric: tabular-nums; }
`;

export class CourseChart {
  readonly #picture = s("svg", {
    viewBox: `0 0 ${SIZE.width} ${SIZE.height}`,
    "aria-hidden": "true",
  });
  readonly #cursor = s("line", { class: "fb-cursor", y1: SIZE.top, y2: SIZE.bottom });
  readonly #moment = h("div", { class: "fb-moment", "aria-hidden": "true" });
  // A slider along the time: readers of the screen say its label, then the moment chosen.
  readonly #slider = h(
    "div",
    {
      role: "slider",
      tabindex: "0",
      "aria-valuemin": "0",
      onkeydown: (event: KeyboardEvent) => this.#step(event),
      onpointermove: (event: PointerEvent) => this.#point(event),
      onpointerleave: () => this.#choose(undefined),
    },
    this.#picture,
  );
  readonly element = h("div", { class: "fb-course", hidden: true }, this.#slider, this.#moment);
  #course: Course | undefined;
  /** The second that the user looks at; undefined: the last one. */
  #chosen: number | undefined;

  /** Shows the course of a message; without one there is no chart. */
  show(data: unknown): void {
    const course = courseOf(data);
    this.#course = course;
    this.element.hidden = !course;
    if (!course) return;
    this.#slider.setAttribute("aria-label", courseWords(course));
    this.#slider.setAttribute("aria-valuemax", String(course.history.length - 1));
    this.#draw(course);
    this.#choose(this.#chosen);
  }

  #draw(course: Course): void {
    const { live, area, peaks, limit, high, cells } = pictureOf(course);
    const { left, right, top, bottom } = SIZE;
    const text = (x: number, y: number, words: string, anchor = "start"): SVGTextElement =>
      s("text", { x, y, "text-anchor": anchor }, words);
    const end = high.x > SIZE.width * 0.7;
    const last = course.history[course.history.length - 1][0];
    this.#picture.replaceChildren(
      ...cells.flatMap(({ x, label }) => [
        s("line", { class: "fb-cell", x1: x, x2: x, y1: label ? top - 18 : top, y2: bottom }),
        ...(label ? [text(x + 3, top - 9, label)] : []),
      ]),
      s("line", { x1: left, x2: right, y1: bottom, y2: bottom }),
      s("path", { class: "fb-area", d: area }),
      s("path", { class: "fb-peaks", d: peaks }),
      s("path", { class: "fb-live", d: live }),
      ...(limit === undefined
        ? []
        : [s("line", { class: "fb-limit", x1: left, x2: right, y1: limit, y2: limit })]),
      s("circle", { cx: high.x, cy: high.y, r: 3 }),
      text(
        high.x + (end ? -6 : 6),
        high.y + 10,
        `peak ${humanBytes(high.bytes)}`,
        end ? "end" : "start",
      ),
      text(left, SIZE.height - 5, duration(course.history[0][0])),
      text(right, SIZE.height - 5, `${duration(last)} after the first allocation`, "end"),
      this.#cursor,
    );
  }

  #index(): number {
    const last = this.#course!.history.length - 1;
    if (this.#chosen === undefined) return last;
    const found = this.#course!.history.findIndex(([t]) => t >= this.#chosen!);
    return found < 0 ? last : found;
  }

  #choose(second: number | undefined): void {
    const course = this.#course;
    if (!course) return;
    this.#chosen = second;
    const index = this.#index();
    const words = sampleWords(course, index);
    const x = scales(course).x(course.history[index][0]);
    this.#cursor.setAttribute("x1", String(x));
    this.#cursor.setAttribute("x2", String(x));
    this.#cursor.style.display = second === undefined ? "none" : "";
    this.#moment.textContent = words;
    this.#slider.setAttribute("aria-valuenow", String(index));
    this.#slider.setAttribute("aria-valuetext", words);
  }

  #point(event: PointerEvent): void {
    const box = this.#picture.getBoundingClientRect();
    if (!this.#course || !box.width) return;
    const x = ((event.clientX - box.left) / box.width) * SIZE.width;
    this.#choose(this.#course.history[sampleAt(this.#course, x)][0]);
  }

  #step(event: KeyboardEvent): void {
    const last = (this.#course?.history.length ?? 0) - 1;
    const index = this.#course ? this.#index() : 0;
    const wanted: Record<string, number> = {
      ArrowLeft: index - 1,
      ArrowDown: index - 1,
      ArrowRight: index + 1,
      ArrowUp: index + 1,
      Home: 0,
      End: last,
    };
    const next = wanted[event.key];
    if (next === undefined || !this.#course) return;
    event.preventDefault();
    event.stopPropagation();
    this.#choose(this.#course.history[Math.min(last, Math.max(0, next))][0]);
  }
}
