// The drawing as files: an SVG document with its colours written in, and a PNG made from it.

import { h, s } from "../dom.js";
import { textWidth } from "../words.js";
import { statusLine } from "./notes.js";
import type { GraphRecord } from "./record.js";
import { boxShapes, type Drawing } from "./shapes.js";
import { DRAWING_CSS } from "./style.js";
import { heads, shapeElement, worldElements } from "./svg.js";

export type Form = "svg" | "png" | "html";

const PAD = 18;
const HEAD = 50;
const VARIABLES =
  "bg card ink soft rim line frame focus accent bad bad-bg good warn grad sans mono".split(" ");

/** The picture as an SVG document that needs nothing else. */
export function svgDocument(
  drawing: Drawing,
  title: string,
  stats: string,
  themed: Element,
): { text: string; width: number; height: number } {
  const { scene, painter } = drawing;
  const style = getComputedStyle(themed);
  const colours = VARIABLES.map(
    (name) => `--${name}:${style.getPropertyValue(`--${name}`).trim()}`,
  );
  const words = Math.max(textWidth(title, 15, "bold"), textWidth(stats, 11.5));
  const width = Math.ceil(Math.max(scene.width + 60, words) + 2 * PAD);
  const height = Math.ceil(HEAD + scene.height + 2 * PAD + 20);
  const group = (i: number): SVGElement =>
    s(
      "g",
      { style: `--c:${painter.of(i).colour}` },
      s("title", {}, drawing.labels[i]),
      ...boxShapes(drawing, i).map(shapeElement),
    );
  const world = s(
    "g",
    { transform: `translate(${PAD + 10} ${HEAD + PAD})` },
    ...worldElements(drawing, group),
  );
  const svg = s(
    "svg",
    {
      width,
      height,
      viewBox: `0 0 ${width} ${height}`,
      role: "img",
    },
    s("title", {}, title),
    s("style", {}, `svg{${colours.join(";")}}${DRAWING_CSS}`),
    s("rect", { width, height, style: "fill:var(--bg)" }),
    s("text", { x: PAD, y: 25, class: "title", style: "font-size:15px" }, title),
    s("text", { x: PAD, y: 42, style: "font-size:11.5px" }, stats),
    heads(),
    world,
  );
  return { text: new XMLSerializer().serializeToString(svg), width, height };
}

/** Draws an SVG document into a PNG, twice as fine as it shows. */
export async function pngOf(document: {
  text: string;
  width: number;
  height: number;
}): Promise<Blob> {
  const url = URL.createObjectURL(new Blob([document.text], { type: "image/svg+xml" }));
  try {
    const image = new Image();
    await new Promise((resolve, reject) => {
      image.onload = resolve;
      image.onerror = () => reject(new Error("the browser could not draw the picture"));
      image.src = url;
    });
    const most = 16_000; // pixels that canvases can have on a side
    const scale = Math.min(2, most / document.width, most / document.height);
    const canvas = h("canvas", {
      width: Math.round(document.width * scale),
      height: Math.round(document.height * scale),
    });
    canvas.getContext("2d")!.drawImage(image, 0, 0, canvas.width, canvas.height);
    return await new Promise((resolve, reject) => {
      canvas.toBlob((blob) =>
        blob ? resolve(blob) : reject(new Error("the picture is too large")),
      );
    });
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** Saves the drawing as a file and says so; also why it could not. */
export async function saveDrawing(
  form: "svg" | "png",
  drawing: Drawing,
  record: GraphRecord,
  themed: Element,
): Promise<string> {
  const name = `${fileName(record.name || "graph")}.${form}`;
  try {
    const made = svgDocument(drawing, record.name || "graph", statusLine(record), themed);
    const svg = new Blob([made.text], { type: "image/svg+xml" });
    download(name, form === "svg" ? svg : await pngOf(made));
    return `Saved ${name}`;
  } catch (error) {
    return `Not saved: ${error instanceof Error ? error.message : error}`;
  }
}

/** Hands a file to the reader. */
export function download(name: string, blob: Blob): void {
  const url = URL.createObjectURL(blob);
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** A name that every file system takes. */
export const fileName = (name: string): string =>
  name.replace(/[^\p{L}\p{N}._-]+/gu, "_").slice(0, 80) || "graph";
