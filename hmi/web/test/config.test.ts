import { describe, expect, it } from "vitest";
import { configNote } from "../src/lib/config";
import { ABSENT, assess } from "../src/lib/quality";
import type { Value } from "../src/lib/protocol";

const plant = (values: Record<string, Value>, connected = true) => (path: string) => {
  const value = values[path];
  if (value === undefined) return ABSENT;
  return assess({ value, quality: "g", reason: "", sourceMs: 0, receivedAt: 0 }, connected, () => 0);
};

describe("the note on the configuration", () => {
  it("tells the gravest thing alone", () => {
    const all = { "sys/config/number": 7, "sys/config/probation_s": 90, "sys/config/went_back": true, "sys/config/folder_unused": true };
    expect(configNote(plant(all))).toEqual({ kind: "wentBack", number: 7, seconds: 90 });
    expect(configNote(plant({ ...all, "sys/config/went_back": false }))?.kind).toBe("folderUnused");
    const watched = { ...all, "sys/config/went_back": false, "sys/config/folder_unused": false };
    expect(configNote(plant(watched))).toEqual({ kind: "probation", number: 7, seconds: 90 });
    expect(configNote(plant({ ...watched, "sys/config/probation_s": 0 }))).toBeNull();
  });

  it("says nothing of a plant that it does not see", () => {
    expect(configNote(plant({}))).toBeNull();
    expect(configNote(plant({ "sys/config/went_back": true }, false))).toBeNull();
  });
});
