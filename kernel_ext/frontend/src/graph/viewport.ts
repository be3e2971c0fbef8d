// The part of the drawing that is in sight: zoom, movement, and what stays where while scopes open.

import { stillness } from "../theme.js";
import type { Box, Scene } from "./scene.js";
import type { Transform } from "./svg.js";

const PAD = 22;
const LEAST = 0.06;
const MOST = 4;
/** A drawing is not shrunk below this at first: words must be readable. */
const READABLE = 0.62;
const TALLEST = 620;
const FALLBACK_WIDTH = 900;
const EASE_MS = 160;

export class Viewport {
  at: Transform = { x: PAD, y: PAD, k: 1 };
  moving = false;
  /** True when the pointer went up after a movement: its click means nothing. */
  dragged = false;
  #touched = false;
  #width = 0;
  #height = 0;
  #scene: { width: number; height: number } = { width: 0, height: 0 };
  #animation = 0;
  readonly #resized?: ResizeObserver;

  readonly #stage: HTMLElement;
  readonly #changed: (t: Transform) => void;

  constructor(stage: HTMLElement, changed: (t: Transform) => void) {
    this.#stage = stage;
    this.#changed = changed;
    stage.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    stage.addEventListener("pointerdown", (event) => this.#drag(event));
    if (typeof ResizeObserver !== "undefined") {
      this.#resized = new ResizeObserver(() => {
        const before = this.#width;
        this.#measure();
        if (before === this.#width) return;
        // What nobody touched is placed again; else its middle stays the middle.
        if (!this.#touched) this.#place();
        else this.#move({ ...this.at, x: this.at.x + (this.#width - before) / 2 });
      });
      this.#resized.observe(stage);
    }
  }

  dispose(): void {
    this.#resized?.disconnect();
    cancelAnimationFrame(this.#animation);
  }

  content(scene: Scene): void {
    this.#scene = scene;
    this.#measure();
  }

  /** Places a drawing: all of it if it stays readable, else its beginning, as wide as it fits. */
  show(scene: Scene): void {
    this.#scene = scene;
    this.#touched = false;
    this.#measure();
    this.#place();
  }

  #measure(): void {
    this.#width = this.#stage.clientWidth || FALLBACK_WIDTH;
    this.#height = this.#stage.clientHeight || 400;
  }

  #place(): void {
    const { width, height } = this.#scene;
    const wide = Math.max(READABLE, (this.#width - 2 * PAD) / (width + 50));
    const whole = (TALLEST - 2 * PAD) / height;
    const k = Math.min(1, wide, whole < READABLE ? 1 : whole);
    this.#stage.style.height = `${Math.round(Math.min(TALLEST, Math.max(120, height * k + 2 * PAD)))}px`;
    this.#measure();
    const x = Math.max(PAD, (this.#width - width * k) / 2);
    this.#move({ x, y: PAD, k });
  }

  fit(scene: Scene): void {
    this.#touched = true;
    this.#measure();
    const k = Math.min(
      1.5,
      (this.#width - 2 * PAD) / Math.max(1, scene.width + 40),
      (this.#height - 2 * PAD) / Math.max(1, scene.height),
    );
    const scale = Math.max(LEAST, k);
    this.#ease({
      x: (this.#width - scene.width * scale) / 2,
      y: (this.#height - scene.height * scale) / 2,
      k: scale,
    });
  }

  zoom(by: number, x = this.#width / 2, y = this.#height / 2): void {
    this.#touched = true;
    const k = Math.min(MOST, Math.max(LEAST, this.at.k * by));
    const real = k / this.at.k;
    this.#move({ x: x - (x - this.at.x) * real, y: y - (y - this.at.y) * real, k });
  }

  /** Moves so that a box which changed its place in the drawing keeps that on the screen. */
  hold(before: Box, after: Box): void {
    this.#touched = true;
    const { k } = this.at;
    this.#move({
      x: this.at.x + (before.x + before.width / 2 - after.x - after.width / 2) * k,
      y: this.at.y + (before.y - after.y) * k,
      k,
    });
    // Where more is open there is more to see.
    const wanted = Math.min(TALLEST, this.#scene.height * k + 2 * PAD);
    if (wanted > this.#stage.clientHeight) this.#stage.style.height = `${Math.round(wanted)}px`;
    this.#measure();
  }

  /** Brings a box into sight. */
  bring(box: Box | undefined): void {
    if (!box) return;
    this.#touched = true;
    this.#measure();
    let { x, y, k } = this.at;
    if (k < READABLE) {
      k = 1;
      x = this.#width / 2 - (box.x + box.width / 2) * k;
      y = this.#height / 2 - (box.y + box.height / 2) * k;
    }
    const left = box.x * k + x;
    const top = box.y * k + y;
    const wide = Math.min(box.width * k, this.#width - 2 * PAD);
    const tall = Math.min(box.height * k, this.#height - 2 * PAD);
    if (left < PAD) x += PAD - left;
    else if (left + wide > this.#width - PAD) x -= left + wide - this.#width + PAD;
    if (top < PAD) y += PAD - top;
    else if (top + tall > this.#height - PAD) y -= top + tall - this.#height + PAD;
    this.#ease({ x, y, k });
  }

  /**
   * Where a card stands in the window: right of the box, or left of it, or below; below at first where
   * the drawing runs to the right, so that it doesn't hide what comes next.
   */
  beside(box: Box, card: HTMLElement, below: boolean): { left: number; top: number } {
    const stage = this.#stage.getBoundingClientRect();
    const { x, y, k } = this.at;
    const left = stage.left + box.x * k + x;
    const top = stage.top + box.y * k + y;
    const right = left + box.width * k + (box.gradients ? 46 * k : 0) + 10;
    const wide = card.offsetWidth || 260;
    const lowest = innerHeight - card.offsetHeight - 4;
    const under = top + Math.min(box.height, 60) * k + (below && box.gradients ? 34 * k : 8);
    const place = (px: number, py: number): { left: number; top: number } => ({
      left: Math.max(4, Math.min(px, innerWidth - wide - 4)),
      top: Math.max(4, Math.min(py, lowest)),
    });
    if (below && under <= lowest) return place(left, under);
    if (right + wide <= innerWidth) return place(right, top);
    if (left - 10 - wide >= 0) return place(left - 10 - wide, top);
    return place(left, under);
  }

  #move(t: Transform): void {
    cancelAnimationFrame(this.#animation);
    this.at = t;
    this.#changed(t);
  }

  #ease(to: Transform): void {
    if (stillness() || typeof requestAnimationFrame === "undefined") {
      this.#move(to);
      return;
    }
    cancelAnimationFrame(this.#animation);
    const from = this.at;
    const start = performance.now();
    const frame = (now: number): void => {
      const part = Math.min(1, Math.max(0, (now - start) / EASE_MS));
      const e = 1 - (1 - part) ** 3;
      this.at = {
        x: from.x + (to.x - from.x) * e,
        y: from.y + (to.y - from.y) * e,
        k: from.k + (to.k - from.k) * e,
      };
      this.#changed(this.at);
      if (part < 1) this.#animation = requestAnimationFrame(frame);
    };
    this.#animation = requestAnimationFrame(frame);
  }

  #wheel(event: WheelEvent): void {
    // Plain scrolling belongs to the notebook.
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const rect = this.#stage.getBoundingClientRect();
    const by = Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.0022));
    this.zoom(by, event.clientX - rect.left, event.clientY - rect.top);
  }

  #drag(event: PointerEvent): void {
    if (event.button !== 0) return;
    const rect = this.#stage.getBoundingClientRect();
    // The corner is the browser's handle for resizing.
    if (rect.right - event.clientX < 16 && rect.bottom - event.clientY < 16) return;
    const start = { ...this.at };
    const { clientX, clientY, pointerId } = event;
    this.dragged = false;
    const move = (next: PointerEvent): void => {
      const dx = next.clientX - clientX;
      const dy = next.clientY - clientY;
      if (!this.moving && Math.hypot(dx, dy) < 4) return;
      if (!this.moving) this.#stage.setPointerCapture?.(pointerId);
      this.moving = this.dragged = this.#touched = true;
      this.#stage.classList.add("moving");
      this.#move({ x: start.x + dx, y: start.y + dy, k: this.at.k });
    };
    const up = (): void => {
      this.moving = false;
      this.#stage.classList.remove("moving");
      for (const [name, listener] of listeners)
        this.#stage.removeEventListener(name, listener as EventListener);
    };
    const listeners = [
      ["pointermove", move],
      ["pointerup", up],
      ["pointercancel", up],
    ] as const;
    for (const [name, listener] of listeners)
      this.#stage.addEventListener(name, listener as EventListener);
  }
}
