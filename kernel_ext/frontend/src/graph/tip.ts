// The card beside a box: it comes after a moment, stays while the pointer is on it, and goes along
// when the drawing moves. It is a popover: notebooks cut off what reaches out of an output.

import { h } from "../dom.js";
import type { Box } from "./scene.js";

const DELAY_MS = 120;

export type Place = (box: Box, card: HTMLElement) => { left: number; top: number };

export class Tip {
  readonly element = h("div", {
    class: "tip",
    role: "tooltip",
    popover: "manual",
    hidden: true,
  });
  readonly #place: Place;
  #box: Box | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #moved = (): void => this.follow();

  constructor(place: Place) {
    this.#place = place;
    this.element.addEventListener("pointerenter", () => this.#wait());
  }

  show(box: Box, content: Node[]): void {
    this.#wait();
    this.element.replaceChildren(...content);
    if (this.element.hidden) {
      this.element.hidden = false;
      this.element.showPopover?.();
      addEventListener("scroll", this.#moved, { capture: true, passive: true });
    }
    this.#box = box;
    this.follow();
  }

  /** Does something with the card unless the pointer goes elsewhere meanwhile. */
  soon(action: () => void, delay = DELAY_MS): void {
    this.#wait(setTimeout(action, delay));
  }

  hide(): void {
    this.#wait();
    if (this.element.hidden) return;
    removeEventListener("scroll", this.#moved, { capture: true });
    this.element.hidePopover?.();
    this.element.hidden = true;
  }

  /** Hides it, but gives the pointer the time to reach it. */
  leave(): void {
    this.soon(() => this.hide(), 2 * DELAY_MS);
  }

  /** Places it again, beside its box. */
  follow(): void {
    if (this.element.hidden || !this.#box) return;
    const { left, top } = this.#place(this.#box, this.element);
    this.element.style.left = `${left}px`;
    this.element.style.top = `${top}px`;
  }

  #wait(timer?: ReturnType<typeof setTimeout>): void {
    clearTimeout(this.#timer);
    this.#timer = timer;
  }
}
