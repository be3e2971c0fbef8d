import { defineConfig } from "vitest/config";

export default defineConfig({
  plugins: [
    {
      name: "css as text", // as build.mjs does
      enforce: "pre",
      async load(id) {
        if (!id.endsWith(".css")) return undefined;
        const { readFile } = await import("node:fs/promises");
        return `export default ${JSON.stringify(await readFile(id, "utf8"))};`;
      },
    },
  ],
  test: {
    environment: "jsdom",
    include: ["test/**/*.test.ts"],
    testTimeout: 20000,
    setupFiles: ["test/setup.ts"],
  },
});
