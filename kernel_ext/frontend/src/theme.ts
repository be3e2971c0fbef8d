// Light, dark, high contrast, and still pictures for who asked for them: what the surrounding page
// says, and the colours that follow. Colours are CSS variables on the view's own shadow root;
// backgrounds and text come from the notebook's theme where it names them.

import THEME_CSS from "./theme.css";

export interface Theme {
  dark: boolean;
  contrast: boolean;
}

const DARK = "(prefers-color-scheme: dark)";
const FORCED = "(forced-colors: active)";
const query = (text: string): boolean => globalThis.matchMedia?.(text).matches ?? false;

/** The theme of the page: JupyterLab's and VS Code's own marks first, then the system's wish. */
export function currentTheme(body: HTMLElement = document.body): Theme {
  const light = body.dataset.jpThemeLight;
  const classes = body.classList;
  const name = body.dataset.jpThemeName ?? "";
  const forced = query(FORCED);
  const contrast =
    query("(prefers-contrast: more)") ||
    forced ||
    /high.?contrast/i.test(name) ||
    classes.contains("vscode-high-contrast") ||
    classes.contains("vscode-high-contrast-light");
  // Forced colours are the system's, whatever the notebook's own theme.
  if (forced) return { dark: query(DARK), contrast };
  if (light !== undefined) return { dark: light === "false", contrast };
  if (classes.contains("vscode-dark") || classes.contains("vscode-high-contrast"))
    return { dark: true, contrast };
  if (classes.contains("vscode-light") || classes.contains("vscode-high-contrast-light"))
    return { dark: false, contrast };
  return { dark: query(DARK), contrast };
}

/** Keeps `data-theme` and `data-contrast` of an element current; the result ends that. */
export function followTheme(element: HTMLElement, changed?: (theme: Theme) => void): () => void {
  let last = "";
  const apply = (): void => {
    const theme = currentTheme();
    const key = `${theme.dark} ${theme.contrast}`;
    if (key === last) return;
    last = key;
    element.dataset.theme = theme.dark ? "dark" : "light";
    element.dataset.contrast = theme.contrast ? "more" : "normal";
    changed?.(theme);
  };
  apply();
  const observer = new MutationObserver(apply);
  observer.observe(document.body, {
    attributes: true,
    attributeFilter: ["class", "data-jp-theme-light", "data-jp-theme-name"],
  });
  const media = [DARK, "(prefers-contrast: more)", FORCED].map((text) =>
    globalThis.matchMedia?.(text),
  );
  for (const list of media) list?.addEventListener?.("change", apply);
  return () => {
    observer.disconnect();
    for (const list of media) list?.removeEventListener?.("change", apply);
  };
}

export const stillness = (): boolean => query("(prefers-reduced-motion: reduce)");

export { THEME_CSS };
