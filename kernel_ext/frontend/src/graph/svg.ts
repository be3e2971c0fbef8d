// Draws a scene as SVG elements: pictures of up to some 1,500 items, each box focusable by itself.

import { s } from "../dom.js";
import { longWay, pathOf } from "./curve.js";
import type { Scene } from "./scene.js";
import { boxShapes, type Drawing, floor, type Marks, type Shape, stubs } from "./shapes.js";

export interface Transform {
  x: number;
  y: number;
  k: number;
}

/** What a view asks of what draws it. */
export interface Renderer {
  readonly element: Element;
  draw(drawing: Drawing): void;
  transform(t: Transform): void;
  mark(marks: Marks): void;
  /** The box at an event's place, or -1. */
  boxAt(event: MouseEvent): number;
  focus(box: number): void;
  dispose(): void;
}

export function shapeElement({
  kind,
  cls,
  x,
  y,
  w,
  h,
  r,
  words,
  anchor,
  opacity,
}: Shape): SVGElement {
  const more = { class: cls, style: opacity ? `fill-opacity:${opacity.toFixed(3)}` : undefined };
  if (kind === "rect") return s("rect", { x, y, width: w, height: h, rx: r, ...more });
  if (kind === "circle") return s("circle", { cx: x, cy: y, r, ...more });
  if (kind === "stroke") return s("path", { d: `M${x} ${y}l${w} ${h}`, ...more });
  return s("text", { x, y, "text-anchor": anchor, ...more }, words);
}

const headOf = (name: string): string => `url(#fb-${name})`;

/** Everything in the order in which it is painted; `group` makes the element of a box. */
export function worldElements(
  drawing: Drawing,
  group: (index: number) => SVGElement,
  lit?: SVGElement,
): SVGElement[] {
  const { scene } = drawing;
  const right = scene.direction === "right";
  const indices = scene.boxes.map((_, i) => i);
  const frame = (i: number): boolean => scene.boxes[i].kind === "frame";
  const lines = (kind: string): SVGElement[] =>
    scene.lines
      .filter((line) => line.kind === kind)
      .map((line) =>
        s("path", {
          d: pathOf(line.points, right),
          class: kind,
          "marker-end": line.arrow ? headOf(kind) : undefined,
        }),
      );
  const ends = stubs(scene).flatMap(({ box, stroke, label, arrow }) => {
    const parts = [shapeElement(stroke), shapeElement(label)];
    if (arrow) parts[0].setAttribute("marker-end", headOf("line"));
    for (const part of parts) part.dataset.i = String(box);
    return parts;
  });
  const frames = indices.filter(frame);
  return [
    ...frames.map((i) => shapeElement(floor(scene.boxes[i]))),
    ...lines("line"),
    ...(lit ? [lit] : []),
    ...frames.map(group),
    ...indices.filter((i) => !frame(i)).map(group),
    ...lines("gradient"),
    ...ends,
  ];
}

export function heads(): SVGElement {
  return s(
    "defs",
    {},
    ...["line", "gradient", "lit"].map((name) =>
      s(
        "marker",
        {
          id: `fb-${name}`,
          viewBox: "0 0 8 8",
          refX: 7,
          refY: 4,
          markerUnits: "userSpaceOnUse",
          markerWidth: 8.5,
          markerHeight: 8.5,
          orient: "auto",
        },
        s("path", { d: "M0 .8 7.4 4 0 7.2z", class: `head-${name}` }),
      ),
    ),
  );
}

export class SvgRenderer implements Renderer {
  readonly element = s("svg", { class: "drawing", role: "group", "aria-label": "graph" });
  readonly #world = s("g");
  #groups: SVGElement[] = [];
  #lit: SVGElement = s("g");
  #scene: Scene | undefined;
  #tabbed = -1;

  constructor() {
    this.element.append(heads(), this.#world);
  }

  /** How many elements a scene needs, for choosing a renderer. */
  static items(scene: Scene): number {
    return scene.boxes.length + scene.lines.length;
  }

  draw(drawing: Drawing): void {
    const { scene } = drawing;
    this.#scene = scene;
    this.#tabbed = -1;
    this.#groups = scene.boxes.map((box, i) =>
      s(
        "g",
        {
          class: `box is-${box.kind}`,
          role: "button",
          tabindex: -1,
          "data-i": i,
          "aria-label": drawing.labels[i],
          "aria-expanded": box.kind === "node" ? undefined : String(box.kind === "frame"),
          style: `--c:${drawing.painter.of(i).colour}`,
        },
        ...boxShapes(drawing, i).map(shapeElement),
      ),
    );
    this.#lit = s("g");
    this.#world.replaceChildren(...worldElements(drawing, (i) => this.#groups[i], this.#lit));
  }

  transform({ x, y, k }: Transform): void {
    this.#world.setAttribute("transform", `translate(${x} ${y}) scale(${k})`);
  }

  mark(marks: Marks): void {
    const scene = this.#scene;
    if (!scene) return;
    const { hover, focus, selected, found, current } = marks;
    this.#groups.forEach((group, i) => {
      const set = (name: string, on: boolean): void => {
        group.classList.toggle(name, on);
      };
      set("hover", i === hover);
      set("selected", selected.has(i));
      set("found", found?.has(i) ?? false);
      set("current", i === current);
      set("faded", found !== undefined && !found.has(i));
      if (scene.boxes[i].kind === "node")
        group.setAttribute("aria-pressed", String(selected.has(i)));
    });
    const right = scene.direction === "right";
    this.#lit.replaceChildren(
      ...askedLines(scene, marks).map((line) => {
        const stub = line.kind === "stub";
        const points = stub ? longWay(scene, line.source, line.target) : line.points;
        return s("path", {
          d: pathOf(points, right),
          class: `lit${stub ? " long" : ""}`,
          "marker-end": stub || line.arrow ? headOf("lit") : undefined,
        });
      }),
    );
    const tab = Math.max(focus, 0);
    if (tab !== this.#tabbed) {
      this.#groups[this.#tabbed]?.setAttribute("tabindex", "-1");
      this.#groups[tab]?.setAttribute("tabindex", "0");
      this.#tabbed = tab;
    }
  }

  boxAt(event: MouseEvent): number {
    for (const element of event.composedPath()) {
      if (element === this.element) break;
      if (element instanceof SVGElement && element.dataset.i !== undefined)
        return Number(element.dataset.i);
    }
    return -1;
  }

  focus(box: number): void {
    this.#groups[box]?.focus({ preventScroll: true });
  }

  dispose(): void {
    this.element.remove();
  }
}

/** The lines of what the reader points at; long ones are drawn only then. */
export function askedLines(scene: Scene, { hover, focus, selected }: Marks): Scene["lines"] {
  const asked = new Set([hover, focus, ...selected]);
  asked.delete(-1);
  if (!asked.size || asked.size > 50) return [];
  return scene.lines.filter(
    (line) => line.kind !== "gradient" && (asked.has(line.source) || asked.has(line.target)),
  );
}
