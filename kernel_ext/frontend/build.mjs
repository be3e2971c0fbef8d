// Bundles src/index.ts into one ES module, $FLOWBOOK_STATIC/flowbook.js (default: dist/), with the
// licence notices of the packages that ended up in it beside it, and src/loader.ts into loader.js.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build, transform } from "esbuild";
import { slim } from "./slim.mjs";

const out = process.env.FLOWBOOK_STATIC ?? "dist";
mkdirSync(out, { recursive: true });

const slimmer = {
  name: "slimmer uPlot",
  setup({ onLoad }) {
    onLoad({ filter: /uPlot\.esm\.js$/ }, ({ path }) => ({
      contents: slim(readFileSync(path, "utf8")),
    }));
  },
};

/** Style sheets come as text, without what only people read. */
const styles = {
  name: "styles",
  setup({ onLoad }) {
    onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const { code } = await transform(readFileSync(path, "utf8"), { loader: "css", minify: true });
      return { contents: code, loader: "text" };
    });
  },
};

const result = await build({
  entryPoints: { flowbook: "src/index.ts", loader: "src/loader.ts" },
  outdir: out,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  metafile: true,
  plugins: [slimmer, styles],
  logLevel: "warning",
});

const packages = new Set();
for (const input of Object.keys(result.metafile.inputs)) {
  const found = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input);
  if (found) packages.add(found[1]);
}
const notices = [...packages].sort().map((name) => {
  const folder = join("node_modules", name);
  const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  if (!file || !existsSync(join(folder, file))) throw new Error(`${name} has no licence file`);
  return `${name} ${version}\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
});
const head = "flowbook.js is part of flowbook (Apache License 2.0).";
const bundled = notices.length ? ` It contains these packages:\n\n${notices.join("\n\n")}` : "\n";
writeFileSync(join(out, "flowbook.js.LICENSES.txt"), head + bundled);

if (!process.argv.includes("--quiet")) {
  const code = readFileSync(join(out, "flowbook.js"));
  const sizes = [code.length, gzipSync(code, { level: 9 }).length];
  console.log(`flowbook.js: ${sizes[0]} bytes, ${sizes[1]} gzipped`);
}
