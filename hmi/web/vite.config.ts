import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

// `npm run dev` forwards the interface to a running runtime (or to `npm run mock`).
const runtime = process.env.PENSTOCK_URL ?? "http://127.0.0.1:8380";

export default defineConfig({
  plugins: [svelte()],
  build: {
    target: "es2022",
    // The page is served under a policy that allows no data: or inline sources.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 800,
  },
  server: { proxy: { "/api": { target: runtime, ws: true } } },
  resolve: process.env.VITEST ? { conditions: ["browser"] } : {},
  test: { include: ["test/**/*.test.ts"], environment: "jsdom" },
});
