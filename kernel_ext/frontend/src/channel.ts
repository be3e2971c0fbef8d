// What a live view knows of the kernel: a way to send, and whether anyone listens.

/** The part of an anywidget model that the front end uses. */
export interface Model {
  on(event: string, callback: (...args: never[]) => void): void;
  off(event: string, callback?: (...args: never[]) => void): void;
  send(content: unknown, callbacks?: unknown, buffers?: ArrayBufferLike[]): void;
  get?(name: string): unknown;
  /** In JupyterLab and Notebook 7, with the notebook's own model. */
  widget_manager?: { context?: { model?: { cells?: Iterable<{ outputs?: Outputs }> } } };
}

/** The outputs of a cell, as JupyterLab keeps them. */
export interface Outputs {
  readonly length: number;
  get(index: number): { toJSON(): { data?: Record<string, unknown> } };
  set(index: number, output: unknown): void;
}

/** A message of the protocol; other fields depend on `kind`. Unknown kinds are ignored. */
export interface Message {
  kind: string;
  view?: string;
  protocol?: number;
  [field: string]: unknown;
}

export const PROTOCOL = 1;

/** Connects one view in the page with its other half in the kernel. */
export interface Channel {
  readonly id: string;
  /** False once the kernel is gone, and always in an exported page. */
  readonly live: boolean;
  /** An exported page never had a kernel. */
  readonly exported?: boolean;
  /** What a view wants to find again when its output was taken away and comes back. */
  readonly memory: Map<string, unknown>;
  send(content: { kind: string; [field: string]: unknown }, buffers?: ArrayBufferLike[]): void;
  /** Calls back when `live` changes; the result stops that. */
  onLive(callback: (live: boolean) => void): () => void;
}

/** A mounted view. */
export interface View {
  receive(message: Message, buffers: DataView[]): void;
  dispose(): void;
}

export type Mount = (root: HTMLElement, channel: Channel) => View;

const mounts = new Map<string, Mount>();

/** Makes views of a kind live: `mount` takes over a static root once its state has arrived. */
export function registerView(kind: string, mount: Mount): void {
  mounts.set(kind, mount);
}

export function mountOf(kind: string): Mount | undefined {
  return mounts.get(kind);
}
