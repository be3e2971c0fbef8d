// Light, dark, high contrast, and still pictures for who asked for them: what the surrounding page
// says, and the colours that follow. Colours are CSS variables on the view's own shadow root;
// backgrounds and text come from the notebook's theme where it names them.

export interface Theme {
  dark: boolean;
  contrast: boolean;
}

const query = (text: string): boolean => globalThis.matchMedia?.(text).matches ?? false;

/** The theme of the page: JupyterLab's and VS Code's own marks first, then the system's wish. */
export function currentTheme(body: HTMLElement = document.body): Theme {
  const light = body.dataset.jpThemeLight;
  const classes = body.classList;
  const name = body.dataset.jpThemeName ?? "";
  const contrast =
    query("(prefers-contrast: more)") ||
    query("(forced-colors: active)") ||
    /high.?contrast/i.test(name) ||
    classes.contains("vscode-high-contrast") ||
    classes.contains("vscode-high-contrast-light");
  if (light !== undefined) return { dark: light === "false", contrast };
  if (classes.contains("vscode-dark") || classes.contains("vscode-high-contrast"))
    return { dark: true, contrast };
  if (classes.contains("vscode-light") || classes.contains("vscode-high-contrast-light"))
    return { dark: false, contrast };
  return { dark: query("(prefers-color-scheme: dark)"), contrast };
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
  const media = ["(prefers-color-scheme: dark)", "(prefers-contrast: more)"].map((text) =>
    globalThis.matchMedia?.(text),
  );
  for (const list of media) list?.addEventListener?.("change", apply);
  return () => {
    observer.disconnect();
    for (const list of media) list?.removeEventListener?.("change", apply);
  };
}

export const stillness = (): boolean => query("(prefers-reduced-motion: reduce)");

/** Variables that every view's style sheet may use; `:host` carries the attributes of followTheme. */
export const THEME_CSS = `
:host {
  --bg: var(--jp-layout-color0, var(--vscode-editor-background, #fff));
  --card: var(--jp-layout-color0, var(--vscode-editor-background, #fff));
  --raised: var(--jp-layout-color1, var(--vscode-editorWidget-background, #fff));
  --ink: var(--jp-ui-font-color0, var(--vscode-editor-foreground, #1b2330));
  --soft: #5c6778; --rim: #d5dbe3; --line: #8d99aa; --hover: #6b7a9018; --frame: #6b7a9010;
  --focus: var(--jp-brand-color1, var(--vscode-focusBorder, #1a6fd6));
  --accent: #2b6cb0; --bad: #c62828; --bad-bg: #fdecec; --good: #1f7a4d; --warn: #9a5b00;
  --grad: #c2337a; --shadow: 0 6px 24px #1b233026;
  --sans: var(--jp-ui-font-family, system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif);
  --mono: var(--jp-code-font-family, ui-monospace, SFMono-Regular, Menlo, Consolas, monospace);
  color-scheme: light; color: var(--ink); font: 13px/1.45 var(--sans); display: block;
}
:host([data-theme="dark"]) {
  --bg: var(--jp-layout-color0, var(--vscode-editor-background, #14171c));
  --card: var(--jp-layout-color1, var(--vscode-editorWidget-background, #1d2229));
  --raised: var(--jp-layout-color1, var(--vscode-editorWidget-background, #1d2229));
  --ink: var(--jp-ui-font-color0, var(--vscode-editor-foreground, #e8ecf2));
  --soft: #a3adbc; --rim: #414a57; --line: #7b8797; --hover: #a9b8cf1f; --frame: #8fa0b80f;
  --accent: #74b3ee; --bad: #ff7b7b; --bad-bg: #3a1b1e; --good: #68c48f; --warn: #e3b25c;
  --grad: #f27aa5; --shadow: 0 6px 28px #000a; color-scheme: dark;
}
:host([data-contrast="more"]) {
  --soft: var(--ink); --rim: var(--ink); --line: var(--ink);
  --hover: color-mix(in srgb, var(--ink) 18%, transparent);
}
@media (prefers-reduced-motion: reduce) { * { transition: none !important; animation: none !important; } }
`;
