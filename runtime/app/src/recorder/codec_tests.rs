//! Journals out and in.

use super::*;
use penstock_model::{BadReason, UncertainReason};

const TASK: TaskId = TaskId(1);

fn at(s: u64) -> Now {
    Now {
        mono: Instant(s * 1_000_000_000),
        utc: Utc(1_700_000_000_000_000_000 + i64::try_from(s).unwrap() * 1_000_000_000),
    }
}

fn sample(tag: u32, value: Option<Value>, quality: Quality, received: u64) -> TagSample {
    TagSample {
        tag: TagId(tag),
        sample: Sample { value, quality, source_time: at(received).utc, received: at(received).mono },
    }
}

fn command(value: Option<Value>) -> Command {
    let (id, tag, device) = (CommandId(u64::MAX), TagId(2), DeviceId(1));
    Command { id, tag, device, value, origin: Origin::Fallback(FallbackCause::Link), granted: Utc(-5) }
}

fn hindrance(tag: TagId) -> Hindrance {
    let cause = Cause { tag, value: Some(Value::Float(7.5)), quality: Quality::Good, text: "b1/vib > 7.1 mm/s".into() };
    Hindrance { text: Text::new("振动高", "Vibration high"), when: "b1/vib > 7.1 mm/s for 2s".into(), cause }
}

fn output() -> OutputMemory {
    let claim =
        |wish, expires| HeldClaim { wish, origin: Origin::Remote("网".into()), priority: Priority::Grid, expires };
    OutputMemory {
        tag: TagId(2),
        claims: vec![claim(Wish::Band(-1.0, 0.1 + 0.2), Some(Instant(9))), claim(Wish::Value(Value::Bool(true)), None)],
        base: Some((Value::Int(i64::MIN), Origin::Retained, at(3))),
        program_wish: Some(Value::Text("开".into())),
        wished: Wished::Keep(Quality::Uncertain(UncertainReason::Frozen)),
        hold: ObjectHold {
            mode: Mode::Local,
            imposed: Imposed::HandedBack(Origin::Local("泵".into()), Some(Value::Float(-0.0))),
            permit_off: Some(Value::Bool(false)),
            tracked: Some(Value::Float(3.5)),
            until: Some(Utc(i64::MIN)),
            interlock: Some(Arc::new(hindrance(TagId(u32::MAX)))),
            blocked: None,
        },
        stands: Grant {
            granted: Some(Value::Float(-0.0)),
            position: Some(f64::MIN_POSITIVE / 3.0),
            holder: Some((Origin::User("li".into()), Priority::Interlock)),
            wished: None,
            bound_by: Some("rate".into()),
            fallback: Some(FallbackCause::Shutdown),
            cause: Some((FallbackCause::Overrun, Instant(u64::MAX))),
            quality: Quality::Bad(BadReason::Stale),
        },
        changed_at: Some(Instant(1)),
        stood_before: Duration::from_nanos(7),
        stands_since: Instant(3),
        stepped_at: Instant(2),
        commanded: None,
        last_command: Some(Arc::new(command(Some(Value::Float(1e300))))),
        last_outcome: Some(Outcome {
            id: CommandId(3),
            tag: TagId(2),
            state: OutcomeState::Failed("no".into()),
            at: Utc(1),
        }),
        failures: 4,
        retry_at: Some(Instant(8)),
    }
}

fn keyframe() -> Keyframe {
    let part = vec![(Cow::Owned("age".to_owned()), Field::Nothing), ("on".to_owned().into(), Field::Switch(true))];
    let memory = vec![
        ("a".to_owned().into(), Field::Number(1.0 / 3.0)),
        ("b".to_owned().into(), Field::Count(u64::MAX)),
        ("c".to_owned().into(), Field::Word("auto".to_owned().into())),
        ("d".to_owned().into(), Field::Numbers(vec![1e100, 5e-324])),
        ("e".to_owned().into(), Field::Parts(vec![part])),
    ];
    let blocks = vec![BlockState { name: "loop".into(), kind: BlockKind::Pid, memory }];
    let state =
        ProgramState { blocks, states: vec![("n".into(), Value::Int(-3))], first: true, last: Some(Instant(4)) };
    let latched = sample(1, Some(Value::Float(2.5)), Quality::Good, 5);
    Keyframe {
        programs: vec![SavedProgram { name: "曝气/z3".into(), script: "a.rhai".into(), state }],
        outputs: vec![output()],
        image: vec![Latched { tag: latched.tag, sample: latched.sample, moved: Instant(6) }],
        fault: Some((FallbackCause::Fault, "broke".into())),
    }
}

/// Every mode, and everything that an object imposes.
fn impositions() -> Vec<Imposition> {
    let value = |origin| Imposed::Value(Value::Int(-4), origin, Priority::Interlock);
    let imposed = [
        value(Origin::Off("P1".into())),
        value(Origin::Interlock("P1".into())),
        value(Origin::Lock("li".into())),
        Imposed::Nothing,
        Imposed::Stand,
        Imposed::HandedBack(Origin::Local("P1".into()), None),
    ];
    let hand = HeldClaim {
        wish: Wish::Value(Value::Float(2.5)),
        origin: Origin::User("li".into()),
        priority: Priority::Manual,
        expires: Some(Instant(70)),
    };
    let hold = |(k, (mode, imposed)): (usize, _)| ObjectHold {
        mode,
        imposed,
        permit_off: Some(Value::Int(0)),
        tracked: None,
        until: (k % 2 == 0).then_some(Utc(70)),
        interlock: (k % 3 == 0).then(|| Arc::new(hindrance(TagId(2)))),
        blocked: (k % 3 < 2).then(|| Arc::new(hindrance(TagId(1)))),
    };
    let all = Mode::ALL.into_iter().zip(imposed).enumerate().map(hold);
    all.map(|hold| Imposition { tag: TagId(2), claims: vec![hand.clone()], hold }).collect()
}

/// A journal with everything in it, and two after it that build on it.
fn journals() -> Vec<ScanJournal> {
    let frozen = Quality::Uncertain(UncertainReason::Frozen);
    let first = ScanJournal {
        task: TASK,
        scan: 7,
        changes: 2,
        now: at(10),
        jitter: Duration::from_micros(3),
        missed_now: 5,
        reset: true,
        links_down: vec![DeviceId(0), DeviceId(1)],
        samples: vec![
            sample(3, Some(Value::Float(1.5)), Quality::Good, 9),
            sample(0, None, Quality::Bad(BadReason::Initial), 9),
            sample(1, Some(Value::Int(-7)), frozen, 12),
        ],
        claims: vec![Claim {
            tag: TagId(2),
            wish: Wish::Release,
            origin: Origin::User("li".into()),
            priority: Priority::Manual,
            lease: Some(Duration::from_secs(60)),
        }],
        impositions: impositions(),
        outcomes: vec![Outcome { id: CommandId(1), tag: TagId(2), state: OutcomeState::ReadBack, at: Utc(0) }],
        stop: Some(TimeStop { program: Some("p".into()), message: "too long".into() }),
        written: vec![
            Written { tag: TagId(2), value: Some(1.0.into()), quality: Quality::Good, wish: Some(1.0.into()) },
            Written { tag: TagId(1), value: None, quality: frozen, wish: None },
        ],
        commands: vec![Issued { command: Arc::new(command(None)), refused: true }],
        key: Some(Box::new(keyframe())),
    };
    let next = |scan, now, samples| ScanJournal { task: TASK, scan, now, samples, ..ScanJournal::default() };
    vec![
        first,
        next(
            8,
            at(11),
            vec![
                sample(3, Some(Value::Float(1.5)), Quality::Good, 11),
                sample(1, Some(Value::Int(-7)), Quality::Good, 11),
            ],
        ),
        next(9, at(12), vec![sample(3, Some(Value::Float(-0.0)), Quality::Good, 12)]),
    ]
}

fn written() -> Vec<u8> {
    let (mut out, mut memory) = (Out::default(), Memory::default());
    for journal in journals() {
        out.journal(&journal, &mut memory);
    }
    out.0
}

fn read(bytes: &[u8]) -> Result<Vec<ScanJournal>, Torn> {
    let tags: Vec<TagId> = (0..4).map(TagId).collect();
    let devices = [DeviceId(0), DeviceId(1)];
    let (mut from, mut memory, mut read) = (In::new(bytes, &tags, &devices), Memory::default(), Vec::new());
    while !from.is_empty() {
        read.push(from.journal(TASK, &mut memory)?);
    }
    Ok(read)
}

#[test]
fn what_was_written_is_read_to_the_bit() {
    // Text tells the sign of a zero apart, equality does not.
    assert_eq!(format!("{:?}", read(&written()).unwrap()), format!("{:?}", journals()));
}

#[test]
fn a_confirmed_sample_takes_little_room() {
    let (mut out, mut memory) = (Out::default(), Memory::default());
    for journal in journals() {
        out.0.clear();
        out.journal(&journal, &mut memory);
    }
    assert!(out.0.len() < 60, "{}", out.0.len());
}

#[test]
fn bytes_that_are_cut_or_changed_are_refused_or_read_as_others_and_never_break() {
    let whole = written();
    for cut in 0..whole.len() {
        let journals = read(&whole[..cut]).map(|j| j.len());
        assert!(journals.is_ok_and(|n| n < 3) || journals.is_err(), "cut at {cut}");
    }
    for at in 0..whole.len() {
        for bit in [0x01, 0x10, 0x80, 0xFF] {
            let mut changed = whole.clone();
            changed[at] ^= bit;
            // Whatever comes of it, it comes: checksums keep such bytes away from here.
            let _ = read(&changed);
        }
    }
}

#[test]
fn a_tag_that_the_run_does_not_know_is_refused() {
    let (mut out, mut memory) = (Out::default(), Memory::default());
    out.journal(&ScanJournal { samples: vec![sample(4, None, Quality::Good, 1)], ..journals().remove(2) }, &mut memory);
    assert_eq!(read(&out.0), Err(Torn));
}
