// The buttons and the learning rate of a run. Each request gets a number; the kernel acknowledges it.
// Where no acknowledgement comes within a second, the kernel is busy with something else, and the
// view says what helps.

import type { Channel } from "../channel.js";
import { h } from "../dom.js";
import { general } from "../words.js";
import type { Progress } from "./state.js";

export const BUSY_MS = 1000;
export const BUSY = "kernel busy: use the kernel's interrupt button";

// The slider is logarithmic: its value is 100 times the power of ten.
const LOWEST = -700;
const HIGHEST = 100;
const toSlider = (rate: number): number =>
  rate > 0 ? Math.min(HIGHEST, Math.max(LOWEST, Math.round(100 * Math.log10(rate)))) : LOWEST;
const toRate = (position: number): number => Number((10 ** (position / 100)).toPrecision(3));

export class Controls {
  readonly #channel: Channel;
  readonly notice = h("div", { class: "fb-run-notice", role: "status", "aria-live": "assertive" });
  readonly element: HTMLElement;
  readonly #stop = this.#button("stop", "Stop", "Stop after this step and keep everything");
  readonly #pause = this.#button("pause", "Pause", "Hold after this step");
  readonly #step = this.#button("step", "Step", "Take one step and hold");
  readonly #detach = this.#button(
    "detach",
    "Detach",
    "Let the cell end; the run goes on in the background",
  );
  readonly #slider = h("input", {
    type: "range",
    class: "fb-rate-slider",
    min: LOWEST,
    max: HIGHEST,
    step: 1,
    "aria-label": "learning rate, logarithmic",
  });
  readonly #field = h("input", {
    type: "text",
    inputmode: "decimal",
    class: "fb-rate-field",
    size: 8,
    "aria-label": "learning rate of the next step",
  });
  readonly #waiting = new Map<number, ReturnType<typeof setTimeout>>();
  #next = 1;
  #paused = false;
  #editing = false;

  constructor(channel: Channel) {
    this.#channel = channel;
    this.#slider.addEventListener("input", () => {
      this.#editing = true;
      this.#field.value = general(toRate(Number(this.#slider.value)), 3);
      this.#describeSlider();
    });
    this.#slider.addEventListener("change", () =>
      this.#setRate(toRate(Number(this.#slider.value))),
    );
    this.#field.addEventListener("input", () => {
      this.#editing = true;
    });
    this.#field.addEventListener("blur", () => {
      this.#editing = false;
    });
    // JupyterLab takes Enter for itself, so that no `change` comes of it.
    this.#field.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.#setRate(Number(this.#field.value));
    });
    this.#field.addEventListener("change", () => {
      if (this.#editing) this.#setRate(Number(this.#field.value));
    });
    this.element = h(
      "div",
      { class: "fb-controls", role: "group", "aria-label": "controls of the run" },
      this.#stop,
      this.#pause,
      this.#step,
      this.#detach,
      h("label", { class: "fb-rate" }, "learning rate ", this.#slider, this.#field),
    );
  }

  /** Follows the run; `usable`: the kernel takes requests. */
  update(progress: Progress, usable: boolean): void {
    this.#paused = progress.status === "paused";
    const over = !/running|paused/.test(progress.status);
    this.element.hidden = over || !usable;
    this.#pause.textContent = this.#paused ? "Resume" : "Pause";
    this.#pause.className = this.#paused ? "fb-button fb-resume" : "fb-button fb-pause";
    this.#pause.title = this.#paused ? "Let the run go on" : "Hold after this step";
    this.#detach.hidden = !progress.attached;
    if (over) this.#say("");
    if (!this.#editing && progress.rate !== null) {
      this.#slider.value = String(toSlider(progress.rate));
      this.#field.value = general(progress.rate, 4);
      this.#describeSlider();
    }
  }

  /** An acknowledgement; `text` says why a request was refused. */
  acknowledge(id: unknown, text: unknown): void {
    const timer = this.#waiting.get(Number(id));
    if (timer === undefined) return; // of another copy of this view
    clearTimeout(timer);
    this.#waiting.delete(Number(id));
    this.#say(typeof text === "string" ? text : "");
  }

  /** Forgets what has not been answered. */
  dispose(): void {
    for (const timer of this.#waiting.values()) clearTimeout(timer);
    this.#waiting.clear();
  }

  #describeSlider(): void {
    this.#slider.setAttribute("aria-valuetext", this.#field.value);
  }

  #setRate(rate: number): void {
    this.#editing = false;
    if (!Number.isFinite(rate) || rate < 0) {
      this.#say("The learning rate is a number, 0 or more.");
      return;
    }
    this.#request("rate", rate);
  }

  #button(action: string, label: string, title: string): HTMLButtonElement {
    return h(
      "button",
      {
        type: "button",
        class: `fb-button fb-${action}`,
        title,
        onclick: () =>
          this.#request(action === "pause" && this.#paused ? "resume" : action, undefined),
      },
      label,
    );
  }

  #request(action: string, value: number | undefined): void {
    // Numbers of two copies of a view differ, so that each knows its own acknowledgements.
    const id = this.#next++ + Math.floor(Math.random() * 1e9) * 1000;
    this.#waiting.set(
      id,
      setTimeout(() => this.#say(BUSY), BUSY_MS),
    );
    this.#channel.send({ kind: "control", id, action, value });
  }

  #say(text: string): void {
    if (this.notice.textContent !== text) this.notice.textContent = text;
  }
}
