import { describe, expect, it } from "vitest";
import {
  civilStart,
  entryStep,
  formatAge,
  formatBytes,
  formatClock,
  formatMicros,
  formatMoment,
  formatNumber,
  formatPlain,
  formatShort,
  formatUnit,
  formatValue,
  parseEntry,
  periodSpan,
  stepDecimals,
} from "../src/lib/format";
import { tag } from "./helpers";

describe("an axis", () => {
  it.each([
    [0.25, 2],
    [0.5, 1],
    [2.5, 1],
    [20, 0],
    [0.001, 3],
  ])("with steps of %d shows %d decimals", (step, decimals) => expect(stepDecimals(step)).toBe(decimals));
});

describe("numbers", () => {
  it.each([
    [1.005, 2, "1.00"],
    [-0.004, 2, "0.00"],
    [-1.5, 1, "−1.5"],
    [1234, 0, "1234"],
    [12345.678, 1, "12\u2009345.7"],
    [1234567, 0, "1\u2009234\u2009567"],
    [0.123456, 3, "0.123"],
    [Number.NaN, 1, "—"],
    [Number.POSITIVE_INFINITY, 1, "—"],
  ])("%d with %d decimals reads %s", (value, decimals, text) => {
    expect(formatNumber(value, decimals)).toBe(text);
  });

  it.each([
    [50, "50"],
    [0.5, "0.5"],
    [100, "100"],
    [0.1 + 0.2, "0.3"],
    [-20, "−20"],
    [0.66125, "0.6613"],
  ])("a limit of %d is written %s: no figure is lost or added", (value, text) => {
    expect(formatPlain(value)).toBe(text);
  });

  it.each([
    [99_999.5, "99\u2009999.5"],
    [100_000, "100\u2009k"],
    [-250_000, "−250\u2009k"],
    [999_499, "999\u2009k"],
    [999_500, "1\u2009M"],
    [2_500_000, "2.5\u2009M"],
    [3e9, "3\u2009G"],
  ])("the end %d of a scale is written %s", (value, text) => expect(formatShort(value)).toBe(text));

  it("takes what a person types, and nothing else", () => {
    expect(parseEntry(" 2,5 ")).toBe(2.5);
    expect(parseEntry("−3")).toBe(-3);
    expect(parseEntry("12 345.5")).toBe(12345.5);
    expect(parseEntry(".5")).toBe(0.5);
    for (const text of ["", "2.5.1", "1e9", "0x10", "NaN", "Infinity", "two", "5 mg", "--1"]) expect(parseEntry(text)).toBeNull();
  });

  it("steps by the second figure of the span, never finer than shown", () => {
    expect(entryStep([0, 100], 1)).toBe(10);
    expect(entryStep([0.5, 8], 2)).toBeCloseTo(0.1);
    expect(entryStep([0, 1], 0)).toBe(1);
    expect(entryStep(null, 2)).toBeCloseTo(0.01);
    expect(entryStep([3, 3], 1)).toBeCloseTo(0.1);
  });
});

describe("values", () => {
  it("names states before figures", () => {
    const mode = tag({ type: "int", states: [{ value: 2, zh: "运行", en: "running" }] });
    expect(formatValue(mode, 2, "zh")).toBe("运行");
    expect(formatValue(mode, 7, "zh")).toBe("7");
    const pump = tag({ type: "bool", states: [{ value: 1, zh: "开", en: "on" }, { value: 0, zh: "停", en: "off" }] });
    expect(formatValue(pump, true, "en")).toBe("on");
    expect(formatValue(pump, false, "zh")).toBe("停");
    expect(formatValue(tag({ type: "bool" }), true, "zh")).toBe("是");
    expect(formatValue(tag(), null, "zh")).toBe("—");
  });

  it("prints units as units", () => {
    expect(formatUnit("m3/h", "zh")).toBe("m³/h");
    expect(formatUnit("Nm3/h", "en")).toBe("Nm³/h");
    expect(formatUnit("kWh/m3", "en")).toBe("kWh/m³");
    expect(formatUnit("kg CO2e/m3", "zh")).toBe("kg CO₂e/m³");
    expect(formatUnit("degC", "zh")).toBe("°C");
    expect(formatUnit("CNY/kWh", "zh")).toBe("元/kWh");
    expect(formatUnit("CNY/kWh", "en")).toBe("CNY/kWh");
    expect(formatUnit("mg/L", "zh")).toBe("mg/L");
  });
});

describe("times", () => {
  const ms = Date.UTC(2026, 10, 22, 1, 41, 7);

  it("are the site's, whatever the panel's zone", () => {
    expect(formatClock(ms, "Asia/Shanghai")).toBe("09:41:07");
    expect(formatClock(ms, "UTC")).toBe("01:41:07");
    expect(formatClock(null, "UTC")).toBe("—");
    expect(formatClock(ms, "No/Such_Zone")).toBe("01:41:07");
  });

  it("carry the date only when it is another day there", () => {
    expect(formatMoment(ms, ms + 3_600_000, "Asia/Shanghai")).toBe("09:41:07");
    expect(formatMoment(ms - 86_400_000, ms, "Asia/Shanghai")).toBe("11-21 09:41:07");
    expect(formatMoment(ms - 400 * 86_400_000, ms, "Asia/Shanghai")).toBe("2025-10-18 09:41:07");
  });

  it.each([
    [850, "< 1 s"],
    [12_400, "12 s"],
    [180_000, "3 min"],
    [7_500_000, "2 h 05 min"],
    [4 * 86_400_000, "4 d"],
    [-1, "—"],
  ])("an age of %d ms reads %s", (age, text) => expect(formatAge(age)).toBe(text));

  it("small durations and sizes have their own units", () => {
    expect(formatMicros(62)).toBe("62 µs");
    expect(formatMicros(1_850)).toBe("1.85 ms");
    expect(formatMicros(2_500_000)).toBe("2.50 s");
    expect(formatBytes(512)).toBe("512 B");
    expect(formatBytes(33_554_432)).toBe("32.0 MiB");
  });

  it("days, weeks and months begin at the site's midnight", () => {
    const day = periodSpan("day", ms, 0, "Asia/Shanghai");
    expect(new Date(day.from).toISOString()).toBe("2026-11-21T16:00:00.000Z");
    expect(day.to - day.from).toBe(86_400_000);
    const week = periodSpan("week", ms, 0, "Asia/Shanghai"); // 22 November 2026 is a Sunday
    expect(new Date(week.from).toISOString()).toBe("2026-11-15T16:00:00.000Z");
    const month = periodSpan("month", ms, -11, "Asia/Shanghai");
    expect(new Date(month.from).toISOString()).toBe("2025-11-30T16:00:00.000Z");
    expect(new Date(month.to).toISOString()).toBe("2025-12-31T16:00:00.000Z");
  });

  it("a day with a clock change has 23 or 25 hours", () => {
    const spring = periodSpan("day", Date.UTC(2026, 2, 29, 12), 0, "Europe/Berlin");
    expect(spring.to - spring.from).toBe(23 * 3_600_000);
    const autumn = periodSpan("day", Date.UTC(2026, 9, 25, 12), 0, "Europe/Berlin");
    expect(autumn.to - autumn.from).toBe(25 * 3_600_000);
    expect(new Date(civilStart(2026, 13, 1, "Europe/Berlin")).toISOString()).toBe("2026-12-31T23:00:00.000Z");
  });
});
