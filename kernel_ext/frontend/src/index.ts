// Entry of the notebook bundle: an anywidget module.
//
// `initialize` serves the hub, a model that is never displayed and makes the static views of the
// page live. `render` serves front ends whose outputs don't share one page (Colab, VS Code): there
// each view is a displayed widget that brings its own root.

import { type Model, registerView } from "./channel.js";
import { Hub } from "./hub.js";
import { mountStandalone } from "./standalone.js";
import "./views.js";

export { Hub, registerView };

const displayed = (model: Model): boolean => Boolean(model.get?.("_flowbook_view"));

function initialize({ model }: { model: Model }): (() => void) | undefined {
  if (displayed(model)) return undefined; // `render` will come
  const hub = new Hub(model);
  return () => hub.close();
}

function render({ model, el }: { model: Model; el: HTMLElement }): (() => void) | undefined {
  if (!displayed(model)) return undefined;
  const root = document.createElement("div");
  root.className = [
    "flowbook-view",
    `flowbook-kind-${String(model.get!("_flowbook_kind"))}`,
    `flowbook-id-${String(model.get!("_flowbook_view"))}`,
  ].join(" ");
  el.append(root);
  const hub = new Hub(model, el);
  return () => {
    hub.close();
    root.remove();
  };
}

mountStandalone();

export default { initialize, render };
