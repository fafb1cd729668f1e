import type { AlarmInfo, AlarmItem, TagInfo } from "../src/lib/protocol";

export function tag(more: Partial<TagInfo> = {}): TagInfo {
  return {
    id: 0,
    path: "a/b",
    title: { zh: "甲", en: "A" },
    unit: "mg/L",
    type: "float",
    range: [0, 10],
    decimals: 2,
    category: "process",
    source: "device",
    device: "d",
    writable: null,
    limits: null,
    rate_per_s: null,
    role: null,
    states: [],
    ...more,
  };
}

export function alarm(id: number, more: Partial<AlarmInfo> = {}): AlarmInfo {
  const text = { zh: `报警${id}`, en: `alarm ${id}` };
  return {
    id,
    name: `alarm/${id}`,
    tag: 0,
    priority: "low",
    title: text,
    cause: text,
    consequence: text,
    response: text,
    kind: "above",
    limit: 1,
    deadband: 0,
    ...more,
  };
}

export function item(id: number, state: AlarmItem["state"], raised: number | null = 1000): AlarmItem {
  return { id, state, raised_ms: raised, returned_ms: null, ack_ms: null, ack_by: null, value: null };
}
