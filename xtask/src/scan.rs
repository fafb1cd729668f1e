//! The benches of the scan: `jitter` on real threads, `engine` for what a call and a latch cost.

use crate::bench::said;
use crate::steps::Context;
use std::process::{Child, Command, Stdio};

/// Seconds of each half of `jitter` where nobody says otherwise.
const SECONDS: u64 = 20;
/// Interval of cyclictest in µs, as the fastest task has; and its priority, above the scans as the bare thread's.
const CYCLIC_INTERVAL: &str = "10000";
const CYCLIC_PRIORITY: &str = "82";
/// Longest delay in µs that cyclictest keeps apart; longer ones count as overflows.
const CYCLIC_BUCKETS: &str = "20000";

/// Start jitter of real scan threads, idle and with every processor loaded, beside a bare thread and cyclictest.
pub fn jitter(context: &Context, words: &[&str]) -> Result<(), String> {
    let seconds = seconds(words)?;
    let program = build(context)?;
    let folder = context.target().join("bench-jitter");
    let mut table = Vec::new();
    for busy in [false, true] {
        let mut command = Command::new(&program);
        command.arg("jitter").arg(&folder).arg(context.root.join("scripts")).arg(seconds.to_string());
        command.args(busy.then_some("busy"));
        let cyclic = cyclictest(seconds);
        let ours = said(&mut command);
        // Waited for in any case: a child that nobody waits for would outlive us.
        let theirs = cyclic.map(Child::wait_with_output);
        println!("\n{}, {seconds} s", if busy { "every processor loaded by a busy thread" } else { "idle" });
        let (rows, notes) = rows(&ours?, 9)?;
        notes.iter().for_each(|note| println!("  {note}"));
        table.clear();
        table.extend(rows);
        match theirs {
            Some(Ok(output)) if output.status.success() => {
                let text = String::from_utf8_lossy(&output.stdout);
                match cyclic_row(&text) {
                    Some(row) => table.push(row),
                    None => println!("  cyclictest printed nothing that is understood"),
                }
            }
            Some(Ok(output)) => println!("  cyclictest ended with {}", output.status),
            Some(Err(e)) => println!("  cyclictest: {e}"),
            None => println!("  cyclictest is not installed: nothing beside the bare thread"),
        }
        print!("{}", jitter_table(&table));
    }
    Ok(())
}

/// What a program call and a latch cost in the engine, in processor time.
pub fn engine(context: &Context, words: &[&str]) -> Result<(), String> {
    if let [word, ..] = words {
        return Err(format!("`{word}` is not understood: the bench `engine` takes nothing"));
    }
    // Criterion prints each figure with its bounds, and what it was when last measured here.
    context.cargo(&["bench", "-p", "penstock", "--bench", "engine"])
}

fn seconds(words: &[&str]) -> Result<u64, String> {
    match words {
        [] => Ok(SECONDS),
        ["--seconds", n] => match n.parse() {
            Ok(n @ 1..=86_400) => Ok(n),
            _ => Err(format!("`{n}` is no number of seconds from 1 to 86400")),
        },
        _ => Err("the bench `jitter` takes --seconds N".to_owned()),
    }
}

fn build(context: &Context) -> Result<std::path::PathBuf, String> {
    context.cargo(&["build", "--release", "-p", "penstock", "--example", "scan_bench"])?;
    Ok(context.release("examples/scan_bench"))
}

/// Lines `row` of `fields` fields each and lines `note`, of what the bench's program printed.
fn rows(text: &str, fields: usize) -> Result<(Vec<Vec<String>>, Vec<String>), String> {
    let (mut rows, mut notes) = (Vec::new(), Vec::new());
    for line in text.lines() {
        match line.split('\t').collect::<Vec<_>>().as_slice() {
            ["note", note] => notes.push((*note).to_owned()),
            ["row", row @ ..] if row.len() == fields => rows.push(row.iter().map(|f| (*f).to_owned()).collect()),
            _ => return Err(format!("the bench printed `{line}`")),
        }
    }
    if rows.is_empty() { Err("the bench printed no figure".to_owned()) } else { Ok((rows, notes)) }
}

fn jitter_table(rows: &[Vec<String>]) -> String {
    let line = |f: &[&str]| {
        let figures: String = f[1..].iter().map(|figure| format!(" {figure:>9}")).collect();
        format!("{:<26}{figures}\n", f[0])
    };
    let head = ["start jitter, µs", "p50", "p99", "p99.9", "max", "scans", "missed", "lat. p99", "lat. max"];
    let rows = rows.iter().map(|row| line(&row.iter().map(String::as_str).collect::<Vec<_>>()));
    std::iter::once(line(&head)).chain(rows).collect()
}

/// cyclictest for so many seconds, where it is installed.
fn cyclictest(seconds: u64) -> Option<Child> {
    let mut command = Command::new("cyclictest");
    command.args(["-q", "-m", "-t", "1", "-p", CYCLIC_PRIORITY, "-i", CYCLIC_INTERVAL, "-h", CYCLIC_BUCKETS]);
    command.args(["-D", &seconds.to_string()]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()
}

/// cyclictest's histogram as a row of the table. Its lines are `<µs> <count>`, the rest starts with `#` or a word.
fn cyclic_row(text: &str) -> Option<Vec<String>> {
    let mut counts: Vec<(u64, u64)> = Vec::new();
    for line in text.lines() {
        if let [us, count] = line.split_whitespace().collect::<Vec<_>>()[..]
            && let (Ok(us), Ok(count)) = (us.parse(), count.parse())
        {
            counts.push((us, count));
        }
    }
    let total: u64 = counts.iter().map(|(_, count)| count).sum();
    let said = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim_start_matches(':').split_whitespace().next()?.parse::<u64>().ok()
    };
    let max = said("# Max Latencies")?;
    let overflows = said("# Histogram Overflows").unwrap_or(0);
    let all = total + overflows;
    let at = |per_mille: u64| {
        let wanted = (all * per_mille).div_ceil(1_000);
        let mut seen = 0;
        let found = counts.iter().find(|(_, count)| {
            seen += count;
            seen >= wanted
        });
        found.map_or(max, |(us, _)| *us).to_string()
    };
    if all == 0 {
        return None;
    }
    let name = "cyclictest (10 ms)".to_owned();
    Some(vec![name, at(500), at(990), at(999), max.to_string(), all.to_string(), "-".into(), "-".into(), "-".into()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_histogram_of_cyclictest_becomes_a_row() {
        let text = "# /dev/cpu_dma_latency set to 0us\n# Histogram\n000000 000000\n000003 000990\n000007 000008\n\
                    000040 000001\n# Total: 000000999\n# Min Latencies: 00003\n# Avg Latencies: 00003\n\
                    # Max Latencies: 21034\n# Histogram Overflows: 00001\n";
        let row = cyclic_row(text).unwrap();
        assert_eq!(row, ["cyclictest (10 ms)", "3", "3", "40", "21034", "1000", "-", "-", "-"]);
        assert_eq!(cyclic_row("# Max Latencies: 00000\n"), None);
        assert_eq!(cyclic_row("cyclictest: unable to lock memory\n"), None);
    }

    #[test]
    fn what_the_bench_prints_is_taken_whole_or_refused() {
        let (rows_of, notes) = rows("note\t10000 tags\nrow\ta\t1\tms\n", 3).unwrap();
        assert_eq!((rows_of, notes), (vec![vec!["a".into(), "1".into(), "ms".into()]], vec!["10000 tags".to_owned()]));
        assert!(rows("row\ta\t1\n", 3).unwrap_err().contains("row\ta\t1"));
        assert!(rows("note\tonly this\n", 3).is_err());
        let nine: Vec<String> = (0..9).map(|n| n.to_string()).collect();
        let table = jitter_table(&[nine]);
        let widths: Vec<usize> = table.lines().map(|line| line.chars().count()).collect();
        assert_eq!((widths.len(), widths[0]), (2, widths[1]));
    }

    #[test]
    fn seconds_are_a_number_in_bounds() {
        assert_eq!((seconds(&[]), seconds(&["--seconds", "60"])), (Ok(SECONDS), Ok(60)));
        for wrong in [&["--seconds", "0"][..], &["--seconds", "x"], &["--seconds"], &["60"]] {
            assert!(seconds(wrong).is_err(), "{wrong:?}");
        }
    }
}
