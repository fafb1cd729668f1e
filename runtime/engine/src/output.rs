//! The arbiter: one per output or entry. Weighs claims, fallbacks and the program's wish, and grants one value.
//!
//! Duties: the strongest live claim decides; bands of stronger claims, the tag's limits, its rate and its minimum times
//! bind the value; whoever bound it is recorded. `propose` is without side effects on what stands, so a scan that
//! faults half-way is simply weighed again; `commit` makes the proposal stand.
//!
//! Order of strength: shutdown · what its object imposes (see `object`) · interlock · a person · lost link · grid · optimiser · fault, overrun, bad input ·
//! the program (for an entry: the value entered, which is a person's). An interlock is bound by the limits alone; what
//! shutdown grants is not slowed either, because no later scan would finish the way.

mod carry;
mod hold;

use crate::lease::Lease;
use crate::object::{Hindrance, Imposed};
use crate::view::OutputView;
use penstock_model::{
    BadReason, Claim, Command, DeviceId, Fallback, FallbackAction, FallbackCause, Instant, Now, ObjectEventKind,
    Origin, Outcome, OutcomeState, Priority, Quality, Sample, TagDef, TagId, UncertainReason, Utc, Value, ValueType,
    Wish, WritePolicy, limits,
};
use std::sync::Arc;
use std::time::Duration;

/// Failed commands that are issued again at the next scan; after these the device gets a rest between tries.
const RETRIES_AT_ONCE: u32 = 3;
/// The rest between further tries: a refusing device is not hammered, a repaired one is noticed soon.
const RETRY_EVERY: Duration = Duration::from_secs(10);

/// What the output's program wants in this scan.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Wished {
    /// No program writes this tag.
    Nobody,
    /// This value, with the quality its inputs left it.
    Value(Value, Quality),
    /// What it wanted before.
    Keep(Quality),
}

#[derive(Debug, Clone)]
struct Live {
    wish: Wish,
    origin: Origin,
    priority: Priority,
    lease: Option<Lease>,
}

/// Why an output must not be started now, and where it stays.
#[derive(Debug, Clone)]
pub(crate) struct Permit {
    pub off: Value,
    pub why: Arc<Hindrance>,
}

/// What is granted, and why.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    pub granted: Option<Value>,
    /// The number behind `granted`, unrounded: the base of the rate limit.
    position: Option<f64>,
    pub holder: Option<(Origin, Priority)>,
    wished: Option<Value>,
    bound_by: Option<Arc<str>>,
    pub fallback: Option<FallbackCause>,
    cause: Option<(FallbackCause, Instant)>,
    pub quality: Quality,
}

pub(crate) struct Output {
    pub tag: TagId,
    pub entry: bool,
    value_type: ValueType,
    device: Option<DeviceId>,
    limits: Option<(f64, f64)>,
    rate_per_s: Option<f64>,
    min_on: Duration,
    min_off: Duration,
    fallback: Fallback,
    pub write: WritePolicy,
    claims: Vec<Live>,
    /// An entry's value and who entered it when.
    base: Option<(Value, Origin, Now)>,
    program_wish: Option<Value>,
    imposed: Imposed,
    interlock: Option<Arc<Hindrance>>,
    /// Set while a start is not permitted.
    permit: Option<Permit>,
    /// What the feedback shows while the panel in the field has it.
    tracked: Option<Value>,
    until: (Option<Utc>, bool),
    pub stands: Verdict,
    proposal: Verdict,
    changed_at: Option<Instant>,
    /// For how long it had stood so before `changed_at`: in the run before this one.
    stood_before: Duration,
    stepped_at: Instant,
    /// Since when the granted value stands.
    stands_since: Instant,
    commanded: Option<Value>,
    last_command: Option<Arc<Command>>,
    last_outcome: Option<Outcome>,
    failures: u32,
    retry_at: Option<Instant>,
}

impl Output {
    pub fn new(def: &TagDef, now: Now) -> Output {
        let out = def.output.as_ref();
        let nothing = Verdict {
            granted: None,
            position: None,
            holder: None,
            wished: None,
            bound_by: None,
            fallback: None,
            cause: None,
            quality: Quality::Bad(BadReason::Initial),
        };
        Output {
            tag: def.id,
            entry: def.entry.is_some(),
            value_type: def.value_type,
            device: out.and_then(|o| o.device),
            limits: out.and_then(|o| o.limits),
            rate_per_s: out.and_then(|o| o.rate_per_s),
            min_on: out.map_or(Duration::ZERO, |o| o.min_on),
            min_off: out.map_or(Duration::ZERO, |o| o.min_off),
            fallback: out.map_or_else(|| Fallback::always(FallbackAction::Hold), |o| o.fallback.clone()),
            write: out.map_or_else(WritePolicy::default, |o| o.write.clone()),
            claims: Vec::new(),
            base: None,
            program_wish: None,
            imposed: Imposed::Nothing,
            interlock: None,
            permit: None,
            tracked: None,
            until: (None, false),
            stands: nothing.clone(),
            proposal: nothing,
            changed_at: None,
            stood_before: Duration::ZERO,
            stepped_at: now.mono,
            stands_since: now.mono,
            commanded: None,
            last_command: None,
            last_outcome: None,
            failures: 0,
            retry_at: None,
        }
    }

    pub fn device(&self) -> Option<DeviceId> {
        self.device
    }

    /// The value of an entry before or without a claim of this run.
    pub fn enter(&mut self, value: Value, origin: Origin, now: Now) {
        self.base = Some((value, origin, now));
    }

    /// Takes a validated claim. Persons are one: the last of them decides, and each may release.
    pub fn claim(&mut self, claim: Claim, now: Now) {
        let Claim { wish, origin, priority, lease, .. } = claim;
        if self.entry && priority == Priority::Manual {
            if let Wish::Value(value) = wish {
                self.enter(value, origin, now);
            }
            return;
        }
        let band = matches!(wish, Wish::Band(..));
        let release = wish == Wish::Release;
        self.claims.retain(|c| {
            let same_author = c.priority == priority && (priority == Priority::Manual || c.origin == origin);
            let same_kind = release || matches!(c.wish, Wish::Band(..)) == band;
            !(same_author && same_kind)
        });
        if release {
            return;
        }
        if self.claims.len() >= limits::CLAIMS_WAITING_MAX {
            // More authors than a site has: the oldest of the weakest gives way.
            let weakest = self.claims.iter().map(|c| c.priority).min();
            if let Some(i) = self.claims.iter().position(|c| Some(c.priority) == weakest) {
                self.claims.remove(i);
            }
        }
        self.claims.push(Live { wish, origin, priority, lease: lease.map(|l| Lease::new(l, now)) });
    }

    /// Ends claims whose lease has run out. What is to be told of a hold by hand.
    pub fn expire(&mut self, now: Instant) -> Option<ObjectEventKind> {
        let mut told = None;
        self.claims.retain_mut(|c| {
            let Some(lease) = &mut c.lease else { return true };
            let over = lease.is_over(now);
            if let (Priority::Manual, true) = (c.priority, over || lease.announces(now)) {
                let who: Arc<str> = match &c.origin {
                    Origin::User(name) => name.clone(),
                    other => other.to_string().into(),
                };
                let until = lease.until;
                told = Some(if over {
                    ObjectEventKind::LeaseEnded { who }
                } else {
                    ObjectEventKind::LeaseEnding { who, until }
                });
            }
            !over
        });
        told
    }

    fn strongest(&self) -> Option<(&Live, &Value)> {
        let values = self.claims.iter().filter_map(|c| match &c.wish {
            Wish::Value(v) => Some((c, v)),
            Wish::Band(..) | Wish::Release => None,
        });
        values.max_by_key(|(c, _)| c.priority)
    }

    /// The value of somebody stronger than the program, while there is one.
    pub fn overruling(&self) -> Option<&Value> {
        match &self.imposed {
            Imposed::Value(value, ..) => return Some(value),
            Imposed::HandedBack(..) => return self.tracked.as_ref(),
            Imposed::Nothing | Imposed::Stand => {}
        }
        self.strongest().filter(|(c, _)| c.priority > Priority::Program).map(|(_, value)| value)
    }

    /// True when something else than the program's wish was granted at the last scan. A rate limit does not count: the
    /// output is on its way to the wish.
    pub fn was_held(&self) -> bool {
        let v = &self.stands;
        v.fallback.is_some()
            || v.bound_by.as_deref().is_some_and(|b| b != "rate")
            || v.holder.as_ref().is_some_and(|(_, p)| *p > Priority::Program)
    }

    /// Weighs this scan. `cause`: why the output has lost its reason to move, if it has.
    pub fn propose(&mut self, now: Instant, program: Option<&Arc<str>>, wished: &Wished, cause: Option<FallbackCause>) {
        let since = cause.map(|cause| match self.stands.cause {
            Some((before, since)) if before == cause => (cause, since),
            _ => (cause, now),
        });
        let mut verdict = self.permitted(self.choose(program, wished, since, now));
        verdict.cause = since;
        let priority = match (&verdict.holder, verdict.fallback) {
            (_, Some(FallbackCause::Shutdown)) => Priority::Interlock,
            (Some((_, priority)), _) => *priority,
            (None, _) => Priority::Program,
        };
        if let Some(value) = verdict.granted.take() {
            let (value, position, bound_by) = self.bind(value, priority, now);
            verdict.granted = Some(value);
            verdict.position = position;
            verdict.bound_by = verdict.bound_by.take().or(bound_by);
        }
        self.proposal = verdict;
    }

    fn choose(
        &self,
        program: Option<&Arc<str>>,
        wished: &Wished,
        cause: Option<(FallbackCause, Instant)>,
        now: Instant,
    ) -> Verdict {
        let claim = self.strongest();
        let at_least = |p: Priority| claim.filter(|(c, _)| c.priority >= p);
        let person = if self.entry { Priority::Interlock } else { Priority::Manual };
        match cause {
            Some((FallbackCause::Shutdown, _)) => return self.fall_back(cause, now),
            _ if self.imposed_verdict().is_some_and(|(_, p)| claim.is_none_or(|(c, _)| c.priority <= p)) => {
                return self.imposed_verdict().map_or_else(|| self.hold(Quality::Good), |(verdict, _)| verdict);
            }
            _ if at_least(person).is_some() => {}
            Some((FallbackCause::Link, _)) if self.base.is_none() => return self.fall_back(cause, now),
            _ if at_least(Priority::Optimiser).is_some() && self.base.is_none() => {}
            Some(_) if self.base.is_none() => return self.fall_back(cause, now),
            _ => {
                if let Some((value, origin, _)) = &self.base {
                    return verdict(value, Some((origin.clone(), Priority::Manual)), Quality::Good);
                }
                let holder = program.map(|p| (Origin::Program(p.clone()), Priority::Program));
                match wished {
                    Wished::Value(value, quality) => return verdict(value, holder, *quality),
                    Wished::Keep(quality) => {
                        return match self.program_wish.as_ref().or(self.stands.granted.as_ref()) {
                            Some(value) => verdict(value, holder, *quality),
                            None => self.hold(Quality::Bad(BadReason::Initial)),
                        };
                    }
                    Wished::Nobody => {}
                }
            }
        }
        match claim {
            Some((c, value)) => verdict(value, Some((c.origin.clone(), c.priority)), Quality::Good),
            None if self.stands.granted.is_some() => self.hold(Quality::Good),
            None => self.hold(Quality::Bad(BadReason::Initial)),
        }
    }

    /// What its object imposes, and how strong that is.
    fn imposed_verdict(&self) -> Option<(Verdict, Priority)> {
        match &self.imposed {
            Imposed::Nothing => None,
            Imposed::Value(value, origin, priority) => {
                // A value that is imposed is of the tag's type: the loader and the build have checked it.
                Some((verdict(value, Some((origin.clone(), *priority)), Quality::Good), *priority))
            }
            Imposed::Stand => {
                let known = self.stands.granted.is_some();
                let quality = if known { Quality::Good } else { Quality::Bad(BadReason::Initial) };
                Some((self.hold(quality), Priority::Manual))
            }
            Imposed::HandedBack(origin, _) => {
                let quality = Quality::Uncertain(UncertainReason::Substituted);
                let position = self.tracked.as_ref().and_then(Value::as_f64);
                let holder = Some((origin.clone(), Priority::Interlock));
                let back = Verdict { granted: None, wished: None, position, holder, ..self.hold(quality) };
                Some((back, Priority::Interlock))
            }
        }
    }

    /// Keeps an output that is off from being started while that is not permitted.
    fn permitted(&self, chosen: Verdict) -> Verdict {
        let Some(permit) = &self.permit else { return chosen };
        let forced = chosen.fallback == Some(FallbackCause::Shutdown)
            || chosen.holder.as_ref().is_some_and(|(_, p)| *p >= Priority::Interlock);
        let starts = chosen.granted.as_ref().is_some_and(|value| *value != permit.off)
            && self.stands.granted.as_ref().is_none_or(|before| *before == permit.off);
        if forced || !starts {
            return chosen;
        }
        // Where nothing was granted yet nothing is sent: whoever starts it meanwhile is not stopped by this.
        Verdict {
            granted: self.stands.granted.clone(),
            position: self.stands.position,
            bound_by: Some("permissive".into()),
            ..chosen
        }
    }

    fn fall_back(&self, cause: Option<(FallbackCause, Instant)>, now: Instant) -> Verdict {
        let Some((cause, since)) = cause else { return self.hold(Quality::Good) };
        let quality = Quality::Bad(match cause {
            FallbackCause::BadInput => BadReason::Input,
            FallbackCause::Fault => BadReason::ProgramFault,
            FallbackCause::Overrun => BadReason::Overrun,
            FallbackCause::Link => BadReason::Link,
            // The runtime never sees its own crash: its supervisor acts on that.
            FallbackCause::Shutdown | FallbackCause::Crash => BadReason::Shutdown,
        });
        let target = match self.fallback.action(cause) {
            FallbackAction::Hold => None,
            FallbackAction::HoldThen(time, _) if now.since(since) < *time => None,
            FallbackAction::HoldThen(_, value) | FallbackAction::Value(value) => value.convert(self.value_type),
            FallbackAction::Release => {
                let released = Verdict { granted: None, position: None, wished: None, ..self.hold(quality) };
                return Verdict { fallback: Some(cause), holder: Some(fallback_holder(cause)), ..released };
            }
        };
        let held = match target {
            Some(value) => verdict(&value, None, quality),
            None => self.hold(quality),
        };
        Verdict { fallback: Some(cause), holder: Some(fallback_holder(cause)), ..held }
    }

    fn hold(&self, quality: Quality) -> Verdict {
        Verdict {
            granted: self.stands.granted.clone(),
            position: self.stands.position,
            holder: None,
            wished: self.stands.granted.clone(),
            bound_by: None,
            fallback: None,
            cause: None,
            quality,
        }
    }

    /// Binds a value by stronger bands, limits, rate and minimum times.
    fn bind(&self, value: Value, priority: Priority, now: Instant) -> (Value, Option<f64>, Option<Arc<str>>) {
        match value {
            Value::Bool(on) => {
                let (on, bound_by) = self.bind_switch(on, priority, now);
                (Value::Bool(on), None, bound_by)
            }
            Value::Int(_) | Value::Float(_) => {
                let (x, bound_by) = self.bind_number(value.as_f64().unwrap_or(0.0), priority, now);
                #[expect(clippy::cast_possible_truncation, reason = "saturating, and within the tag's limits")]
                let bound =
                    if self.value_type == ValueType::Int { Value::Int(x.round() as i64) } else { Value::Float(x) };
                (bound, Some(x), bound_by)
            }
            Value::Text(_) => (value, None, None),
        }
    }

    fn bind_number(&self, wish: f64, priority: Priority, now: Instant) -> (f64, Option<Arc<str>>) {
        let (mut x, mut bound_by) = (wish, None);
        let mut apply = |x: &mut f64, low: f64, high: f64, who: &dyn Fn() -> Arc<str>| {
            let bound = x.max(low).min(high);
            if bound != *x {
                *x = bound;
                bound_by = Some(who());
            }
        };
        let mut bands: Vec<&Live> = self.claims.iter().filter(|c| c.priority > priority).collect();
        // The strongest last: where two bands exclude each other its word stands.
        bands.sort_by_key(|c| c.priority);
        for claim in bands {
            if let Wish::Band(low, high) = claim.wish {
                apply(&mut x, low, high, &|| claim.origin.to_string().into());
            }
        }
        if let Some((low, high)) = self.limits {
            apply(&mut x, low, high, &|| "limit".into());
        }
        if let (Some(rate), Some(before), true) =
            (self.rate_per_s, self.stands.position, priority < Priority::Interlock)
        {
            let step = rate * now.since(self.stepped_at).as_secs_f64();
            apply(&mut x, before - step, before + step, &|| "rate".into());
        }
        (x, bound_by)
    }

    fn bind_switch(&self, wish: bool, priority: Priority, now: Instant) -> (bool, Option<Arc<str>>) {
        let (Some(Value::Bool(before)), Some(changed)) = (&self.stands.granted, self.changed_at) else {
            return (wish, None);
        };
        let (least, word) = if *before { (self.min_on, "min on time") } else { (self.min_off, "min off time") };
        if wish != *before && priority < Priority::Interlock && now.since(changed) + self.stood_before < least {
            (*before, Some(word.into()))
        } else {
            (wish, None)
        }
    }

    /// The tag's sample as proposed.
    pub fn sample(&self, now: Now) -> Sample {
        let v = &self.proposal;
        // An entry is as old as its entering; a computed output as young as its scan.
        let since = self.base.as_ref().filter(|(value, ..)| Some(value) == v.granted.as_ref()).map_or(now, |b| b.2);
        Sample {
            value: v.granted.clone().or_else(|| self.tracked.clone()),
            quality: v.quality,
            source_time: since.utc,
            received: since.mono,
        }
    }

    /// Makes the proposal stand.
    pub fn commit(&mut self, now: Instant, wished: &Wished) {
        if let Wished::Value(value, _) = wished {
            self.program_wish = Some(value.clone());
        }
        if self.proposal.granted != self.stands.granted {
            // The first value of a run says nothing about when the machine was switched.
            self.changed_at = self.stands.granted.as_ref().map(|_| now);
            self.stands_since = now;
            self.stood_before = Duration::ZERO;
        }
        self.stepped_at = now;
        self.stands = self.proposal.clone();
    }

    /// The value to command now, `Some(None)` to hand the output back: on a change, and again after a failure.
    pub fn due(&self, now: Instant, link_down: bool) -> Option<Option<Value>> {
        self.device?;
        let changed = self.stands.granted != self.commanded;
        // The driver asserts its last command again once a lost link is back: nothing to do meanwhile.
        let again = !link_down && self.retry_at.is_some_and(|at| now >= at);
        ((changed && !self.keeps_back(now)) || again).then(|| self.stands.granted.clone())
    }

    /// True while a program's change is too small to be worth a write and has not stood for long. What a person, a
    /// fallback or a limit decides is always written, and so is either end of the range: 0 means stop.
    pub fn keeps_back(&self, now: Instant) -> bool {
        let v = &self.stands;
        let program = matches!(v.holder, Some((Origin::Program(_), Priority::Program)));
        let number = |value: &Option<Value>| value.as_ref().and_then(Value::as_f64);
        let (Some(before), Some(after), true) = (number(&self.commanded), number(&v.granted), program) else {
            return false;
        };
        let at_end = after == 0.0 || self.limits.is_some_and(|(low, high)| after <= low || after >= high);
        before != after
            && (before - after).abs() < self.write.deadband
            && now.since(self.stands_since) < self.write.quiet
            && !at_end
    }

    /// The value last commanded.
    pub fn stands_commanded(&self) -> Option<&Value> {
        self.commanded.as_ref()
    }

    /// The wish behind what stands: whose, which, and what bound it.
    pub fn request(&self) -> (Origin, Option<&Value>, Option<&Arc<str>>) {
        (self.origin(), self.stands.wished.as_ref(), self.stands.bound_by.as_ref())
    }

    /// Forgets what a program wanted before its restart, so that `io.keep` keeps what is granted.
    pub fn forget_wish(&mut self) {
        self.program_wish = None;
    }

    pub fn origin(&self) -> Origin {
        self.stands.holder.as_ref().map_or(Origin::Retained, |(origin, _)| origin.clone())
    }

    pub fn commanded(&mut self, command: Arc<Command>) {
        if self.commanded != command.value {
            self.failures = 0;
        }
        self.commanded.clone_from(&command.value);
        self.last_command = Some(command);
        self.last_outcome = None;
        self.retry_at = None;
    }

    /// Takes news of the last command; news of older ones is of no use any more.
    pub fn outcome(&mut self, outcome: Outcome, now: Instant) {
        if self.last_command.as_ref().is_none_or(|c| c.id != outcome.id) {
            return;
        }
        match outcome.state {
            OutcomeState::Failed(_) => {
                self.failures = self.failures.saturating_add(1);
                let rest = if self.failures <= RETRIES_AT_ONCE { Duration::ZERO } else { RETRY_EVERY };
                self.retry_at = Some(now + rest);
            }
            OutcomeState::Acknowledged | OutcomeState::ReadBack => {
                self.failures = 0;
                self.retry_at = None;
            }
            OutcomeState::Sent | OutcomeState::Superseded => {}
        }
        self.last_outcome = Some(outcome);
    }

    pub fn view(&self) -> OutputView {
        let v = &self.stands;
        let own = self.claims.iter().filter(|c| c.priority == Priority::Manual).find_map(|c| c.lease.as_ref());
        let (until, ending) = own.map_or(self.until, |l| (Some(l.until), l.is_ending()));
        let person = v.holder.as_ref().is_some_and(|(o, p)| *p == Priority::Manual && !matches!(o, Origin::Off(_)));
        OutputView {
            tag: self.tag,
            manual: !self.entry && person,
            holder: v.holder.clone(),
            granted: v.granted.clone(),
            wished: v.wished.clone(),
            bound_by: v.bound_by.clone(),
            fallback: v.fallback,
            interlock: self.interlock.clone(),
            blocked: self
                .permit
                .as_ref()
                .filter(|p| v.granted.as_ref().is_none_or(|g| *g == p.off))
                .map(|p| p.why.clone()),
            until,
            ending,
            last_command: self.last_command.clone(),
            last_outcome: self.last_outcome.clone(),
        }
    }
}

fn fallback_holder(cause: FallbackCause) -> (Origin, Priority) {
    (Origin::Fallback(cause), Priority::Program)
}

fn verdict(value: &Value, holder: Option<(Origin, Priority)>, quality: Quality) -> Verdict {
    Verdict {
        granted: Some(value.clone()),
        position: None,
        holder,
        wished: Some(value.clone()),
        bound_by: None,
        fallback: None,
        cause: None,
        quality,
    }
}
