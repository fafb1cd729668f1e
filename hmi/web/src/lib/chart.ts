// One uPlot canvas for every trend: bands behind lines, hatching where values are not good, alarm marks on the time axis.

import uPlot from "uplot";
import { formatNumber, stepDecimals, timeLabels } from "./format";
import { align, type Pen, yRange } from "./history";
import type { TagInfo } from "./protocol";
import { PRIORITY_PATHS } from "./svg";

export interface PenStyle {
  title: string;
  unit: string;
  decimals: number;
  /** Index of the pen's colour and dash, 0-based. */
  index: number;
  stepped: boolean;
  /** A switch: drawn between 0 and 1 whatever it did. */
  binary: boolean;
}

/** Quantities that are set rather than measured jump; a line between two of their points would show a ramp that never was. */
export function isStepped(tag: TagInfo | null | undefined): boolean {
  return tag?.type === "bool" || tag?.type === "int" || (tag?.writable ?? null) !== null;
}

export interface AlarmTick {
  at: number;
  priority: number;
  title: string;
}

export interface ChartInput {
  pens: Pen[];
  styles: PenStyle[];
  from: number;
  to: number;
  ticks: AlarmTick[];
  timeZone: string;
  small: boolean;
  onZoom?: ((from: number, to: number) => void) | undefined;
  onBack?: (() => void) | undefined;
  onCursor?: ((at: number | null) => void) | undefined;
}

const DASHES: number[][] = [[], [7, 3], [2, 3], [10, 3, 2, 3], [], [7, 3], [2, 3], [10, 3, 2, 3]];

function css(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

export function penColour(index: number): string {
  return css(`--pen${(index % 8) + 1}`);
}

/** The units in the order of the pens: each has a scale of its own, the first two an axis each. */
export function unitsOf(styles: readonly PenStyle[]): string[] {
  return [...new Set(styles.map((s) => s.unit))];
}

const LANE = 5;

export class Chart {
  #plot: uPlot;
  #input: ChartInput;
  #shape: string;
  #host: HTMLElement;

  constructor(host: HTMLElement, input: ChartInput) {
    this.#host = host;
    this.#input = input;
    this.#shape = shapeOf(input);
    this.#plot = this.#make();
  }

  /** Shows other data; the canvas is made anew only when pens or axes differ. */
  update(input: ChartInput): void {
    this.#input = input;
    const shape = shapeOf(input);
    if (shape !== this.#shape) {
      this.#shape = shape;
      this.redraw();
      return;
    }
    this.#plot.batch(() => {
      this.#plot.setData(this.#data(), false);
      this.#scale();
    });
  }

  /** Makes the canvas anew: other colours, other language. */
  redraw(): void {
    this.#plot.destroy();
    this.#plot = this.#make();
  }

  resize(): void {
    const { clientWidth: width, clientHeight: height } = this.#host;
    if (width > 0 && height > 0) this.#plot.setSize({ width, height });
  }

  destroy(): void {
    this.#plot.destroy();
  }

  #data(): uPlot.AlignedData {
    const { x, y } = align(this.#input.pens);
    return [x, ...y] as uPlot.AlignedData;
  }

  #scale(): void {
    this.#plot.setScale("x", { min: this.#input.from, max: this.#input.to });
    for (const unit of unitsOf(this.#input.styles)) {
      const [min, max] = this.#rangeOf(unit);
      this.#plot.setScale(`u:${unit}`, { min, max });
    }
  }

  #rangeOf(unit: string): [number, number] {
    const pens = this.#input.pens.filter((_, i) => this.#input.styles[i]?.unit === unit);
    if (this.#binary(unit)) return [-0.1, 1.1];
    return yRange(pens, this.#input.from, this.#input.to) ?? [0, 1];
  }

  #binary(unit: string): boolean {
    return this.#input.styles.filter((s) => s.unit === unit).every((s) => s.binary);
  }

  #make(): uPlot {
    const input = this.#input;
    const units = unitsOf(input.styles);
    const text = css("--weak");
    const grid = { stroke: css("--line"), width: 0.5 };
    const font = `${input.small ? 11 : 12}px system-ui, "Noto Sans CJK SC", sans-serif`;
    const scales: uPlot.Scales = { x: { time: true, auto: false, range: () => [this.#input.from, this.#input.to] } };
    for (const unit of units) scales[`u:${unit}`] = { auto: false, range: () => this.#rangeOf(unit) };
    const axes: uPlot.Axis[] = [
      {
        stroke: text,
        grid,
        ticks: grid,
        font,
        size: input.small ? 22 : 28,
        gap: 3,
        space: input.small ? 60 : 90,
        values: (_u, at, _axis, _space, step) => timeLabels(at, step, this.#input.timeZone),
      },
    ];
    units.slice(0, 2).forEach((unit, i) => {
      axes.push({
        scale: `u:${unit}`,
        side: i === 0 ? 3 : 1,
        stroke: text,
        font,
        grid: i === 0 ? grid : { show: false },
        ticks: grid,
        size: (_u, labels) => Math.max(28, ...(labels ?? []).map((l) => l.length * (input.small ? 6.6 : 7.4) + 14)),
        gap: 3,
        space: input.small ? 22 : 32,
        ...(this.#binary(unit) ? { splits: () => [0, 1] } : {}),
        values: (_u, at, _axis, _space, step) => at.map((v) => formatNumber(v, this.#binary(unit) ? 0 : stepDecimals(step))),
      });
    });
    const series: uPlot.Series[] = [{}];
    input.styles.forEach((style) => {
      const stepped = uPlot.paths.stepped?.({ align: 1 });
      series.push({
        scale: `u:${style.unit}`,
        label: style.title,
        stroke: penColour(style.index),
        width: input.small ? 1.2 : 1.6,
        dash: DASHES[style.index % 8] ?? [],
        points: { show: false },
        spanGaps: false,
        ...(style.stepped && stepped ? { paths: stepped } : {}),
      });
    });
    const plot = new uPlot(
      {
        width: Math.max(50, this.#host.clientWidth),
        height: Math.max(40, this.#host.clientHeight),
        ms: 1,
        tzDate: (ms) => uPlot.tzDate(new Date(ms), this.#input.timeZone),
        padding: [input.small ? 8 : 24, units.length > 1 ? 0 : 18, 0, 0],
        legend: { show: false },
        cursor: {
          show: !input.small,
          drag: { x: true, y: false, setScale: false },
          points: { size: 7 },
          bind: {
            // Double click goes one step back; uPlot's own reset would forget the steps between.
            dblclick: () => () => {
              this.#input.onBack?.();
              return null;
            },
          },
        },
        scales,
        axes,
        series,
        hooks: {
          drawAxes: [(u) => this.#behind(u)],
          draw: [(u) => this.#above(u)],
          setSelect: [
            (u) => {
              if (u.select.width < 6) return;
              const from = u.posToVal(u.select.left, "x");
              const to = u.posToVal(u.select.left + u.select.width, "x");
              u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
              this.#input.onZoom?.(from, to);
            },
          ],
          setCursor: [
            (u) => {
              const left = u.cursor.left ?? -1;
              this.#input.onCursor?.(left < 0 ? null : u.posToVal(left, "x"));
            },
          ],
        },
      },
      this.#data(),
      this.#host,
    );
    return plot;
  }

  // Each axis carries its unit above it: figures without a unit are no figures.
  #axisUnits(u: uPlot): void {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.font = `${12 * devicePixelRatio}px system-ui, "Noto Sans CJK SC", sans-serif`;
    ctx.fillStyle = css("--weak");
    ctx.textBaseline = "bottom";
    unitsOf(this.#input.styles)
      .slice(0, 2)
      .forEach((unit, i) => {
        ctx.textAlign = i === 0 ? "left" : "right";
        const x = i === 0 ? 6 * devicePixelRatio : ctx.canvas.width - 4 * devicePixelRatio;
        ctx.fillText(unit, x, bbox.top - 6 * devicePixelRatio);
      });
    ctx.restore();
  }

  // Bands of what a bucket held, and hatching over the whole height where a pen was bad.
  #behind(u: uPlot): void {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    this.#input.pens.forEach((pen, i) => {
      const style = this.#input.styles[i];
      if (!style || !pen.banded) return;
      ctx.globalAlpha = 0.18;
      ctx.fillStyle = penColour(style.index);
      bandPath(u, pen, `u:${style.unit}`);
    });
    ctx.globalAlpha = 1;
    this.#hatch(u);
    ctx.restore();
  }

  #hatch(u: uPlot): void {
    const { ctx, bbox } = u;
    const lane = LANE * devicePixelRatio;
    this.#input.pens.forEach((pen, i) => {
      const top = bbox.top + bbox.height - (i + 1) * (lane + 1);
      for (const span of pen.spans) {
        const left = u.valToPos(Math.max(span.from, this.#input.from), "x", true);
        const right = u.valToPos(Math.min(span.to, this.#input.to), "x", true);
        if (right < left) continue;
        const width = Math.max(right - left, devicePixelRatio);
        const bad = span.quality === "b";
        hatchRect(ctx, left, top, width, lane, 4, bad ? css("--bad") : css("--stroke"), 1.4);
        if (bad) hatchRect(ctx, left, bbox.top, width, bbox.height, 9, css("--bad"), 0.35);
        ctx.fillStyle = penColour(this.#input.styles[i]?.index ?? 0);
        ctx.fillRect(left, top, Math.min(2 * devicePixelRatio, width), lane);
      }
    });
  }

  #above(u: uPlot): void {
    const { ctx, bbox } = u;
    if (!this.#input.small) this.#axisUnits(u);
    const size = (this.#input.small ? 9 : 13) * devicePixelRatio;
    for (const tick of this.#input.ticks) {
      if (tick.at < this.#input.from || tick.at > this.#input.to) continue;
      const x = u.valToPos(tick.at, "x", true);
      ctx.save();
      ctx.strokeStyle = css(`--p${tick.priority}`);
      ctx.lineWidth = devicePixelRatio;
      ctx.setLineDash([3, 3]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top + size);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.setLineDash([]);
      ctx.translate(x - size / 2, bbox.top);
      ctx.scale(size / 20, size / 20);
      ctx.fillStyle = css(`--p${tick.priority}`);
      ctx.fill(new Path2D(PRIORITY_PATHS[tick.priority - 1] ?? ""));
      ctx.restore();
    }
  }
}

function shapeOf(input: ChartInput): string {
  return JSON.stringify([input.styles, input.small, input.timeZone]);
}

function bandPath(u: uPlot, pen: Pen, scale: string): void {
  const { ctx } = u;
  let run: number[] = [];
  const flush = (): void => {
    if (run.length > 1) {
      ctx.beginPath();
      run.forEach((i, n) => {
        const x = u.valToPos(pen.times[i] as number, "x", true);
        const y = u.valToPos(pen.max[i] as number, scale, true);
        if (n === 0) ctx.moveTo(x, y);
        else ctx.lineTo(x, y);
      });
      for (const i of run.reverse()) {
        ctx.lineTo(u.valToPos(pen.times[i] as number, "x", true), u.valToPos(pen.min[i] as number, scale, true));
      }
      ctx.closePath();
      ctx.fill();
    }
    run = [];
  };
  pen.times.forEach((_, i) => {
    if (pen.min[i] === null || pen.max[i] === null) flush();
    else run.push(i);
  });
  flush();
}

function hatchRect(ctx: CanvasRenderingContext2D, x: number, y: number, w: number, h: number, gap: number, colour: string, weight: number): void {
  ctx.save();
  ctx.beginPath();
  ctx.rect(x, y, w, h);
  ctx.clip();
  ctx.strokeStyle = colour;
  ctx.globalAlpha = Math.min(1, weight);
  ctx.lineWidth = devicePixelRatio;
  ctx.beginPath();
  const step = gap * devicePixelRatio;
  // Anchored to the canvas, so that neighbouring spans hatch without a seam.
  const first = Math.floor((x - h) / step) * step;
  for (let at = first; at < x + w + h; at += step) {
    ctx.moveTo(at, y + h);
    ctx.lineTo(at + h, y);
  }
  ctx.stroke();
  ctx.restore();
}
