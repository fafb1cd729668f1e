import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

// WCAG 2.2, 1.4.3: 4.5:1 for text. Whoever changes a colour learns here what it costs the reader.
const TEXT_RATIO_MIN = 4.5;
const css = readFileSync(join(import.meta.dirname, "../src/app.css"), "utf8");

function tokens(theme: string): Record<string, string> {
  const block = css.slice(css.indexOf(`:root[data-theme="${theme}"] {`));
  return Object.fromEntries([...block.slice(0, block.indexOf("}")).matchAll(/--([\w-]+): (#[0-9a-f]{6});/g)].map((m) => [m[1], m[2]]));
}

function luminance(hex: string): number {
  const channel = (at: number): number => {
    const c = parseInt(hex.slice(at, at + 2), 16) / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5);
}

function ratio(a: string, b: string): number {
  const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y) as [number, number];
  return (light + 0.05) / (dark + 0.05);
}

describe("text can be read", () => {
  for (const theme of ["light", "dark"]) {
    it(`in the ${theme} theme`, () => {
      const t = tokens(theme);
      const low: string[] = [];
      const see = (text: string, ground: string): void => {
        const [a, b] = [t[text] ?? text, t[ground] ?? ground];
        if (ratio(a, b) < TEXT_RATIO_MIN) low.push(`${text} on ${ground}: ${ratio(a, b).toFixed(2)}`);
      };
      for (const ground of ["page", "panel", "raised"]) for (const text of ["text", "weak", "value", "bad"]) see(text, ground);
      for (const n of [1, 2, 3, 4]) see(`p${n}-text`, `p${n}`);
      // What is pressed, and the one button that does it.
      if (theme === "light") see("raised", "weak");
      else see("#16191c", "stroke");
      expect(Object.keys(t).length).toBeGreaterThan(20);
      expect(low).toEqual([]);
    });
  }
});
