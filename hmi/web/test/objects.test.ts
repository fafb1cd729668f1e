import { describe, expect, it } from "vitest";
import { eventView } from "../src/lib/events";
import { causeText, mayUnlock, offAutoMode, refusal } from "../src/lib/objects";
import type { ObjectInfo, ObjectItem, OutputItem, Site } from "../src/lib/protocol";
import { tag } from "./helpers";

const info: ObjectInfo = {
  name: "aer/b1",
  title: { zh: "1号风机", en: "Blower 1" },
  mode_tag: 9,
  outputs: [{ tag: 1, off: false, lock: false, feedback: null }],
  programs: ["aer/pressure"],
  modes: [{ mode: "off", role: "engineer" }, { mode: "manual", role: "operator" }, { mode: "auto", role: "operator" }],
  local: null,
  hold: { default_s: null, max_s: null, choices_s: [900] },
  interlocks: [],
  permissives: [{ when: "a", text: { zh: "甲", en: "A" }, bad: "trip", tags: [1], output: null }],
};
const item: ObjectItem = {
  object: 0, mode: "auto", selected: "auto", by: "", since_ms: 0, lock: null, until_ms: null, ending: false,
  interlocks: [], permissives: [{ met: true, cause: null }],
};

describe("modes", () => {
  it("are offered to who may, and say why not", () => {
    expect(refusal(info, item, "auto", "operator")).toBe("same");
    expect(refusal(info, item, "manual", "operator")).toBeNull();
    expect(refusal(info, item, "manual", "viewer")).toBe("role");
    expect(refusal(info, item, "off", "operator")).toBe("role");
    expect(refusal(info, { ...item, mode: "local" }, "manual", "engineer")).toBe("local");
    const locked = { ...item, selected: "off", lock: { who: "li", reason: "seal", since_ms: 0 } };
    expect(refusal(info, locked, "auto", "engineer")).toBe("locked");
    const unmet = { ...item, selected: "off", permissives: [{ met: null, cause: null }] };
    expect(refusal(info, unmet, "auto", "operator")).toBe("permissive");
    expect(mayUnlock(locked, { user: "li", role: "operator" })).toBe(true);
    expect(mayUnlock(locked, { user: "wu", role: "operator" })).toBe(false);
    expect(mayUnlock(locked, { user: "wu", role: "engineer" })).toBe(true);
  });
});

describe("causes and holders", () => {
  it("are told with the value that was seen", () => {
    const vibration = tag({ path: "aer/b1/vibration", unit: "mm/s" });
    const cause = { tag: 0, value: 7.4, quality: "g" as const, reason: "", text: "aer/b1/vibration > 7.1 mm/s" };
    expect(causeText(cause, vibration, (_t, v) => String(v), (u) => u)).toBe("aer/b1/vibration 7.4 mm/s > 7.1 mm/s");
    expect(causeText({ ...cause, value: null }, vibration, String, (u) => u)).toBe("aer/b1/vibration > 7.1 mm/s");
  });

  it("of what did not hold say what it needs", () => {
    const level = tag({ path: "dos/pac/level", unit: "%" });
    const cause = { tag: 0, value: 3.1, quality: "g" as const, reason: "", text: "dos/pac/level > 4 %" };
    expect(causeText(cause, level, (_t, v) => String(v), (u) => u, ", needs ")).toBe("dos/pac/level 3.1 %, needs > 4 %");
  });

  it("say why an output is not in automatic", () => {
    const output = { manual: false, holder: "program z3", fallback: null } as OutputItem;
    expect(offAutoMode(output)).toBeNull();
    expect(offAutoMode({ ...output, manual: true, holder: "user li" })).toBe("manual");
    expect(offAutoMode({ ...output, fallback: "link" })).toBe("fallback");
    for (const word of ["lock", "local", "interlock", "off"] as const) expect(offAutoMode({ ...output, holder: `${word} x` })).toBe(word);
  });

  it("stand in the journal in the reader's language", () => {
    const site = { objects: [info], alarms: [], devices: [] } as unknown as Site;
    const view = { site, alarm: () => null, tag: () => null, tagById: () => null };
    const row = { utc_ms: 1, kind: "object", object: "aer/b1", event: "tripped", when: "x > 1", zh: "振动高", en: "Vibration high", cause: { condition: "x > 1", value: "2" } };
    const shown = eventView(row, view);
    expect(shown.state).toEqual({ of: "event", word: "tripped" });
    expect(shown.text).toContain("x > 1 (2)");
    expect(shown.text).toMatch(/1号风机|Blower 1/);
  });
});
