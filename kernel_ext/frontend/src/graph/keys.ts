// The keyboard on the drawing: which key does what, and the list of them behind the "?".

import type { Arrow } from "./walk.js";

/** What keys can ask of the view. */
export interface Keyboard {
  walk(arrow: Arrow): void;
  /** To the first box, or to the last. */
  go(last: boolean): void;
  press(more: boolean): void;
  /** Closes the scope around. */
  leave(): void;
  zoom(by: number): void;
  fit(): void;
  search(): void;
  letGo(): void;
}

export const KEYS: [key: string, words: string][] = [
  ["↑ ↓ ← →", "walk along the lines"],
  ["Enter", "open a scope, select a node"],
  ["Shift Enter", "select more"],
  ["Backspace", "close the scope around"],
  ["/", "search; Enter for the next"],
  ["+ − 0", "zoom, fit"],
  ["Ctrl wheel", "zoom; drag moves"],
  ["Esc", "let go"],
];

export function listenToKeys(stage: HTMLElement, to: Keyboard): void {
  stage.addEventListener("keydown", (event) => {
    const { key, altKey, ctrlKey, metaKey, shiftKey } = event;
    if (altKey || metaKey || (ctrlKey && key !== "Enter")) return;
    if (key.startsWith("Arrow")) to.walk(key as Arrow);
    else if (key === "Home" || key === "End") to.go(key === "End");
    else if (key === "Enter" || key === " ") to.press(shiftKey || ctrlKey);
    else if (key === "Backspace") to.leave();
    else if (key === "+" || key === "=") to.zoom(1.25);
    else if (key === "-") to.zoom(0.8);
    else if (key === "0") to.fit();
    else if (key === "/") to.search();
    else if (key === "Escape") to.letGo();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
}
