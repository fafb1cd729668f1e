//! What a process takes of the machine, as Linux tells it.

/// Clock ticks of a second in /proc, the same on every Linux.
const TICKS: f64 = 100.0;

/// What a process had taken at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Processor time since its start, s.
    pub cpu_s: f64,
    /// Memory in use, MB of 10^6 bytes; of what several processes share, each has its part (PSS).
    pub memory_mb: f64,
}

impl Sample {
    /// Processor since an earlier moment, in percent of one core over so many seconds.
    pub fn cpu_since(&self, earlier: &Sample, wall_s: f64) -> f64 {
        (self.cpu_s - earlier.cpu_s) / wall_s * 100.0
    }
}

/// Looks at a process and those it started.
pub fn sample(id: u32) -> Result<Sample, String> {
    let ended = |e| format!("process {id} has ended: {e}");
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{id}/{name}")).map_err(ended);
    let none = || format!("process {id} has ended");
    let mut all = of(&read("stat")?, &read("smaps_rollup")?).ok_or_else(none)?;
    for thread in std::fs::read_dir(format!("/proc/{id}/task")).map_err(ended)?.flatten() {
        // A thread or a child may end meanwhile.
        let started = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        let children = started.split_whitespace().filter_map(|child| child.parse().ok());
        for of_child in children.filter_map(|child| sample(child).ok()) {
            all.cpu_s += of_child.cpu_s;
            all.memory_mb += of_child.memory_mb;
        }
    }
    Ok(all)
}

fn of(stat: &str, rollup: &str) -> Option<Sample> {
    // The name stands in brackets and may hold anything; the state is the first field after it.
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    let kib = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?.split_whitespace().next()?;
    Some(Sample { cpu_s: (ticks(11)? + ticks(12)?) / TICKS, memory_mb: kib.parse::<f64>().ok()? * 1_024.0 / 1e6 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_by_its_fields_and_an_ended_one_is_none() {
        let stat = "12 (a) b) S 1 1 1 0 -1 0 0 0 0 0 250 50 0 0 20 0 1 0 5";
        let found = of(stat, "5-7 ---p 0 00:00 0 [rollup]\nRss:  1200 kB\nPss:  1000 kB\n").unwrap();
        assert_eq!(found, Sample { cpu_s: 3.0, memory_mb: 1.024 });
        assert_eq!(found.cpu_since(&Sample { cpu_s: 1.0, memory_mb: 0.0 }, 4.0), 50.0);
        assert_eq!(of(stat, "Name:\ta\n"), None, "a process that has ended has no memory");
        assert!(sample(std::process::id()).is_ok_and(|own| own.memory_mb > 0.1));
    }
}
