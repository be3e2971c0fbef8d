// The live chart: uPlot, with the colours of the theme, marks of what was changed, and a legend of
// buttons. It is drawn again when the set of lines, the size or the theme changes; new values only
// replace the data.

import uPlot from "uplot";
import { h } from "../dom.js";
import { currentTheme } from "../theme.js";
import { general } from "../words.js";
import { aligned, type Columns, type Line, momentWords, type Options, tickWords } from "./lines.js";
import type { Mark } from "./state.js";

// Okabe and Ito's palette and a lighter one for dark pages, as in src/flowbook/_palette.py.
const LIGHT = ["#0072b2", "#d55e00", "#009e73", "#b0529a", "#b38600", "#3a8fb7", "#7a5195"];
const DARK = ["#56b4e9", "#ff9650", "#3ed6a5", "#e79fd0", "#f0c84b", "#8fd0ee", "#b79ae0"];
const HEIGHT = 260;
/** Distances of ticks: there are no half steps or epochs. */
const WHOLE = Array.from({ length: 36 }, (_, i) => [1, 2, 5][i % 3] * 10 ** Math.floor(i / 3));

/** The few rules of uPlot's style sheet that this chart needs. */
export const CHART_CSS = `
.uplot, .uplot * { box-sizing: border-box; }
.uplot { width: min-content; }
.u-wrap { position: relative; user-select: none; }
.u-over, .u-under, .u-axis { position: absolute; }
.u-under { overflow: hidden; }
.uplot canvas { display: block; position: relative; width: 100%; height: 100%; }
.u-select { position: absolute; pointer-events: none; background: var(--hover); }
.u-cursor-x, .u-cursor-y { position: absolute; left: 0; top: 0; pointer-events: none; }
.u-hz .u-cursor-x { height: 100%; border-right: 1px dashed var(--line); }
.u-hz .u-cursor-y { width: 100%; border-bottom: 1px dashed var(--line); }
.u-cursor-pt { position: absolute; top: 0; left: 0; border-radius: 50%; pointer-events: none; }
.u-off { display: none; }
`;

export class Chart {
  readonly element = h("div", { class: "fb-chart", role: "img" });
  readonly legend = h("div", { class: "fb-legend" });
  /** The numbers under the pointer; readers of the screen have the table. */
  readonly moment = h("div", { class: "fb-moment", "aria-hidden": "true" });
  #plot: uPlot | undefined;
  #lines: Line[] = [];
  #marks: readonly Mark[] = [];
  #options: Options = { number: "loss", by: "step", log: false, smooth: true };
  #shape = "";
  /** Whether the user looks at a part; then new values don't move it. */
  #zoomed = false;
  readonly #hidden = new Set<string>();
  readonly #sizes: ResizeObserver | undefined;

  constructor() {
    if (typeof ResizeObserver !== "undefined") {
      this.#sizes = new ResizeObserver(() => {
        const width = this.#width();
        if (this.#plot && width !== this.#plot.width) this.#plot.setSize({ width, height: HEIGHT });
      });
      this.#sizes.observe(this.element);
    }
  }

  /** Shows lines; what was zoomed stays zoomed. */
  show(lines: Line[], marks: readonly Mark[], options: Options): void {
    this.#lines = lines;
    this.#marks = marks;
    this.#options = options;
    const theme = currentTheme();
    const shape = JSON.stringify([
      lines.map((l) => [l.name, l.colour, l.style]),
      options.by,
      options.log,
      theme,
      [...this.#hidden],
    ]);
    const data = aligned(lines) as uPlot.AlignedData;
    if (this.#plot && shape === this.#shape) {
      this.#plot.setData(data, !this.#zoomed);
      if (this.#zoomed) this.#plot.redraw();
    } else {
      this.#shape = shape;
      this.#zoomed = false;
      this.#plot?.destroy();
      this.#plot = new uPlot(this.#settings(), data, this.element);
      this.#showLegend();
    }
    this.element.setAttribute("aria-label", described(lines, options));
  }

  dispose(): void {
    this.#sizes?.disconnect();
    this.#plot?.destroy();
    this.#plot = undefined;
  }

  /** Draws everything anew, for another theme. */
  refresh(): void {
    this.#shape = "";
    if (this.#plot) this.show(this.#lines, this.#marks, this.#options);
  }

  /** That of the page; where it shows nothing just now, as while its theme changes, the last one. */
  #width(): number {
    return Math.max(280, Math.floor(this.element.clientWidth || this.#plot?.width || 640));
  }

  #colour(line: Line): string {
    const palette = currentTheme().dark ? DARK : LIGHT;
    return palette[line.colour % palette.length];
  }

  #settings(): uPlot.Options {
    const style = getComputedStyle(this.element);
    const value = (name: string, other: string): string =>
      style.getPropertyValue(name).trim() || other;
    const ink = value("--soft", "#667");
    const grid = { stroke: value("--grid", "#ccc"), width: 0.5 };
    const axis = { stroke: ink, grid, ticks: grid, font: "11px system-ui, sans-serif" };
    const high = this.#lines.findIndex((line) => line.style === "high");
    const bands: uPlot.Band[] = [];
    if (high >= 0)
      bands.push({ series: [high + 1, high + 2], fill: `${this.#colour(this.#lines[high])}22` });
    return {
      width: this.#width(),
      height: HEIGHT,
      legend: { show: false },
      cursor: { drag: { x: true, y: false } },
      scales: {
        x: { time: false },
        y: { distr: this.#options.log ? 3 : 1 },
      },
      axes: [
        { ...axis, size: 34, incrs: WHOLE, values: (_, ticks) => tickWords(ticks, 6) },
        { ...axis, size: 56, values: (_, ticks) => tickWords(ticks, 4) },
      ],
      series: [
        { label: this.#options.by },
        ...this.#lines.map((line): uPlot.Series => {
          const edge = line.style === "low" || line.style === "high";
          return {
            label: line.name,
            show: !(line.name && this.#hidden.has(line.name)),
            stroke: edge
              ? "transparent"
              : `${this.#colour(line)}${line.style === "faint" ? "66" : ""}`,
            width: edge ? 0 : line.style === "faint" ? 1 : 2,
            dash: line.style === "dashed" ? [6, 4] : undefined,
            points: { show: line.values.length < 2 && !edge },
          };
        }),
      ],
      bands,
      hooks: {
        setScale: [
          (plot, key) => {
            const x = plot.data[0];
            const { min, max } = plot.scales.x;
            if (key === "x" && x.length && min != null && max != null)
              this.#zoomed = min > x[0] || max < x[x.length - 1];
          },
        ],
        setCursor: [(plot) => this.#tell(plot)],
        draw: [(plot) => this.#drawMarks(plot, ink, value("--bad", "#c00"))],
      },
    };
  }

  /** Says what the lines are worth where the pointer is. */
  #tell({ cursor, data }: uPlot): void {
    const shown = this.#lines.map((line) => line.name && !this.#hidden.has(line.name));
    const { idx, idxs = [] } = cursor;
    const at = idxs.map((place, i) => (i && shown[i - 1] ? place : null));
    this.moment.textContent =
      idx == null ? "" : momentWords(this.#options.by, this.#lines, data as Columns, idx, at);
  }

  #drawMarks(plot: uPlot, ink: string, bad: string): void {
    const { ctx, bbox } = plot;
    ctx.save();
    for (const mark of this.#marks) {
      const x = Math.round(
        plot.valToPos(this.#options.by === "step" ? mark.step : mark.epoch, "x", true),
      );
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.strokeStyle = ctx.fillStyle = mark.kind === "alert" ? bad : ink;
      ctx.setLineDash([2, 4]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      const size = 5 * devicePixelRatio;
      ctx.beginPath();
      ctx.moveTo(x - size, bbox.top);
      ctx.lineTo(x + size, bbox.top);
      ctx.lineTo(x, bbox.top + 1.6 * size);
      ctx.fill();
    }
    ctx.restore();
  }

  #showLegend(): void {
    const entries = (): HTMLElement[] => [...this.legend.querySelectorAll<HTMLElement>("button")];
    const { activeElement } = this.legend.getRootNode() as ShadowRoot;
    const focused = this.legend.contains(activeElement) && activeElement?.textContent;
    this.legend.replaceChildren(
      ...this.#lines
        .filter((line) => line.name)
        .map((line) => {
          const shown = !this.#hidden.has(line.name);
          const swatch = h("span", { class: "fb-swatch", "aria-hidden": "true" });
          swatch.style.borderTop = `2px ${line.style === "dashed" ? "dashed" : "solid"} ${this.#colour(line)}`;
          return h(
            "button",
            {
              type: "button",
              class: "fb-legend-entry",
              "aria-pressed": shown ? "true" : "false",
              title: shown ? `hide ${line.name}` : `show ${line.name}`,
              onclick: () => this.#toggle(line.name),
            },
            swatch,
            line.name,
          );
        }),
    );
    if (focused)
      entries()
        .find((entry) => entry.textContent === focused)
        ?.focus();
  }

  #toggle(name: string): void {
    if (!this.#hidden.delete(name)) this.#hidden.add(name);
    this.show(this.#lines, this.#marks, this.#options);
  }
}

/** A chart in words, for readers of the screen. */
export function described(lines: readonly Line[], options: Options): string {
  const parts = lines
    .filter((line) => line.name)
    .map((line) => {
      const finite = line.values.filter((v): v is number => v !== null);
      if (!finite.length) return `${line.name} without values`;
      return `${line.name} from ${general(finite[0], 4)} to ${general(finite[finite.length - 1], 4)}`;
    });
  return `${options.number} by ${options.by}: ${parts.join("; ") || "no values yet"}`;
}
