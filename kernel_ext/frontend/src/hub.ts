// Finds the static roots of views in the page and connects them to a kernel's hub.
//
// A root is an element of class `flowbook-view`, with `flowbook-kind-<kind>` and `flowbook-id-<id>`
// beside it (class names survive where notebooks strip `data-*` attributes). For each root the hub
// asks the kernel with {kind: "open"}; only when the answer {kind: "state"} comes, the view takes
// the root over. So a picture whose kernel is gone, or knows nothing of it, stays as it is.

import { type Channel, type Message, type Model, mountOf, PROTOCOL, type View } from "./channel.js";

const ROOT = "flowbook-view";
/** How long a root may be out of the page (scrolled away, moved) before its view is taken down. */
const GRACE_MS = 5000;
/**
 * When roots that got no answer are asked about again. JupyterLab sends what comes in a comm's first
 * moments to the main shell, where it waits behind the running cell; later messages go to a subshell.
 */
const AGAIN_MS = [300, 700, 1500, 3000, 6000];

interface Place {
  root: HTMLElement;
  kind: string;
  id: string;
}

/** Reads kind and id from the class names of a root; undefined for other elements. */
export function placeOf(root: Element): Place | undefined {
  let kind = "";
  let id = "";
  for (const name of root.classList) {
    if (name.startsWith("flowbook-kind-")) kind = name.slice(14);
    else if (name.startsWith("flowbook-id-")) id = name.slice(12);
  }
  return kind && id && root instanceof HTMLElement ? { root, kind, id } : undefined;
}

/** What took a root over, so that several kernels in one page don't fight over it. */
const owners = new WeakMap<HTMLElement, Mounted>();

/** One live root. */
class Mounted implements Channel {
  readonly id: string;
  readonly #listeners = new Set<(live: boolean) => void>();
  readonly #view: View;
  readonly #host: HTMLElement;
  readonly #hidden: HTMLElement[] = [];
  readonly #notice: HTMLElement;
  gone: ReturnType<typeof setTimeout> | undefined;

  readonly #hub: Hub;

  constructor(
    readonly place: Place,
    hub: Hub,
    readonly memory: Map<string, unknown>,
  ) {
    this.#hub = hub;
    this.id = place.id;
    const { root } = place;
    for (const child of root.children) {
      if (child instanceof HTMLElement) this.#hidden.push(child);
    }
    this.#host = document.createElement("div");
    this.#host.className = "flowbook-live";
    this.#notice = document.createElement("div");
    this.#notice.className = "flowbook-notice";
    this.#notice.setAttribute("role", "alert");
    this.#notice.style.cssText = "font-size:12px;color:#d02a2a;white-space:pre-wrap";
    root.append(this.#host, this.#notice);
    try {
      this.#view = mountOf(place.kind)!(this.#host, this);
    } catch (error) {
      this.#host.remove();
      this.#notice.remove();
      throw error;
    }
    this.#hidden.forEach(hide);
    owners.set(root, this);
  }

  get live(): boolean {
    return this.#hub.live;
  }

  send(content: { kind: string }, buffers?: ArrayBufferLike[]): void {
    this.#hub.send(this.id, content, buffers);
  }

  onLive(callback: (live: boolean) => void): () => void {
    this.#listeners.add(callback);
    return () => this.#listeners.delete(callback);
  }

  receive(message: Message, buffers: DataView[]): void {
    if (message.kind === "error") {
      this.#notice.textContent = String(message.text ?? "");
      return;
    }
    if (message.kind === "state") this.#notice.textContent = "";
    this.#view.receive(message, buffers);
  }

  tellLive(): void {
    for (const callback of this.#listeners) callback(this.live);
  }

  dispose(): void {
    clearTimeout(this.gone);
    this.#view.dispose();
    this.#host.remove();
    this.#notice.remove();
    this.#hidden.forEach(show);
    owners.delete(this.place.root);
  }
}

// Static parts may have an inline `display`, which is kept for the way back.
const displays = new WeakMap<HTMLElement, string>();
function hide(element: HTMLElement): void {
  displays.set(element, element.style.display);
  element.style.display = "none";
}
function show(element: HTMLElement): void {
  element.style.display = displays.get(element) ?? "";
}

/** The page's side of one kernel's hub model. */
export class Hub {
  live = true;
  readonly #mounted = new Map<HTMLElement, Mounted>();
  readonly #waiting = new Map<HTMLElement, Place>();
  readonly #memories = new Map<string, Map<string, unknown>>();
  readonly #observer: MutationObserver;
  #scheduled = false;
  #again: ReturnType<typeof setTimeout> | undefined;
  readonly #onClosed = (): void => this.close();
  readonly #onMessage = (content: Message, buffers?: DataView[]): void =>
    this.#receive(content, buffers ?? []);

  readonly #model: Model;
  readonly #page: ParentNode & Node = document;

  constructor(model: Model, page: ParentNode & Node = document) {
    this.#model = model;
    this.#page = page;
    model.on("msg:custom", this.#onMessage as never);
    // Nothing else tells of a kernel that restarts or dies; one that comes back brings a new model.
    model.on("comm_live_update", this.#onClosed);
    this.#observer = new MutationObserver(() => this.#schedule());
    this.#observer.observe(page, { childList: true, subtree: true });
    this.#scan();
  }

  /** Ends the connection: views stay in the page, without a kernel. */
  close(): void {
    if (!this.live) return;
    this.live = false;
    this.#observer.disconnect();
    clearTimeout(this.#again);
    this.#model.off("msg:custom", this.#onMessage as never);
    this.#model.off("comm_live_update", this.#onClosed);
    for (const view of this.#mounted.values()) view.tellLive();
    this.#waiting.clear();
  }

  send(view: string, content: { kind: string }, buffers?: ArrayBufferLike[]): void {
    if (!this.live) return;
    try {
      this.#model.send({ protocol: PROTOCOL, view, ...content }, undefined, buffers);
    } catch {
      this.close(); // the kernel restarted, and its comm went before this model was told
    }
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      if (this.live) this.#scan();
    });
  }

  /** Compares the page with what is known, and asks the kernel about roots that are new. */
  #scan(): void {
    const asked = new Set<string>();
    for (const root of this.#page.querySelectorAll(`.${ROOT}`)) {
      const place = placeOf(root);
      if (!place || !mountOf(place.kind)) continue;
      const known = this.#mounted.get(place.root);
      if (known) {
        if (known.gone !== undefined) {
          clearTimeout(known.gone);
          known.gone = undefined;
          asked.add(place.id); // it may have missed increments
        }
        continue;
      }
      if (this.#waiting.has(place.root)) continue;
      this.#waiting.set(place.root, place);
      asked.add(place.id);
    }
    for (const [root, view] of this.#mounted) {
      if (root.isConnected || view.gone !== undefined) continue;
      view.gone = setTimeout(() => {
        this.#mounted.delete(root);
        view.dispose();
      }, GRACE_MS);
    }
    for (const root of this.#waiting.keys()) {
      if (!root.isConnected) this.#waiting.delete(root);
    }
    for (const id of asked) this.send(id, { kind: "open" });
    if (asked.size) this.#askAgain(0);
  }

  /** Asks once more about roots that still wait, less and less often. */
  #askAgain(turn: number): void {
    clearTimeout(this.#again);
    if (turn === AGAIN_MS.length || !this.#waiting.size) return;
    this.#again = setTimeout(() => {
      const ids = new Set([...this.#waiting.values()].map((place) => place.id));
      for (const id of ids) this.send(id, { kind: "open" });
      this.#askAgain(turn + 1);
    }, AGAIN_MS[turn]);
  }

  #receive(message: Message, buffers: DataView[]): void {
    if (message.protocol !== PROTOCOL || typeof message.view !== "string") return;
    if (message.picture) this.#store(message.view, message.picture as Record<string, string>);
    if (message.kind === "state") this.#mountWaiting(message.view);
    for (const view of this.#mounted.values()) {
      if (view.id === message.view) view.receive(message, buffers);
    }
  }

  /**
   * Puts the last picture of a view into the notebook, wherever it shows. Jupyter does so by itself in
   * the page that saw the output begin; one that was loaded later has forgotten which output it was.
   */
  #store(id: string, picture: Record<string, string>): void {
    for (const { outputs } of this.#model.widget_manager?.context?.model?.cells ?? []) {
      for (let i = 0; outputs && i < outputs.length; ++i) {
        const output = outputs.get(i).toJSON();
        const html = [output.data?.["text/html"] ?? ""].flat().join("");
        if (html.includes(`flowbook-id-${id}"`) && html !== picture["text/html"])
          outputs.set(i, { ...output, data: { ...output.data, ...picture } });
      }
    }
  }

  #mountWaiting(id: string): void {
    for (const [root, place] of this.#waiting) {
      if (place.id !== id) continue;
      this.#waiting.delete(root);
      const owner = owners.get(root);
      if (owner?.live) continue;
      owner?.dispose(); // of a kernel that is gone
      const memory = this.#memories.get(id) ?? new Map<string, unknown>();
      this.#memories.set(id, memory);
      this.#mounted.set(root, new Mounted(place, this, memory));
    }
  }
}
