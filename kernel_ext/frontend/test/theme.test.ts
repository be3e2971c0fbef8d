import { afterEach, expect, test, vi } from "vitest";
import { cellHref, h } from "../src/dom.js";
import { currentTheme, followTheme } from "../src/theme.js";

afterEach(() => {
  vi.unstubAllGlobals();
  document.body.className = "";
  delete document.body.dataset.jpThemeLight;
  delete document.body.dataset.jpThemeName;
});

test("JupyterLab's mark decides before anything else", () => {
  document.body.dataset.jpThemeLight = "false";
  expect(currentTheme()).toEqual({ dark: true, contrast: false });
  document.body.dataset.jpThemeLight = "true";
  document.body.classList.add("vscode-dark");
  expect(currentTheme().dark).toBe(false);
  document.body.dataset.jpThemeName = "JupyterLab Dark High Contrast";
  expect(currentTheme().contrast).toBe(true);
});

test("VS Code's classes", () => {
  document.body.classList.add("vscode-high-contrast");
  expect(currentTheme()).toEqual({ dark: true, contrast: true });
});

test("forced colours are the system's, whatever the notebook's theme", () => {
  const asked = new Set(["(forced-colors: active)", "(prefers-color-scheme: dark)"]);
  vi.stubGlobal("matchMedia", (text: string) => ({ matches: asked.has(text) }));
  document.body.dataset.jpThemeLight = "true";
  expect(currentTheme()).toEqual({ dark: true, contrast: true });
  asked.delete("(prefers-color-scheme: dark)");
  document.body.dataset.jpThemeLight = "false";
  expect(currentTheme()).toEqual({ dark: false, contrast: true });
});

test("an element follows the page's theme until told to stop", async () => {
  const element = document.createElement("div");
  const stop = followTheme(element);
  expect(element.dataset.theme).toBe("light");
  document.body.dataset.jpThemeLight = "false";
  await Promise.resolve();
  expect(element.dataset.theme).toBe("dark");
  stop();
  document.body.dataset.jpThemeLight = "true";
  await Promise.resolve();
  expect(element.dataset.theme).toBe("dark");
});

test("text stays text, and links lead to cells only", () => {
  const hostile = '<img src=x onerror="alert(1)">';
  const element = h("p", { title: hostile }, hostile);
  expect(element.children).toHaveLength(0);
  expect(element.textContent).toBe(hostile);
  expect(cellHref('"><script>')).toBe("#cell-id=%22%3E%3Cscript%3E");
  expect(cellHref(undefined)).toBeUndefined();
});
