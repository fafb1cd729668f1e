//! What the log of actions keeps, and what it does with damaged bytes.

use super::*;
use std::fs;
use std::path::PathBuf;

fn set(tag: &str, value: f64, who: &str) -> Action {
    let what = ActionKind::SetPoint {
        tag: tag.into(),
        old: Some(Value::Float(1.0)),
        new: Value::Float(value),
        unit: "mg/L".into(),
    };
    Action {
        at: Utc::from_millis(1_795_000_000_000),
        who: who.into(),
        role: Role::Operator,
        what,
        station: "10.0.0.7".into(),
    }
}

fn simple(what: ActionKind) -> Action {
    Action { what, ..set("x", 0.0, "li") }
}

fn file(dir: &Path) -> PathBuf {
    dir.join("actions-00001-2026.jsonl")
}

fn three(dir: &Path) {
    let (log, _) = ActionLog::open(dir).unwrap();
    for (n, value) in [(1, 2.0), (2, 2.5), (3, 0.1 + 0.2)] {
        assert_eq!(log.append(set(&format!("t{}", n % 2), value, "li")).unwrap(), n);
    }
}

#[test]
fn every_kind_comes_back_as_it_went() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = ActionLog::open(dir.path()).unwrap();
    let text = || "ASCII, \"quotes\"\nand 中文".to_owned();
    let kinds = [
        set("a", f64::MIN_POSITIVE, "li").what,
        ActionKind::Manual { tag: text(), old: None, new: Value::Bool(true), until: Some(Utc(7)) },
        ActionKind::Manual { tag: "b".into(), old: Some(Value::Int(i64::MAX)), new: Value::from("on"), until: None },
        ActionKind::Release { tag: "b".into() },
        ActionKind::Mode {
            object: "b1".into(),
            old: Mode::Auto,
            new: Mode::Manual,
            until: Some(Utc(9)),
            outputs: vec![("b".into(), Some(Value::Bool(true))), ("c".into(), None)],
        },
        ActionKind::Lock { object: "b1".into(), reason: text(), outputs: vec!["b".into()] },
        ActionKind::Unlock { object: "b1".into() },
        ActionKind::ResetInterlocks { object: "b1".into() },
        ActionKind::LeaseEnded { object: "b1".into(), outputs: vec!["b".into()], mode: Some(Mode::Cascade) },
        ActionKind::Acknowledge { alarm: text() },
        ActionKind::ResetTask { task: "normal".into() },
        ActionKind::Login,
        ActionKind::LoginFailed,
        ActionKind::Logout,
        ActionKind::Custom { text: text() },
    ];
    let actions: Vec<Action> = kinds.into_iter().map(simple).collect();
    for action in &actions {
        log.append(action.clone()).unwrap();
    }
    let of = |log: &ActionLog| log.latest(100).into_iter().rev().map(|r| r.action).collect::<Vec<_>>();
    assert_eq!(of(&log), actions);
    assert_eq!(log.latest(1)[0].seq, 15, "newest first");
    drop(log);
    let (log, report) = ActionLog::open(dir.path()).unwrap();
    assert_eq!(of(&log), actions);
    assert_eq!((report.records, report.broken, report.torn_bytes), (15, None, 0));
}

#[test]
fn entries_are_the_last_set_points() {
    let dir = tempfile::tempdir().unwrap();
    three(dir.path());
    let (log, _) = ActionLog::open(dir.path()).unwrap();
    log.append(set("t0", 9.0, "wang")).unwrap();
    log.append(simple(ActionKind::Manual { tag: "t1".into(), old: None, new: Value::Float(5.0), until: None }))
        .unwrap();
    let entry = |tag: &str, v: f64, who: &str| (tag.to_owned(), Value::Float(v), who.to_owned());
    assert_eq!(log.last_entries(), [entry("t0", 9.0, "wang"), entry("t1", 0.1 + 0.2, "li")]);
}

fn manual(tag: &str, value: f64) -> Action {
    simple(ActionKind::Manual { tag: tag.into(), old: None, new: Value::Float(value), until: None })
}

#[test]
fn holds_are_what_was_taken_by_hand_and_not_released() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = ActionLog::open(dir.path()).unwrap();
    for action in [manual("a", 1.0), manual("b", 2.0), manual("a", 3.0), set("sp", 9.0, "li")] {
        log.append(action).unwrap();
    }
    log.append(simple(ActionKind::Release { tag: "b".into() })).unwrap();
    let holds = |log: &ActionLog| {
        let all = log.holds().into_iter().map(|h| (h.tag, h.value, h.doubtful));
        all.collect::<Vec<_>>()
    };
    let kept = [("a".to_owned(), Value::Float(3.0), false)];
    assert_eq!(holds(&log), kept);
    drop(log);
    let (log, _) = ActionLog::open(dir.path()).unwrap();
    assert_eq!(holds(&log), kept, "after a restart");
}

#[test]
fn a_hold_before_a_damaged_record_is_doubtful_and_one_after_it_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = ActionLog::open(dir.path()).unwrap();
    for action in [manual("a", 1.0), simple(ActionKind::Release { tag: "a".into() })] {
        log.append(action).unwrap();
    }
    drop(log);
    let text = fs::read_to_string(file(dir.path())).unwrap();
    fs::write(file(dir.path()), text.replace("release", "relaxed")).unwrap();
    let (log, report) = ActionLog::open(dir.path()).unwrap();
    assert!(report.broken.is_some());
    log.append(manual("b", 2.0)).unwrap();
    let doubts: Vec<_> = log.holds().into_iter().map(|h| (h.tag, h.doubtful)).collect();
    assert_eq!(doubts, [("a".to_owned(), true), ("b".to_owned(), false)]);
}

#[test]
fn a_torn_last_line_is_removed_and_reported_at_every_length() {
    let dir = tempfile::tempdir().unwrap();
    three(dir.path());
    let whole = fs::read(file(dir.path())).unwrap();
    let two: usize = whole.split_inclusive(|b| *b == b'\n').take(2).map(<[u8]>::len).sum();
    for cut in [two + 1, two + 40, whole.len() - 2, whole.len() - 1] {
        fs::write(file(dir.path()), &whole[..cut]).unwrap();
        let before = ActionLog::verify(dir.path()).unwrap();
        assert_eq!((before.records, before.torn_bytes, before.broken), (2, (cut - two) as u64, None));
        let (log, report) = ActionLog::open(dir.path()).unwrap();
        assert_eq!((report.records, report.torn_bytes, report.broken), (2, (cut - two) as u64, None));
        assert_eq!(log.append(set("t1", 7.0, "li")).unwrap(), 3);
        drop(log);
        let verified = ActionLog::verify(dir.path()).unwrap();
        assert_eq!((verified.records, verified.torn_bytes, verified.broken), (3, 0, None));
    }
}

#[test]
fn any_changed_byte_names_its_record() {
    let dir = tempfile::tempdir().unwrap();
    three(dir.path());
    let whole = fs::read(file(dir.path())).unwrap();
    let lines: Vec<&[u8]> = whole.split_inclusive(|b| *b == b'\n').collect();
    let mut at = 0;
    for (number, line) in (1..).zip(&lines) {
        // Not the line's end itself: without it the line is another one.
        for offset in (0..line.len() - 1).step_by(7) {
            let mut changed = whole.clone();
            changed[at + offset] ^= 0x01;
            fs::write(file(dir.path()), &changed).unwrap();
            let broken =
                ActionLog::verify(dir.path()).unwrap().broken.unwrap_or_else(|| panic!("byte {offset} of {number}"));
            assert_eq!((broken.line, broken.seq), (number, number), "byte {offset}: {broken}");
        }
        at += line.len();
    }
}

#[test]
fn a_removed_or_exchanged_record_is_found() {
    let dir = tempfile::tempdir().unwrap();
    three(dir.path());
    let whole = fs::read_to_string(file(dir.path())).unwrap();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    for (order, line) in [(vec![0, 2], 2), (vec![1, 2], 1), (vec![0, 2, 1], 2), (vec![0, 1, 1, 2], 3)] {
        let text: String = order.iter().map(|i| lines[*i]).collect();
        fs::write(file(dir.path()), text).unwrap();
        let broken = ActionLog::verify(dir.path()).unwrap().broken.unwrap();
        assert_eq!(broken.line, line, "{order:?}: {broken}");
    }
}

#[test]
fn a_broken_log_is_kept_and_goes_on_in_a_new_file() {
    let dir = tempfile::tempdir().unwrap();
    three(dir.path());
    let text = fs::read_to_string(file(dir.path())).unwrap();
    let changed = text.replacen("2.5", "9.5", 1);
    fs::write(file(dir.path()), &changed).unwrap();
    let (log, report) = ActionLog::open(dir.path()).unwrap();
    assert_eq!(report.broken.as_ref().map(|b| b.seq), Some(2));
    assert_eq!(log.append(set("t0", 4.0, "li")).unwrap(), 4);
    drop(log);
    assert_eq!(fs::read_to_string(file(dir.path())).unwrap(), changed, "evidence stays");
    let verified = ActionLog::verify(dir.path()).unwrap();
    assert_eq!(verified.broken.map(|b| b.line), Some(2), "the break stays visible, and nothing else is broken");
    let (log, _) = ActionLog::open(dir.path()).unwrap();
    assert_eq!(log.append(set("t0", 5.0, "li")).unwrap(), 5);
    assert_eq!(log.last_entries().len(), 2);
}

#[test]
fn a_second_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (_log, _) = ActionLog::open(dir.path()).unwrap();
    assert!(matches!(ActionLog::open(dir.path()), Err(LogError::InUse(_))));
}

#[test]
fn a_long_name_is_cut_not_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = ActionLog::open(dir.path()).unwrap();
    log.append(Action { who: "水".repeat(1_000_000), ..simple(ActionKind::LoginFailed) }).unwrap();
    assert_eq!(log.latest(1)[0].action.who.len(), 1023);
}
