//! The answer to "why": one sentence, and the facts behind it.

use crate::App;
use crate::live::{millis, quality_letter, value_json};
use crate::writes::life_json;
use penstock_engine::{
    Circumstances, Explained, Grant, HeldClaim, InputNow, OutputMemory, OutputView, Wished, Words, Writer, age,
};
use penstock_model::{
    DeviceId, FallbackCause, Instant, LinkState, Now, OutputDef, Priority, Quality, Sample, Source, TagDef, TagId,
    TagTable, Utc, Wish,
};
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// Steps that a bad value is followed back: further than any chain of programs that a site lays out.
const STEPS_MAX: usize = 8;
/// Bad inputs named in the sentence; the rest stands in the list of inputs.
const BAD_NAMED_MAX: usize = 3;

/// What the engine shows at the moment of the answer.
struct Facts<'a> {
    app: &'a App,
    tags: Arc<TagTable>,
    now: Now,
}

pub(super) fn answer(app: &App, tag: TagId, explained: Option<&Explained>) -> Json {
    let engine = &app.ctx.engine;
    let facts = Facts { app, tags: engine.tags(), now: app.ctx.clock.now() };
    let def = facts.tags.get(tag).clone();
    let sample = explained.and_then(|e| e.sample.clone()).unwrap_or_else(|| engine.read(tag));
    let view = engine.output(tag);
    let writer = engine.writer(tag);
    let memory = explained.and_then(|e| e.output.as_ref());
    let grant = memory.map(|o| o.stands.clone()).or_else(|| view.as_ref().map(|v| grant_of(v, &sample)));
    let steps = facts.way_back(tag, &sample);
    let inputs = inputs(&facts, explained, writer.as_ref());
    let both = |f: &dyn Fn(Words) -> String| json!({ "zh": f(Words::Zh), "en": f(Words::En) });
    let sentence = |words: Words| match &grant {
        Some(grant) => {
            let with = facts.circumstances(words, &def, explained, view.as_ref(), &inputs);
            words.reason(grant, &def, &with)
        }
        None => facts.measured(words, &def, &sample, &steps),
    };
    let bound = grant.as_ref().and_then(|g| Some((g.bound_by.as_deref()?, g))).map(|(word, g)| {
        both(&|words| {
            let (bound, granted) = (words.bound(word, def.output.as_deref()), words.valued(g.granted.as_ref(), &def));
            words.say(format!("但受限于{bound}，实际 {granted}"), format!("but {bound} keeps it at {granted}"))
        })
    });
    let link = device_of(&def).map(|device| facts.link_json(device));
    json!({
        "tag": &*def.path,
        "utc_ms": explained.map_or(facts.now, |e| e.now).utc.millis(),
        "note": facts.note(tag, explained, grant.is_some() || writer.is_some()),
        "sentence": both(&sentence),
        "bound": bound,
        "blocked": explained.and_then(|e| e.blocked.clone()).or_else(|| view.as_ref()?.blocked.clone()).map(|why| {
            both(&|words| words.hindrance(&why, facts.tags.get(why.cause.tag)))
        }),
        // The first step is the tag itself, of which the sentence speaks.
        "steps": steps.iter().skip(1).map(|step| {
            json!({ "tag": step.0, "text": both(&|words| facts.step(words, *step)) })
        }).collect::<Vec<_>>(),
        "since_ms": memory.and_then(|o| Some(utc_of(explained?.now, o.changed_at?).millis())),
        "claims": memory.zip(explained).map(|(o, e)| claims(o, e, view.as_ref())).unwrap_or_default(),
        "entered": memory.and_then(entered),
        "program": writer.as_ref().map(|w| program(&facts, w, memory)),
        "inputs": inputs.iter().map(|i| input_json(&facts, i, explained)).collect::<Vec<_>>(),
        "limits": def.output.as_deref().map(limits),
        "fallback": def.output.as_ref().map(|out| both(&|words| fallbacks(words, out, &def))),
        "link": link,
        "write": engine.writes(tag).and_then(|w| w.last.first().map(life_json)),
    })
}

/// What an output shows of itself between two scans, as a grant.
fn grant_of(view: &OutputView, sample: &Sample) -> Grant {
    Grant {
        granted: view.granted.clone(),
        position: None,
        holder: view.holder.clone(),
        wished: view.wished.clone(),
        bound_by: view.bound_by.clone(),
        fallback: view.fallback,
        cause: None,
        quality: sample.quality,
    }
}

fn device_of(def: &TagDef) -> Option<DeviceId> {
    match def.source {
        Source::Device(device) => Some(device),
        _ => def.output.as_ref().and_then(|o| o.device),
    }
}

fn utc_of(now: Now, at: Instant) -> Utc {
    now.utc - now.mono.since(at)
}

/// What the program of a tag read; between two scans, what its inputs are now.
fn inputs(facts: &Facts<'_>, explained: Option<&Explained>, writer: Option<&Writer>) -> Vec<InputNow> {
    match (explained, writer) {
        (Some(e), _) => e.inputs.clone(),
        (None, Some(writer)) => writer
            .inputs
            .iter()
            .map(|(name, tag)| InputNow {
                name: name.clone(),
                tag: Some(*tag),
                sample: facts.app.ctx.engine.read(*tag),
            })
            .collect(),
        (None, None) => Vec::new(),
    }
}

fn claims(o: &OutputMemory, e: &Explained, view: Option<&OutputView>) -> Vec<Json> {
    // A hand on an output of an object is held by the object: the end is the object's.
    let until = |claim: &HeldClaim| match claim.expires {
        Some(end) => Some(e.now.utc + end.since(e.now.mono)),
        None => view.and_then(|v| v.until).filter(|_| claim.priority == Priority::Manual),
    };
    let decides = |priority, origin: &_| o.stands.holder.as_ref().is_some_and(|(by, p)| *p == priority && by == origin);
    let wish = |wish: &Wish| match wish {
        Wish::Value(value) => (value_json(Some(value)), None),
        Wish::Band(low, high) => (Json::Null, Some([*low, *high])),
        Wish::Release => (Json::Null, None),
    };
    o.claims
        .iter()
        .map(|claim| {
            let (value, band) = wish(&claim.wish);
            json!({
                "origin": claim.origin.to_string(),
                "priority": claim.priority.as_str(),
                "value": value,
                "band": band,
                "until_ms": until(claim).map(Utc::millis),
                "decides": decides(claim.priority, &claim.origin),
            })
        })
        .collect()
}

fn entered(o: &OutputMemory) -> Option<Json> {
    let (value, who, at) = o.base.as_ref()?;
    Some(json!({ "value": value_json(Some(value)), "origin": who.to_string(), "at_ms": at.utc.millis() }))
}

fn program(facts: &Facts<'_>, writer: &Writer, memory: Option<&OutputMemory>) -> Json {
    let health = facts.app.ctx.engine.programs().into_iter().find(|p| p.name == writer.program);
    // While it falls back, what its program left is from before.
    let wished = memory.filter(|o| o.stands.fallback.is_none()).and_then(|o| match &o.wished {
        Wished::Value(value, quality) => Some((value.clone(), *quality)),
        Wished::Keep(_) | Wished::Nobody => None,
    });
    json!({
        "name": &*writer.program,
        "script": &*writer.script,
        "wished": value_json(wished.as_ref().map(|(value, _)| value)),
        "quality": wished.as_ref().map(|(_, quality)| quality_letter(*quality)),
        "fault": health.and_then(|p| p.fault).as_deref(),
    })
}

fn input_json(facts: &Facts<'_>, input: &InputNow, explained: Option<&Explained>) -> Json {
    let sample = &input.sample;
    json!({
        "name": input.name,
        "tag": input.tag.map(|t| t.0),
        "value": value_json(sample.value.as_ref()),
        "quality": quality_letter(sample.quality),
        "reason": sample.quality.reason(),
        "age_ms": millis(sample.age(facts.now.mono)),
        "ended": explained.and_then(|e| e.missing.as_deref()) == Some(input.name.as_str()),
    })
}

fn limits(out: &OutputDef) -> Json {
    json!({
        "range": out.limits.map(|(low, high)| [low, high]),
        "rate_per_s": out.rate_per_s,
        "min_on_s": out.min_on.as_secs_f64(),
        "min_off_s": out.min_off.as_secs_f64(),
    })
}

/// What is declared for each cause; causes that are answered alike stand together.
fn fallbacks(words: Words, out: &OutputDef, def: &TagDef) -> String {
    let causes = [
        (FallbackCause::BadInput, "输入不可用", "bad input"),
        (FallbackCause::Fault, "程序故障", "program fault"),
        (FallbackCause::Overrun, "任务超时", "overrun"),
        (FallbackCause::Link, "通信中断", "link down"),
        (FallbackCause::Shutdown, "停机", "shutdown"),
        (FallbackCause::Crash, "崩溃", "crash"),
    ];
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for (cause, zh, en) in causes {
        let action = words.action(out.fallback.action(cause), def);
        match groups.iter_mut().find(|(a, _)| *a == action) {
            Some((_, causes)) => causes.push(words.say(zh, en)),
            None => groups.push((action, vec![words.say(zh, en)])),
        }
    }
    let (colon, comma, semicolon) = match words {
        Words::Zh => ("：", "、", "；"),
        Words::En => (": ", ", ", "; "),
    };
    let parts: Vec<String> = groups.iter().map(|(a, causes)| format!("{}{colon}{a}", causes.join(comma))).collect();
    parts.join(semicolon)
}

/// A tag on the way back to where a bad value comes from.
type Step = (u32, Option<u32>);

impl Facts<'_> {
    /// What else the sentence about an output tells.
    fn circumstances(
        &self,
        words: Words,
        def: &TagDef,
        explained: Option<&Explained>,
        view: Option<&OutputView>,
        inputs: &[InputNow],
    ) -> Circumstances {
        let engine = &self.app.ctx.engine;
        let missing = explained.and_then(|e| e.missing.as_deref());
        let bad = inputs.iter().filter(|i| match missing {
            Some(name) => i.name == name,
            None => i.sample.quality.is_bad(),
        });
        let task = || {
            let id = engine.task_of(def.id)?;
            engine.tasks().into_iter().find(|t| t.id == id)?.fault
        };
        let fault = explained.map_or_else(task, |e| e.fault.clone());
        let interlock = explained.and_then(|e| e.interlock.clone()).or_else(|| view?.interlock.clone());
        Circumstances {
            bad_inputs: bad.take(BAD_NAMED_MAX).map(|i| self.bad_input(words, i)).collect(),
            fault: fault.as_deref().map(str::to_owned),
            link: device_of(def).map(|d| self.link(words, d)).unwrap_or_default(),
            stands_still: explained
                .and_then(|e| e.output.as_ref())
                .is_some_and(|o| Circumstances::stands_still(&o.hold.imposed)),
            interlock: interlock.map(|why| words.hindrance(&why, self.tags.get(why.cause.tag))),
        }
    }

    /// A bad input with what is behind it.
    fn bad_input(&self, words: Words, input: &InputNow) -> String {
        let Some(tag) = input.tag else {
            return words.say(format!("{}（未连接）", input.name), format!("{} (not bound)", input.name));
        };
        let steps = self.way_back(tag, &input.sample);
        let root = steps.last().copied().unwrap_or((tag.0, None));
        let why = self.step(words, root);
        words.say(format!("{}（{why}）", input.name), format!("{} ({why})", input.name))
    }

    /// Why a tag that nobody claims stands as it does.
    fn measured(&self, words: Words, def: &TagDef, sample: &Sample, steps: &[Step]) -> String {
        if let (false, Some(root)) = (sample.quality.is_good(), steps.last()) {
            return self.step(words, *root);
        }
        let age = age(sample.age(self.now.mono));
        match &def.source {
            Source::Device(device) => {
                let name = self.device(words, *device);
                words.say(format!("由 {name} 测得，{age} 前"), format!("it is measured by {name}, {age} ago"))
            }
            Source::Program(program) => {
                words.say(format!("由程序 {program} 计算得出"), format!("it is computed by program {program}"))
            }
            Source::Operator => words.say("由人工输入", "it is entered by a person"),
            Source::System => words.say("由运行系统自身发布", "the runtime publishes it about itself"),
        }
    }

    /// From a tag that is not good back to where that comes from, each with the first input that explains it.
    fn way_back(&self, tag: TagId, sample: &Sample) -> Vec<Step> {
        let engine = &self.app.ctx.engine;
        let (mut steps, mut at, mut quality) = (Vec::new(), tag, sample.quality);
        while !quality.is_good() && steps.len() < STEPS_MAX {
            let as_bad = |t: &TagId| {
                let q = engine.read(*t).quality;
                if quality.is_bad() { q.is_bad() } else { !q.is_good() }
            };
            let inputs = engine.writer(at).map(|w| w.inputs).unwrap_or_default();
            let next = inputs.iter().map(|(_, t)| *t).find(as_bad);
            let next = next.filter(|_| self.outage(at, quality).is_none());
            steps.push((at.0, next.map(|t| t.0)));
            let Some(next) = next.filter(|n| steps.iter().all(|(seen, _)| *seen != n.0)) else { break };
            (at, quality) = (next, engine.read(next).quality);
        }
        steps
    }

    /// One tag of the way back, in words.
    fn step(&self, words: Words, (tag, from): Step) -> String {
        let def = self.tags.get(TagId(tag));
        let sample = self.app.ctx.engine.read(TagId(tag));
        let (title, path) = (words.say(&*def.title.zh, &*def.title.en), &def.path);
        let name = if title == **path { title } else { format!("{title} {path}") };
        let outage = self.outage(TagId(tag), sample.quality);
        let why = match (outage, from) {
            (Some(device), _) => {
                let link = self.link(words, device);
                words.say(format!("通信中断（{link}）"), format!("the link is down ({link})"))
            }
            (_, Some(from)) => {
                let from = self.tags.get(TagId(from)).path.clone();
                words.say(format!("其输入 {from} 不可用"), format!("its input {from} is not good"))
            }
            (_, None) => words.quality(sample.quality.reason(), def),
        };
        words.say(format!("{name}：{why}"), format!("{name}: {why}"))
    }

    fn device(&self, words: Words, device: DeviceId) -> String {
        let known = self.app.ctx.site.devices.iter().find(|d| d.id == device);
        known.map_or_else(|| device.0.to_string(), |d| words.say(&*d.title.zh, &*d.title.en))
    }

    /// The device whose link is down, where that is what makes a tag of this quality bad.
    fn outage(&self, tag: TagId, quality: Quality) -> Option<DeviceId> {
        let by_link = quality.is_bad() && ["link", "stale", "never-received"].contains(&quality.reason());
        let device = device_of(self.tags.get(tag)).filter(|_| by_link)?;
        let links = self.app.ctx.engine.links();
        links.get(usize::from(device.0)).filter(|l| l.state != LinkState::Up).map(|_| device)
    }

    /// A link that is down, in words, with how long ago the device answered last.
    fn link(&self, words: Words, device: DeviceId) -> String {
        let name = self.device(words, device);
        let Some(link) = self.app.ctx.engine.links().into_iter().nth(usize::from(device.0)) else { return name };
        let reason = match &*link.reason {
            "" => words.say("正在连接", "connecting"),
            reason => words.link_reason(reason),
        };
        match link.last_answer.map(|at| age(self.now.mono.since(at))) {
            Some(age) => words
                .say(format!("{name}：{reason}，{age} 前最后应答"), format!("{name}: {reason}, last answer {age} ago")),
            None => words.say(format!("{name}：{reason}"), format!("{name}: {reason}")),
        }
    }

    fn link_json(&self, device: DeviceId) -> Json {
        let link = self.app.ctx.engine.links().into_iter().nth(usize::from(device.0));
        json!({
            "device": device.0,
            "state": link.as_ref().map(|l| l.state.as_str()),
            "reason": link.as_ref().map(|l| l.reason.to_string()),
            "last_answer_ms": link.and_then(|l| Some(millis(self.now.mono.since(l.last_answer?)))),
        })
    }

    /// What keeps the answer from being whole.
    fn note(&self, tag: TagId, explained: Option<&Explained>, scanned: bool) -> Json {
        if explained.is_some() || !scanned {
            return Json::Null;
        }
        let engine = &self.app.ctx.engine;
        let Some(task) = engine.task_of(tag).and_then(|id| engine.tasks().into_iter().find(|t| t.id == id)) else {
            return Json::Null;
        };
        let silence = engine.silence(self.now.mono).get(usize::from(task.id.0)).copied().flatten();
        let (name, period) = (&task.name, age(task.period));
        let (zh, en) = match silence {
            Some(silent) if silent <= task.period * 2 => (
                format!("任务 {name} 每 {period} 扫描一次：请求和输入将在下次扫描后显示"),
                format!("task `{name}` scans every {period}: claims and inputs are told after its next scan"),
            ),
            silent => {
                let silent = silent.map_or_else(|| "?".to_owned(), age);
                (
                    format!("任务 {name} 已 {silent} 未扫描：以下是它最后留下的状态，现在没有程序在控制"),
                    format!(
                        "task `{name}` has not scanned for {silent}: this is what it left, and nothing controls now"
                    ),
                )
            }
        };
        json!({ "zh": zh, "en": en })
    }
}
