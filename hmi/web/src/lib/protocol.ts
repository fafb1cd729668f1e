// The words of the HTTP and WebSocket interface, as the runtime serves them. Nothing here computes.

export interface Text {
  zh: string;
  en: string;
}

export type Value = number | boolean | string;
export type Role = "viewer" | "operator" | "engineer";
export type QualityClass = "g" | "u" | "b";
export type PriorityWord = "critical" | "high" | "medium" | "low";

export interface User {
  user: string;
  role: Role;
}

export interface TagState extends Text {
  value: number;
}

export interface TagInfo {
  id: number;
  path: string;
  title: Text;
  unit: string;
  type: "bool" | "int" | "float" | "text";
  range: [number, number] | null;
  decimals: number;
  category: string;
  source: "device" | "program" | "operator" | "system";
  device: string | null;
  /** The device that an output is written to; absent from older runtimes. */
  to?: string | null;
  program?: string | null;
  writable: "entry" | "output" | null;
  limits: [number, number] | null;
  rate_per_s: number | null;
  role: Role | null;
  states: TagState[];
}

export interface AlarmInfo {
  id: number;
  name: string;
  tag: number;
  priority: PriorityWord;
  title: Text;
  cause: Text;
  consequence: Text;
  response: Text;
  kind: "above" | "below" | "equals" | "bad";
  limit: number | null;
  deadband: number | null;
}

export interface TaskInfo {
  id: number;
  name: string;
  period_ms: number;
}

export interface DeviceInfo {
  id: number;
  name: string;
  title: Text;
  driver: string;
  address: string;
}

/** The times for which an output may be held by hand, in seconds; null means without an end. */
export interface HoldInfo {
  default_s: number | null;
  max_s: number | null;
  choices_s: number[];
}

export interface ConditionInfo {
  when: string;
  text: Text;
  bad: "trip" | "ignore" | "hold";
  tags: number[];
  output: number | null;
}

export interface ObjectInfo {
  name: string;
  title: Text;
  mode_tag: number;
  outputs: { tag: number; off: Value; lock: Value; feedback: number | null }[];
  programs: string[];
  modes: { mode: string; role: Role }[];
  local: string | null;
  hold: HoldInfo;
  interlocks: (ConditionInfo & { value: Value; latch: boolean })[];
  permissives: ConditionInfo[];
}

/** What made a condition what it is: the comparison, and the value that it saw. */
export interface ObjectCause {
  tag: number;
  value: Value | null;
  quality: QualityClass;
  reason: string;
  text: string;
}

export interface Hindrance {
  text: Text;
  when: string;
  cause: ObjectCause;
}

export interface ObjectItem {
  object: number;
  mode: string;
  selected: string;
  by: string;
  since_ms: number;
  lock: { who: string; reason: string; since_ms: number } | null;
  until_ms: number | null;
  ending: boolean;
  interlocks: { state: "waiting" | "clear" | "acting" | "latched"; cause: ObjectCause | null; since_ms: number | null }[];
  permissives: { met: boolean | null; cause: ObjectCause | null }[];
}

export interface Site {
  name: Text;
  time_zone: string;
  config_hash: string;
  version: string;
  tags: TagInfo[];
  alarms: AlarmInfo[];
  tasks: TaskInfo[];
  devices: DeviceInfo[];
  /** Absent from runtimes that know no controlled objects. */
  objects?: ObjectInfo[];
  hold?: HoldInfo;
  pages: unknown;
}

/** id, value, quality class, reason word, source time (ms), age when the message left (ms). */
export type ValueRow = [number, Value | null, QualityClass, string, number, number];

export interface AlarmItem {
  id: number;
  state: "normal" | "active" | "acknowledged" | "returned";
  raised_ms: number | null;
  returned_ms: number | null;
  ack_ms: number | null;
  ack_by: string | null;
  value: Value | null;
}

export interface OutputItem {
  tag: number;
  manual: boolean;
  holder: string | null;
  priority: string | null;
  granted: Value | null;
  wished: Value | null;
  bound_by: string | null;
  fallback: string | null;
  interlock?: Hindrance | null;
  blocked?: Hindrance | null;
  until_ms?: number | null;
  ending?: boolean;
  outcome: string | null;
  /** Why it failed, in words. */
  outcome_text?: string | null;
  outcome_ms: number | null;
}

/** One write of an output; a time is null where the stage was not reached. */
export interface WriteLife {
  id: number;
  stage: string;
  origin: string;
  value: Value | null;
  wished: Value | null;
  bound_by: string | null;
  requested_ms: number;
  granted_ms: number;
  queued_ms: number | null;
  sent_ms: number | null;
  acknowledged_ms: number | null;
  read_back_ms: number | null;
  ended_ms: number | null;
  repeats: number;
  text: string | null;
}

export interface Writes {
  tag: string;
  counts: { granted: number; acknowledged: number; settled: number; failed: number; superseded: number; kept_back: number };
  latency_ms: Spread;
  writes: WriteLife[];
}

export interface WhyClaim {
  origin: string;
  priority: string;
  value: Value | null;
  band: [number, number] | null;
  until_ms: number | null;
  /** The output follows this one. */
  decides: boolean;
}

export interface WhyInput {
  name: string;
  tag: number | null;
  value: Value | null;
  quality: QualityClass;
  reason: string;
  age_ms: number;
  /** Reading it ended the program's scan. */
  ended: boolean;
}

/** Why a tag stands as it stands: the sentence that answers, and the facts behind it. */
export interface Why {
  tag: string;
  utc_ms: number;
  /** What keeps the answer from being whole. */
  note: Text | null;
  sentence: Text;
  bound: Text | null;
  blocked: Text | null;
  /** From this tag back to where a bad value comes from. */
  steps: { tag: number; text: Text }[];
  since_ms: number | null;
  claims: WhyClaim[];
  entered: { value: Value | null; origin: string; at_ms: number } | null;
  program: { name: string; script: string; wished: Value | null; quality: QualityClass | null; fault: string | null } | null;
  inputs: WhyInput[];
  limits: { range: [number, number] | null; rate_per_s: number | null; min_on_s: number; min_off_s: number } | null;
  fallback: Text | null;
  link: { device: number; state: string | null; reason: string | null; last_answer_ms: number | null } | null;
  write: WriteLife | null;
}

export interface LinkItem {
  device: number;
  state: "connecting" | "up" | "down";
  reason: string;
  answered: number;
  failed: number;
  refused: number;
  reconnects: number;
  round_trip_ms: number;
  retries: number;
  /** The device alone does not answer, and is left alone between probes. */
  demoted: boolean;
  /** Points left alone because the device refuses them. */
  quarantined: number;
  /** What is wrong although the link is up. */
  note: string;
  last_answer_age_ms: number | null;
}

export interface Spread {
  p50: number;
  p99: number;
  max: number;
}

export interface TaskItem {
  id: number;
  scans: number;
  missed: number;
  jitter_us: Spread;
  run_us: Spread;
  fault: string | null;
}

export type LiveMessage =
  | { type: "values"; utc_ms: number; values: ValueRow[] }
  | { type: "alarms"; items: AlarmItem[] }
  | { type: "outputs"; items: OutputItem[] }
  | { type: "objects"; items: ObjectItem[] }
  | { type: "links"; items: LinkItem[] }
  | { type: "tasks"; items: TaskItem[] };

/** ms, smallest, largest, last, quality class of a point or of the worst in a bucket. */
export type HistoryPoint = [number, number | null, number | null, number | null, QualityClass];

export interface HistorySeries {
  tag: string;
  raw: boolean;
  points: HistoryPoint[];
}

export interface EventRow {
  utc_ms: number;
  kind: string;
  [key: string]: unknown;
}

export interface ActionRow {
  seq: number;
  utc_ms: number;
  who: string;
  role: string;
  kind: string;
  tag?: string | null;
  old?: Value | null;
  new?: Value | null;
  unit?: string | null;
  [key: string]: unknown;
}

export interface ProgramItem {
  name: string;
  script: string;
  task: number;
  fault: string | null;
  last_error: string | null;
  bad_inputs: string[];
}

export interface SystemView {
  uptime_s: number;
  version: string;
  config_hash: string;
  programs: ProgramItem[];
  historian: Record<string, number | string | null>;
  ledger: Record<string, unknown> | null;
  drops: { name: string; count: number }[];
  live_clients?: number;
}
