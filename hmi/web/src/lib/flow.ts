// Where power comes from and where it goes, as widths for a drawing. What does not add up is shown as such.

export interface FlowInput {
  id: string;
  kind: "source" | "load";
  signed: boolean;
  /** Usable number or null. */
  value: number | null;
}

export interface FlowPart {
  id: string;
  value: number;
}

export interface FlowBalance {
  sources: FlowPart[];
  loads: FlowPart[];
  /** Sources minus loads; null while any end is not usable. */
  rest: number | null;
  /** The larger sum: the scale of the drawing. */
  scale: number;
  missing: string[];
}

/** Sorts ends by what they do now: a signed source that is negative is a load; anything else below zero counts as zero. */
export function balance(ends: readonly FlowInput[]): FlowBalance {
  const sources: FlowPart[] = [];
  const loads: FlowPart[] = [];
  const missing: string[] = [];
  for (const end of ends) {
    if (end.value === null) {
      missing.push(end.id);
      continue;
    }
    const exporting = end.kind === "source" && end.signed && end.value < 0;
    const value = exporting ? -end.value : Math.max(0, end.value);
    (end.kind === "source" && !exporting ? sources : loads).push({ id: end.id, value });
  }
  const sum = (parts: readonly FlowPart[]): number => parts.reduce((a, p) => a + p.value, 0);
  const supplied = sum(sources);
  const taken = sum(loads);
  return {
    sources,
    loads,
    rest: missing.length > 0 ? null : supplied - taken,
    scale: Math.max(supplied, taken, 1e-9),
    missing,
  };
}

/** Places parts one below the other: top and height of each in a field of `height`, with `gap` between. */
export function stack(parts: readonly FlowPart[], scale: number, height: number, gap: number): { id: string; top: number; height: number }[] {
  const room = Math.max(0, height - gap * Math.max(0, parts.length - 1));
  let top = 0;
  return parts.map((part) => {
    const size = (part.value / scale) * room;
    const placed = { id: part.id, top, height: size };
    top += size + gap;
    return placed;
  });
}
