import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { en } from "../src/lib/i18n/en";
import { zh } from "../src/lib/i18n/zh";

const holes = (text: string): string[] => [...text.matchAll(/\{(\w+)\}/g)].map((m) => m[1] ?? "").sort();

function sources(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true }).flatMap((e) =>
    e.isDirectory() ? sources(join(dir, e.name)) : /\.(svelte|ts)$/.test(e.name) && !/^(zh|en)\.ts$/.test(e.name) ? [join(dir, e.name)] : [],
  );
}

describe("the two languages", () => {
  it("have the same keys, in the same order", () => {
    expect(Object.keys(en)).toEqual(Object.keys(zh));
  });

  it("fill the same holes, and leave nothing empty", () => {
    for (const key of Object.keys(zh) as (keyof typeof zh)[]) {
      expect(zh[key].trim(), key).not.toBe("");
      expect(en[key].trim(), key).not.toBe("");
      expect(holes(en[key]), key).toEqual(holes(zh[key]));
    }
  });

  it("are each in their own script", () => {
    for (const [key, text] of Object.entries(en)) expect(text, key).not.toMatch(/[\u4e00-\u9fff]/);
    // A word that is the same in both (an abbreviation, a number) is fine; a sentence is not.
    for (const [key, text] of Object.entries(zh)) if (text.length > 12) expect(text, key).toMatch(/[\u4e00-\u9fff]/);
  });

  it("know every reason the runtime can give", () => {
    const rust = readFileSync(join(import.meta.dirname, "../../../runtime/model/src/quality.rs"), "utf8");
    const words = [...rust.matchAll(/= \d+, "([a-z-]+)";/g)].map((m) => m[1]);
    expect(words.length).toBeGreaterThan(20);
    for (const reason of words) expect(Object.keys(zh), reason).toContain(`reason.${reason}`);
  });

  it("say who moved an output", async () => {
    const { origin } = await import("../src/lib/i18n");
    const { prefs } = await import("../src/lib/prefs.svelte");
    prefs.setLang("zh");
    expect(origin("user anna")).toBe("anna");
    expect(origin("program aer/z9")).toBe("程序 aer/z9");
    expect(origin("fallback on link")).toBe("安全值：链路中断");
    expect(origin("retained")).toBe("沿用");
    expect(origin("something newer")).toBe("something newer");
  });

  it("say why a link is down and an input is bad, where the cause is a known one", async () => {
    const { inputReason, linkReason } = await import("../src/lib/i18n");
    const { prefs } = await import("../src/lib/prefs.svelte");
    prefs.setLang("zh");
    expect(linkReason("10.0.0.7:502: connection refused: nothing listens there")).toBe("设备拒绝连接");
    expect(linkReason("opc.tcp://h: kind: ConnectionRefused")).toBe("设备拒绝连接");
    expect(linkReason("no answer within 1s")).toBe("设备没有应答");
    expect(linkReason("exception 11: the unit behind the gateway does not answer")).toBe("网关后的设备没有应答");
    expect(linkReason("a wrong checksum: noise, two units with one number, or wrong line settings")).toBe("应答损坏");
    expect(linkReason("something newer")).toBe("something newer");
    expect(inputReason("flow: bad(link)")).toBe("flow: 坏 (链路中断)");
  });

  it("hold no word that nothing uses", () => {
    const all = sources(join(import.meta.dirname, "../src")).map((f) => readFileSync(f, "utf8")).join("\n");
    // Keys put together at run time: word("reason", …) and t(`energy.${p}`).
    const composed = [...all.matchAll(/word\("(\w+)"/g)].map((m) => `${m[1]}.`).concat(["energy.day", "energy.week", "energy.month"]);
    const unused = Object.keys(zh).filter((k) => !all.includes(`"${k}"`) && !composed.some((c) => k.startsWith(c)));
    expect(unused).toEqual([]);
  });
});
