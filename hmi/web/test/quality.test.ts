import { describe, expect, it } from "vitest";
import { assess, isUsable, type LiveSample, usableNumber } from "../src/lib/quality";

const sample = (more: Partial<LiveSample> = {}): LiveSample => ({
  value: 2.5,
  quality: "g",
  reason: "",
  sourceMs: 0,
  receivedAt: 1_000,
  ...more,
});

describe("the worth of a sample", () => {
  it("follows its quality and counts its age on", () => {
    expect(assess(sample(), true, () => 4_000)).toEqual({ worth: "good", value: 2.5, reason: "", ageMs: 3_000 });
    expect(assess(sample({ quality: "u", reason: "frozen" }), true, () => 1_000).worth).toBe("uncertain");
    expect(assess(sample({ quality: "b", reason: "link" }), true, () => 1_000)).toMatchObject({ worth: "bad", value: 2.5, reason: "link" });
    expect(assess(sample({ quality: "b", reason: "stale" }), true, () => 61_000)).toMatchObject({ worth: "stale", ageMs: 60_000 });
    expect(assess(sample({ quality: "b", reason: "never-received", value: null }), true, () => 1_000).worth).toBe("absent");
    expect(assess(undefined, true, () => 0)).toMatchObject({ worth: "absent", reason: "never-received" });
  });

  it("is lost without a connection, however good it was", () => {
    for (const quality of ["g", "u", "b"] as const) {
      expect(assess(sample({ quality }), false, () => 9_000)).toMatchObject({ worth: "lost", reason: "connection", ageMs: 8_000 });
    }
    expect(assess(undefined, false, () => 0)).toMatchObject({ worth: "absent", reason: "connection" });
  });

  it("draws pictures only from what may be used", () => {
    expect(usableNumber(assess(sample(), true, () => 0))).toBe(2.5);
    expect(usableNumber(assess(sample({ quality: "u" }), true, () => 0))).toBe(2.5);
    expect(usableNumber(assess(sample({ value: true }), true, () => 0))).toBe(1);
    expect(usableNumber(assess(sample({ quality: "b" }), true, () => 0))).toBeNull();
    expect(usableNumber(assess(sample(), false, () => 0))).toBeNull();
    expect(usableNumber(assess(sample({ value: "text" }), true, () => 0))).toBeNull();
    expect(isUsable(assess(sample({ quality: "b", reason: "stale" }), true, () => 0))).toBe(false);
  });
});
