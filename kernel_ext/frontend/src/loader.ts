// The module that a hub's model carries. Everything in a model's state ends up in notebooks that are
// executed without a page, once for each kernel; so the front end itself (index.ts) isn't part of it
// but comes as a message when a page asks.

import { type Message, type Model, PROTOCOL } from "./channel.js";

type Close = () => void;
type Work = (props: { model: Model; el?: HTMLElement }) => Close | undefined;
type Entry = { default: { initialize: Work; render: Work } };

/** A request may have to wait behind a running cell while later ones need not; see AGAIN_MS in hub.ts. */
const AGAIN_MS = [300, 700, 1500, 3000, 6000];

function load(model: Model): Promise<Entry> {
  return new Promise((resolve, reject) => {
    let timer: ReturnType<typeof setTimeout>;
    const ask = (turn: number): void => {
      try {
        model.send({ protocol: PROTOCOL, kind: "code" });
      } catch {
        return; // the kernel is gone, and its pictures stay
      }
      if (turn < AGAIN_MS.length) timer = setTimeout(ask, AGAIN_MS[turn], turn + 1);
    };
    const take = (content: Message): void => {
      if (content.kind !== "code") return;
      clearTimeout(timer);
      model.off("msg:custom", take as never);
      const code = new Blob([String(content.text)], { type: "text/javascript" });
      import(URL.createObjectURL(code)).then(resolve, reject);
    };
    model.on("msg:custom", take as never);
    ask(0);
  });
}

// It returns at once: anywidget gives a model two seconds, and a busy kernel may need longer.
const passOn =
  (name: "initialize" | "render", wanted: boolean): Work =>
  (props) => {
    // Displayed models do their work in `render`, the hub in `initialize`.
    if (Boolean(props.model.get?.("_flowbook_view")) !== wanted) return undefined;
    let ended = false;
    let close: Close | undefined;
    void load(props.model).then((entry) => {
      if (!ended) close = entry.default[name](props);
    });
    return () => {
      ended = true;
      close?.();
    };
  };

export default { initialize: passOn("initialize", false), render: passOn("render", true) };
