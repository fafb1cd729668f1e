import { describe, expect, it } from "vitest";
import type { WriteLife } from "../src/lib/protocol";
import { lifeSteps } from "../src/lib/writes";

const write: WriteLife = {
  id: 1, stage: "requested", origin: "user li", value: 1, wished: 1, bound_by: null, requested_ms: 10, granted_ms: 10, queued_ms: 11,
  sent_ms: null, acknowledged_ms: null, read_back_ms: null, ended_ms: null, repeats: 0, text: null,
};
const told = (w: Partial<WriteLife>): string => lifeSteps({ ...write, ...w }).map((s) => (s.at === null ? `(${s.stage})` : s.stage)).join(" ");

describe("the life of a write", () => {
  it("shows what has come and what is to come", () => {
    expect(told({})).toBe("requested (sent) (acknowledged) (read-back) (settled)");
    expect(told({ stage: "queued" })).toBe("requested queued (sent) (acknowledged) (read-back) (settled)");
    expect(told({ stage: "acknowledged", sent_ms: 12, acknowledged_ms: 13 })).toBe("requested sent acknowledged (read-back) (settled)");
    expect(told({ stage: "settled", sent_ms: 12, acknowledged_ms: 13, read_back_ms: 14, ended_ms: 15 })).toBe("requested sent acknowledged read-back settled");
  });

  it("leaves out what a driver never tells", () => {
    expect(told({ stage: "settled", acknowledged_ms: 13, ended_ms: 15 })).toBe("requested acknowledged settled");
  });

  it("ends where it failed or was superseded", () => {
    expect(told({ stage: "failed", sent_ms: 12, ended_ms: 13, text: "refused" })).toBe("requested sent failed");
    expect(told({ stage: "superseded", ended_ms: 13 })).toBe("requested superseded");
  });
});
