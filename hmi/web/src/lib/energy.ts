// The energy and carbon summary as the ledger serves it, and its meter tree laid out for a table.

import type { Text } from "./protocol";

export interface Coverage {
  measured: number;
  back_filled: number;
  estimated: number;
  missing: number;
}

export interface MeterSummary {
  name: string;
  title: Text;
  kind: "grid" | "pv" | "load" | "storage";
  parent: string | null;
  import_kwh: number;
  export_kwh: number | null;
  coverage: Coverage;
}

export interface Residual {
  parent: string;
  supplied_kwh: number;
  taken_kwh: number;
  residual_kwh: number;
  share: number | null;
}

export interface FactorUse {
  id: string;
  edition: string;
  value: number;
  unit: string;
  source: string;
}

export interface CarbonLine {
  activity: string;
  title: Text;
  scope: number;
  quantity: number;
  unit: string;
  factor: FactorUse;
  gwp: FactorUse | null;
  kg: number;
  lower_kg: number | null;
  upper_kg: number | null;
  separate: boolean;
  coverage: Coverage;
}

export interface Issue {
  at_ms: number;
  until_ms: number | null;
  stream: string;
  kind: string;
  before: number | null;
  after: number | null;
  text: string;
}

export interface Summary {
  from_ms: number;
  to_ms: number;
  quarters: number;
  meters: MeterSummary[];
  import_kwh: number;
  export_kwh: number;
  pv_kwh: number;
  load_kwh: number;
  self_kwh: number;
  scr: number | null;
  ssr: number | null;
  demand_max_kw: number | null;
  demand_max_ms: number | null;
  cost: {
    currency: string;
    tiers: { name: string; title: Text; price_per_kwh: number; kwh: number; cost: number }[];
    import_cost: number;
    export_revenue: number;
  };
  flow_m3: number | null;
  kwh_per_m3: number | null;
  carbon: {
    lines: CarbonLine[];
    total_kg: number;
    separate_kg: number;
    kg_per_m3: number | null;
    kg_per_m3_with_separate: number | null;
    avoided_kg: number;
  };
  residuals: Residual[];
  issues: Issue[];
}

export type TreeRow =
  | { kind: "meter"; depth: number; meter: MeterSummary }
  | { kind: "residual"; depth: number; residual: Residual };

/**
 * The meters as a tree from the roots down, each level followed by what it leaves unexplained. A meter whose parent is
 * unknown stands as a root: nothing is hidden because of a mistake in the tree.
 */
export function meterTree(summary: Summary): TreeRow[] {
  const names = new Set(summary.meters.map((m) => m.name));
  const residuals = new Map(summary.residuals.map((r) => [r.parent, r]));
  const rows: TreeRow[] = [];
  const seen = new Set<string>();
  const visit = (meter: MeterSummary, depth: number): void => {
    if (seen.has(meter.name)) return;
    seen.add(meter.name);
    rows.push({ kind: "meter", depth, meter });
    for (const child of summary.meters) if (child.parent === meter.name) visit(child, depth + 1);
    const residual = residuals.get(meter.name);
    if (residual) rows.push({ kind: "residual", depth: depth + 1, residual });
  };
  for (const meter of summary.meters) if (meter.parent === null || !names.has(meter.parent)) visit(meter, 0);
  // Meters that are each other's parents would otherwise vanish.
  for (const meter of summary.meters) visit(meter, 0);
  return rows;
}

/** Share of quarters that were measured outright, 0..1; null where there are none. */
export function measuredShare(c: Coverage): number | null {
  const all = c.measured + c.back_filled + c.estimated + c.missing;
  return all > 0 ? c.measured / all : null;
}
