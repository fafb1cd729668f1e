// The stages of a write as a person follows them.

import type { WriteLife } from "./protocol";

export interface LifeStep {
  stage: string;
  /** When it was reached (UTC ms); null: not yet. */
  at: number | null;
}

/**
 * The stages in their order, reached or to come. A write that has failed or was superseded ends with that: what would
 * have come after it does not come. A stage that the driver never tells is left out once a later one was reached.
 */
export function lifeSteps(w: WriteLife): LifeStep[] {
  const way: LifeStep[] = [
    { stage: "requested", at: w.requested_ms },
    { stage: "sent", at: w.sent_ms },
    { stage: "acknowledged", at: w.acknowledged_ms },
    { stage: "read-back", at: w.read_back_ms },
    { stage: "settled", at: w.stage === "settled" ? w.ended_ms : null },
  ];
  // Between the grant and the link it waits in the driver's queue: worth a word only while that lasts.
  if (w.stage === "queued") way.splice(1, 0, { stage: "queued", at: w.queued_ms });
  const last = way.findLastIndex((s) => s.at !== null);
  const told = way.filter((s, n) => s.at !== null || n > last);
  if (w.stage !== "failed" && w.stage !== "superseded") return told;
  return [...told.filter((s) => s.at !== null), { stage: w.stage, at: w.ended_ms }];
}
