//! Why an output stands as it stands, in words: for the screens and for the command line, so that both say the same.
//!
//! One sentence answers a person's first question; whoever shows it adds the facts behind it in a shape of their own.

use crate::object::{Hindrance, Imposed};
use crate::output::Grant;
use penstock_model::{FallbackAction, FallbackCause, LinkState, Origin, OutputDef, Priority, TagDef, Value};
use std::time::Duration;

/// What the sentence about an output needs to know besides what was granted.
#[derive(Debug, Clone, Default)]
pub struct Circumstances {
    /// Inputs that are bad, each as a person reads it.
    pub bad_inputs: Vec<String>,
    /// The fault of the task.
    pub fault: Option<String>,
    /// How the link of the output's device stands.
    pub link: String,
    /// Its object keeps it where it is, because no person has moved it yet.
    pub stands_still: bool,
    /// The interlock that acts, with what it saw.
    pub interlock: Option<String>,
}

impl Circumstances {
    /// True where an object imposes that the output stays where it is.
    #[must_use]
    pub fn stands_still(imposed: &Imposed) -> bool {
        *imposed == Imposed::Stand
    }
}

/// A language to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// Simplified Chinese.
    Zh,
    /// English.
    En,
}

impl Words {
    /// One of two texts.
    pub fn say(self, zh: impl Into<String>, en: impl Into<String>) -> String {
        match self {
            Words::Zh => zh.into(),
            Words::En => en.into(),
        }
    }

    /// Why an output or entry stands as it does: the one sentence that a person reads first, without a full stop.
    #[must_use]
    pub fn reason(self, g: &Grant, def: &TagDef, with: &Circumstances) -> String {
        let (granted, wished) = (self.valued(g.granted.as_ref(), def), self.valued(g.wished.as_ref(), def));
        let entry = def.entry.is_some();
        if let Some(cause) = g.fallback {
            let why = self.cause(cause, with);
            return if g.granted.is_none() {
                self.say(format!("已交还设备自行控制：{why}"), format!("it is handed back to its device: {why}"))
            } else {
                self.say(format!("处于安全值 {granted}：{why}"), format!("it is in its fallback at {granted}: {why}"))
            };
        }
        let Some((origin, priority)) = &g.holder else {
            return match g.granted {
                Some(_) if with.stands_still => self.say(
                    format!("其对象使其停留在 {granted}"),
                    format!("its object lets nobody move it: it stands at {granted}"),
                ),
                Some(_) => self.say(
                    format!("保持 {granted}：无人提出期望"),
                    format!("it keeps {granted}: nobody wishes anything"),
                ),
                None => self.say("尚无值", "it has no value yet"),
            };
        };
        let who = self.origin(origin);
        match origin {
            Origin::Retained if entry => {
                self.say("初始值，尚无人输入", "it is the initial value: nobody has entered another")
            }
            _ if entry && *priority == Priority::Manual => {
                self.say(format!("由 {who} 输入"), format!("it was entered by {who}"))
            }
            Origin::Off(_) => self.say(format!("由{who}保持在 {wished}"), format!("{who} holds it at {wished}")),
            Origin::Lock(_) => self.say(format!("由{who}保持在 {wished}"), format!("{who} holds it at {wished}")),
            Origin::Local(_) => self.say(format!("由{who}控制，不发送命令"), format!("{who} has it: nothing is sent")),
            Origin::Interlock(_) => match &with.interlock {
                Some(why) => self.say(
                    format!("联锁使其保持在 {wished}：{why}"),
                    format!("an interlock holds it at {wished}: {why}"),
                ),
                None => self.say(format!("由{who}保持在 {wished}"), format!("{who} holds it at {wished}")),
            },
            _ if *priority == Priority::Manual => {
                self.say(format!("由 {who} 手动保持在 {wished}"), format!("it is held by hand by {who} at {wished}"))
            }
            _ if *priority > Priority::Program => {
                let strength = self.strength(*priority);
                self.say(
                    format!("由 {who}（{strength}）决定：{wished}"),
                    format!("{who} ({strength}) decides: {wished}"),
                )
            }
            _ => self.say(format!("跟随{who}，其期望 {wished}"), format!("it follows {who}, which wishes {wished}")),
        }
    }

    /// What keeps the granted value from the wished one, with the number declared.
    #[must_use]
    pub fn bound(self, word: &str, def: Option<&OutputDef>) -> String {
        let limits = def.and_then(|o| o.limits).map(|(l, h)| format!("{l}..{h}")).unwrap_or_default();
        let rate = def.and_then(|o| o.rate_per_s).map(|r| format!("{r}/s")).unwrap_or_default();
        match word {
            "limit" => self.say(format!("限值 {limits}"), format!("its limit {limits}")),
            "rate" => self.say(format!("变化率 {rate}（正在接近）"), format!("its rate of {rate} (it is on its way)")),
            "min on time" => {
                let t = def.map(|o| o.min_on).unwrap_or_default();
                self.say(format!("最短运行时间 {t:?}"), format!("its minimum on time of {t:?}"))
            }
            "min off time" => {
                let t = def.map(|o| o.min_off).unwrap_or_default();
                self.say(format!("最短停止时间 {t:?}"), format!("its minimum off time of {t:?}"))
            }
            "permissive" => self.say("启动允许条件未满足", "a permissive that is not met"),
            author => self.say(format!("{author} 的允许范围"), format!("the band of {author}")),
        }
    }

    /// Who stands behind a claim.
    #[must_use]
    pub fn origin(self, origin: &Origin) -> String {
        match origin {
            Origin::Program(n) => self.say(format!("程序 {n}"), format!("program {n}")),
            Origin::User(n) => n.to_string(),
            Origin::Remote(n) => self.say(format!("远程 {n}"), format!("remote {n}")),
            Origin::Fallback(c) => self.say(format!("安全值（{c}）"), format!("fallback on {c}")),
            Origin::Retained => self.say("停机前的值", "the value before the last stop"),
            Origin::Off(n) => self.say(format!("对象 {n} 的停用模式"), format!("mode off of {n}")),
            Origin::Local(n) => self.say(format!("对象 {n} 的现场操作盘"), format!("the panel in the field of {n}")),
            Origin::Interlock(n) => self.say(format!("对象 {n} 的联锁"), format!("an interlock of {n}")),
            Origin::Lock(n) => self.say(format!(" {n} 的检修锁定"), format!("the maintenance lock of {n}")),
        }
    }

    /// How strong a claim is.
    #[must_use]
    pub fn strength(self, priority: Priority) -> &'static str {
        match (self, priority) {
            (Words::En, priority) => priority.as_str(),
            (_, Priority::Program) => "程序",
            (_, Priority::Optimiser) => "优化",
            (_, Priority::Grid) => "电网",
            (_, Priority::Manual) => "手动",
            (_, Priority::Interlock) => "联锁",
        }
    }

    /// Why an output has lost its reason to move.
    #[must_use]
    pub fn cause(self, cause: FallbackCause, with: &Circumstances) -> String {
        match cause {
            FallbackCause::BadInput => {
                let bad = with.bad_inputs.join(self.say("；", ", ").as_str());
                match with.bad_inputs.len() {
                    0 => self.say("程序未给出值", "its program left it without a value"),
                    _ => self.say(format!("程序输入不可用：{bad}"), format!("the program's input {bad} is bad")),
                }
            }
            FallbackCause::Fault | FallbackCause::Overrun => {
                let text = with.fault.as_deref().unwrap_or("?");
                self.say(format!("任务故障：{text}"), format!("the task is faulted: {text}"))
            }
            FallbackCause::Link => {
                let link = &with.link;
                self.say(format!("通信中断：{link}"), format!("the link is down: {link}"))
            }
            FallbackCause::Shutdown => self.say("运行系统正在停止", "the runtime is stopping"),
            FallbackCause::Crash => self.say("运行系统已崩溃", "the runtime has crashed"),
        }
    }

    /// What an interlock or permissive says, with the comparison and the value that it saw.
    #[must_use]
    pub fn hindrance(self, why: &Hindrance, def: &TagDef) -> String {
        let text = self.say(&*why.text.zh, &*why.text.en);
        let cause = &why.cause;
        if cause.quality.is_bad() {
            return self.say(
                format!("{text}（{}，质量 {}）", cause.text, self.quality(cause.quality.reason(), def)),
                format!("{text} ({}, quality {})", cause.text, self.quality(cause.quality.reason(), def)),
            );
        }
        if cause.value.is_none() {
            // It had latched before the last start: nobody remembers the value.
            return self.say(format!("{text}（{}）", cause.text), format!("{text} ({})", cause.text));
        }
        let value = self.valued(cause.value.as_ref(), def);
        self.say(format!("{text}（{}，当时 {value}）", cause.text), format!("{text} ({}, it was {value})", cause.text))
    }

    /// What the reason of a quality means for a person; empty for a good one.
    #[must_use]
    pub fn quality(self, reason: &str, def: &TagDef) -> String {
        let (zh, en) = match reason {
            "" => return String::new(),
            "stale" => {
                let ttl = def.ttl.map(age).unwrap_or_default();
                return self.say(format!("比有效期 {ttl} 更旧"), format!("older than its time to live of {ttl}"));
            }
            "frozen" => ("长时间不变", "it has not moved for too long"),
            "link" => ("通信中断", "the link is down"),
            "refused" => ("设备拒绝", "the device refuses it"),
            "never-received" => ("从未收到", "nothing was ever received"),
            "input" => ("计算所用输入不可用", "an input that it is computed from is not good"),
            "undecodable" => ("设备给出的值无法解码", "what the device gives cannot be decoded"),
            "not-finite" => ("不是有限数", "it is not a finite number"),
            "not-implemented" => ("设备未提供该量", "the device does not have this quantity"),
            "out-of-range" | "range" => ("超出量程", "it is outside its range"),
            "program-fault" => ("程序故障", "its program is faulted"),
            "overrun" => ("任务超时", "its task overran"),
            "maintenance" => ("仪表检修中", "the instrument is in maintenance"),
            "device-bad" => ("设备报告值无效", "the device itself says that it is bad"),
            "device-uncertain" => ("设备报告值可疑", "the device itself says that it is uncertain"),
            "last-known" => ("最后已知值", "it is the last value known"),
            "initial" => ("初始值，尚未确认", "it is a start value that nothing has confirmed"),
            "substituted" => ("替代值", "it is a substituted value"),
            "disabled" => ("已停用", "it is disabled"),
            "configuration" => ("与配置不符", "the device does not have what the configuration says"),
            "shutdown" => ("运行系统正在停止", "the runtime is stopping"),
            other => (other, other),
        };
        self.say(zh, en)
    }

    /// A link, by the name of its device.
    #[must_use]
    pub fn link(self, device: &str, state: LinkState, reason: &str) -> String {
        let word = match state {
            LinkState::Up => self.say("正常", "up"),
            LinkState::Down => self.say("中断", "down"),
            LinkState::Connecting => self.say("正在连接", "connecting"),
        };
        let reason =
            if reason.is_empty() { String::new() } else { self.say(format!("：{reason}"), format!(": {reason}")) };
        format!("{device} {word}{reason}")
    }

    /// Why a link is down: known causes in the reader's language, others in the driver's own words.
    #[must_use]
    pub fn link_reason(self, reason: &str) -> String {
        let text = reason.to_ascii_lowercase();
        let any = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
        let (zh, en) = if any(&["nothing listens", "connection refused", "connectionrefused"]) {
            ("设备拒绝连接", "it refuses the connection")
        } else if any(&["closed the connection", "connection reset", "broken pipe"]) {
            ("设备关闭了连接", "the device closed the connection")
        } else if any(&["no answer", "timed out", "time out", "timeout", "did not answer"]) {
            ("设备没有应答", "the device does not answer")
        } else if any(&["unreachable", "no route"]) {
            ("网络不可达", "the network is unreachable")
        } else if any(&["certificate", "security"]) {
            ("证书或安全设置不匹配", "certificate or security settings do not fit")
        } else {
            (reason, reason)
        };
        self.say(zh, en)
    }

    /// A value as a person reads it: the name of its state, or its figures and unit.
    #[must_use]
    pub fn valued(self, value: Option<&Value>, def: &TagDef) -> String {
        let Some(value) = value else { return "–".to_owned() };
        let whole = match value {
            Value::Bool(on) => Some(i64::from(*on)),
            Value::Int(n) => Some(*n),
            Value::Float(_) | Value::Text(_) => None,
        };
        if let Some((_, state)) = whole.and_then(|n| def.states.iter().find(|(value, _)| *value == n)) {
            return self.say(&*state.zh, &*state.en);
        }
        let number = match value {
            Value::Bool(true) => return self.say("是", "yes"),
            Value::Bool(false) => return self.say("否", "no"),
            Value::Float(x) => format!("{x:.*}", usize::from(def.decimals)),
            other => other.to_string(),
        };
        let unit = def.unit.as_str();
        if unit.is_empty() { number } else { format!("{number} {unit}") }
    }

    /// What a declared fallback does.
    #[must_use]
    pub fn action(self, action: &FallbackAction, def: &TagDef) -> String {
        match action {
            FallbackAction::Hold => self.say("保持", "hold"),
            FallbackAction::HoldThen(time, value) => {
                let (time, value) = (age(*time), self.valued(Some(value), def));
                self.say(format!("保持 {time} 后 {value}"), format!("hold {time}, then {value}"))
            }
            FallbackAction::Value(value) => self.valued(Some(value), def),
            FallbackAction::Release => self.say("交还设备", "device"),
        }
    }
}

/// A time as a person reads it.
#[must_use]
pub fn age(time: Duration) -> String {
    let s = time.as_secs_f64();
    if s < 120.0 {
        format!("{s:.1} s")
    } else if s < 7_200.0 {
        format!("{:.0} min", s / 60.0)
    } else {
        format!("{:.1} h", s / 3_600.0)
    }
}
