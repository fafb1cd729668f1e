//! Starts and stops the machines of a station by demand.
//!
//! With `C` the capacity of the machines that are ordered (and of those that run by hand):
//!
//! ```text
//! one more    when demand > up·C                       for up_after
//! one fewer   when demand < down·(C − C of the next to stop)   for down_after
//! one fewer   when a surge margin < guard and demand < min(up, 1)·(C − C of the next to stop)   for guard_after
//! ```
//!
//! So what the surge guard takes away, the demand does not at once ask for again.
//!
//! The usual figures for blowers, which are the defaults: up 0.95 for 5 to 10 min, down 0.90 for 10 to 20 min, 2 to 4
//! starts an hour. A machine that faults is replaced by the next one at once, whatever the demand. Minimum times and the
//! starts of an hour bind every start; a fault alone stops a machine before its minimum time. What a person starts and
//! stops counts for both: it is the motor that they protect. What is waited for is said. Own rule.

use super::FunctionBlock;
use super::args::{Call, Reset, bounded, result, whole};
use super::logic::OnDelay;
use super::machines::{MACHINES_MAX, Machine, STARTS_MAX, Unit};
use super::memory::Pass;
use rhai::{Array, Dynamic};

/// Settings of a station. Times in s.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Station {
    /// The fewest hours start first and the most stop first; otherwise they start in their order and stop in reverse.
    pub by_hours: bool,
    /// Share of the capacity above which one more is wanted.
    pub up: f64,
    pub up_after: f64,
    /// Share of the remaining machines' capacity below which one can go.
    pub down: f64,
    pub down_after: f64,
    pub min_run: f64,
    pub min_stop: f64,
    pub starts_per_hour: usize,
    pub min_running: usize,
    pub max_running: usize,
    /// Between two starts.
    pub gap: f64,
    /// Within which an ordered machine runs.
    pub start_timeout: Option<f64>,
    /// Surge margin below which fewer machines are better.
    pub guard: Option<f64>,
    pub guard_after: f64,
}

/// Names of the settings.
pub(crate) const SETTINGS: &[&str] = &[
    "down",
    "down_after",
    "gap",
    "guard",
    "guard_after",
    "max_running",
    "min_run",
    "min_running",
    "min_stop",
    "order",
    "start_timeout",
    "starts_per_hour",
    "up",
    "up_after",
];

impl Station {
    fn read(call: &Call) -> Result<Station, String> {
        let share = |name, usual| call.within(name, 0.0..=1.5).map(|x| x.unwrap_or(usual));
        let time = |name, usual| call.time_or_none(name).map(|t| t.unwrap_or(usual));
        let station = Station {
            by_hours: call.word("order", &["hours", "fixed"])? == 0,
            up: share("up", 0.95)?,
            up_after: time("up_after", 300.0)?,
            down: share("down", 0.9)?,
            down_after: time("down_after", 900.0)?,
            min_run: time("min_run", 0.0)?,
            min_stop: time("min_stop", 0.0)?,
            starts_per_hour: call.count("starts_per_hour")?.unwrap_or(4),
            min_running: call.count("min_running")?.unwrap_or(1),
            max_running: call.count("max_running")?.unwrap_or(MACHINES_MAX),
            gap: time("gap", 10.0)?,
            start_timeout: call.time_above_0("start_timeout", "leave it out to trust the machines")?,
            guard: call.number("guard")?,
            guard_after: time("guard_after", 10.0)?,
        };
        if station.down > station.up {
            // With equal machines, what stops one would at once ask for it again.
            return Err(format!("`down` {} is above `up` {}", station.down, station.up));
        }
        if station.min_running > station.max_running {
            return Err("`min_running` is above `max_running`".to_owned());
        }
        if !(1..=STARTS_MAX).contains(&station.starts_per_hour) {
            return Err(format!("`starts_per_hour` lies between 1 and {STARTS_MAX}"));
        }
        Ok(station)
    }
}

/// Why the station has not the machines that are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Waiting {
    #[default]
    Nothing,
    /// No machine is left.
    NoMachine,
    /// Those left have not stood long enough.
    MinStop,
    /// Those left have had their starts of the hour.
    Starts,
    /// The next to stop has not run long enough.
    MinRun,
    /// The last start was a moment ago.
    Gap,
}

impl Waiting {
    /// Every reason, in the order of [`Waiting::WORDS`].
    const ALL: [Waiting; 6] = [Self::Nothing, Self::NoMachine, Self::MinStop, Self::Starts, Self::MinRun, Self::Gap];
    const WORDS: &'static [&'static str] = &["", "no_machine", "min_stop", "starts", "min_run", "gap"];

    fn place(self) -> usize {
        Self::ALL.iter().position(|w| *w == self).unwrap_or(0)
    }

    fn as_str(self) -> &'static str {
        Self::WORDS[self.place()]
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Sequencer {
    units: Vec<Unit>,
    /// Machines of ours that should be ordered.
    wanted: usize,
    /// The one more that is still missing was asked for by the demand alone, and goes with it.
    by_demand: bool,
    up: OnDelay,
    down: OnDelay,
    guard: OnDelay,
    since_start: Option<f64>,
    waiting: Waiting,
}

impl Sequencer {
    /// One step of `dt` seconds: afterwards `units[i].ordered` is the order for machine `i`.
    pub fn run(&mut self, demand: f64, machines: &[Machine], s: &Station, dt: f64) {
        self.take_over(machines);
        self.since_start = self.since_start.map(|t| bounded(t + dt));
        for (unit, machine) in self.units.iter_mut().zip(machines) {
            unit.advance(machine, s.start_timeout, dt);
            if !machine.auto {
                // It is left to its person; a start and a stop by hand begin the minimum times too.
                if unit.ordered != machine.running {
                    unit.order(machine.running);
                }
            } else if unit.ordered && (!machine.available || unit.failed) {
                unit.order(false);
                self.by_demand = false;
            }
        }
        self.decide(demand, machines, s, dt);
        let usable = (0..machines.len()).filter(|i| self.usable(*i, machines)).count();
        self.waiting = if self.wanted.max(s.min_running) > usable { Waiting::NoMachine } else { Waiting::Nothing };
        self.wanted = self.wanted.clamp(s.min_running, s.max_running).min(usable);
        self.order(machines, s);
    }

    /// Failed machines may be tried again and every delay begins anew. Orders, hours, minimum times, the gap and the
    /// starts of the hour stay: they protect the machines, whatever a program wants.
    pub fn begin_again(&mut self) {
        for unit in &mut self.units {
            unit.forgive();
        }
        self.by_demand = false;
        (self.up, self.down, self.guard) = Default::default();
        self.waiting = Waiting::Nothing;
    }

    /// Machines that are new, and machines that a person took or gave back.
    fn take_over(&mut self, machines: &[Machine]) {
        self.units.truncate(machines.len());
        for (unit, machine) in self.units.iter_mut().zip(machines) {
            if machine.auto == unit.hand {
                // The wish goes with the machine: what a person takes is not replaced, what is given back stays.
                if !machine.auto && unit.ordered {
                    self.wanted = self.wanted.saturating_sub(1);
                } else if machine.auto && machine.running && machine.available {
                    self.wanted += 1;
                    // Whoever gives it back running has seen to it.
                    unit.failed = false;
                }
                unit.hand = !machine.auto;
            }
        }
        for machine in machines.iter().skip(self.units.len()) {
            self.wanted += usize::from(machine.running && machine.auto && machine.available);
            self.units.push(Unit::adopt(machine));
        }
    }

    fn usable(&self, i: usize, machines: &[Machine]) -> bool {
        machines[i].available && machines[i].auto && !self.units[i].failed
    }

    fn ours(&self, machines: &[Machine]) -> impl Iterator<Item = usize> {
        (0..machines.len()).filter(|i| self.usable(*i, machines) && self.units[*i].ordered)
    }

    /// What the demand and the surge margins say about the number of machines.
    fn decide(&mut self, demand: f64, machines: &[Machine], s: &Station, dt: f64) {
        let count = self.ours(machines).count();
        let by_hand = machines.iter().filter(|m| !m.auto && m.running).map(|m| m.capacity).sum::<f64>();
        let capacity = by_hand + self.ours(machines).map(|i| machines[i].capacity).sum::<f64>();
        let short = demand > s.up * capacity;
        if self.wanted > count && self.by_demand && !short {
            self.wanted = count;
        }
        let spare = (0..machines.len()).any(|i| self.usable(i, machines) && !self.units[i].ordered);
        let more = short && spare && self.wanted <= count && count < s.max_running;
        if self.up.run(more, s.up_after, dt) {
            self.wanted = count + 1;
            self.by_demand = true;
            self.up = OnDelay::default();
        }
        // Whoever would go next: a machine within its minimum time does not go yet, but the decision can ripen.
        let next = self.next_to_stop(machines, s, true).or_else(|| self.next_to_stop(machines, s, false));
        let rest =
            next.filter(|_| count > s.min_running && self.wanted >= count).map(|i| capacity - machines[i].capacity);
        let idle = rest.is_some_and(|rest| demand < s.down * rest || (rest <= 0.0 && demand <= 0.0));
        let near = |i: usize| machines[i].running && machines[i].margin.zip(s.guard).is_some_and(|(m, g)| m < g);
        // Above that the demand would at once call for the machine again: the two rules would wear its starts out.
        let carried = |rest: f64| demand < s.up.min(1.0) * rest;
        let surging = rest.is_some_and(carried) && (0..machines.len()).any(near);
        let (idle, surging) = (self.down.run(idle, s.down_after, dt), self.guard.run(surging, s.guard_after, dt));
        if idle || surging {
            self.wanted = count - 1;
            self.down = OnDelay::default();
            self.guard = OnDelay::default();
        }
    }

    /// Orders one start or one stop towards what is wanted.
    fn order(&mut self, machines: &[Machine], s: &Station) {
        let count = self.ours(machines).count();
        if count < self.wanted {
            if self.since_start.is_some_and(|t| t < s.gap) {
                self.waiting = Waiting::Gap;
                return;
            }
            match self.next_to_start(machines, s) {
                Ok(i) => {
                    self.units[i].order(true);
                    self.since_start = Some(0.0);
                }
                Err(waiting) => self.waiting = waiting,
            }
        } else if count > self.wanted {
            match self.next_to_stop(machines, s, true) {
                Some(i) => self.units[i].order(false),
                None => self.waiting = Waiting::MinRun,
            }
        }
    }

    fn next_to_start(&self, machines: &[Machine], s: &Station) -> Result<usize, Waiting> {
        let idle = (0..machines.len()).filter(|i| self.usable(*i, machines) && !self.units[*i].ordered);
        let mut waiting = Waiting::NoMachine;
        let mut best: Option<usize> = None;
        for i in idle {
            let unit = &self.units[i];
            if unit.starts() >= s.starts_per_hour {
                waiting = Waiting::Starts;
            } else if !unit.lasted(s.min_stop) {
                waiting = Waiting::MinStop;
            } else if best.is_none_or(|b| s.by_hours && unit.hours(&machines[i]) < self.units[b].hours(&machines[b])) {
                best = Some(i);
            }
        }
        best.ok_or(waiting)
    }

    /// `ready`: only among those that have run their minimum time.
    fn next_to_stop(&self, machines: &[Machine], s: &Station, ready: bool) -> Option<usize> {
        let candidates = self.ours(machines).filter(|i| !ready || self.units[*i].lasted(s.min_run));
        candidates.reduce(|best, i| {
            let longer = self.units[i].hours(&machines[i]) >= self.units[best].hours(&machines[best]);
            if !s.by_hours || longer { i } else { best }
        })
    }
}

impl FunctionBlock for Sequencer {
    fn step(&mut self, call: &Call) -> Result<Dynamic, String> {
        let demand = call.x(0)?;
        let machines: Vec<Machine> =
            call.array(1, MACHINES_MAX)?.iter().map(Machine::read).collect::<Result<_, String>>()?;
        let s = Station::read(call)?;
        self.run(demand, &machines, &s, call.dt);
        let each = |f: &dyn Fn(&Unit, &Machine) -> Dynamic| -> Dynamic {
            self.units.iter().zip(&machines).map(|(u, m)| f(u, m)).collect::<Array>().into()
        };
        let ordered = self.units.iter().zip(&machines).filter(|(u, _)| u.ordered);
        let capacity: f64 = ordered.clone().map(|(_, m)| m.capacity).fold(0.0, |a, b| a + b);
        Ok(result([
            ("run", each(&|u, _| u.ordered.into())),
            ("failed", each(&|u, _| u.failed.into())),
            ("hours", each(&|u, m| u.hours(m).into())),
            ("count", whole(ordered.count())),
            ("wanted", whole(self.wanted)),
            ("capacity", capacity.into()),
            ("waiting", self.waiting.as_str().into()),
        ]))
    }

    fn reset(&mut self, to: Reset) -> Result<(), String> {
        to.nothing()?;
        self.begin_again();
        Ok(())
    }

    fn memory(&mut self, pass: &mut Pass) {
        pass.parts("units", &mut self.units, MACHINES_MAX, Unit::unknown, Unit::memory);
        pass.count("wanted", &mut self.wanted, MACHINES_MAX);
        pass.switch("by_demand", &mut self.by_demand);
        pass.part("up", &mut self.up, OnDelay::memory);
        pass.part("down", &mut self.down, OnDelay::memory);
        pass.part("guard", &mut self.guard, OnDelay::memory);
        pass.maybe_amount("since_start", &mut self.since_start);
        let mut waiting = self.waiting.place();
        pass.word("waiting", &mut waiting, Waiting::WORDS);
        self.waiting = Waiting::ALL[waiting];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATION: Station = Station {
        by_hours: true,
        up: 0.95,
        up_after: 300.0,
        down: 0.9,
        down_after: 900.0,
        min_run: 0.0,
        min_stop: 0.0,
        starts_per_hour: 4,
        min_running: 1,
        max_running: 3,
        gap: 10.0,
        start_timeout: Some(60.0),
        guard: None,
        guard_after: 10.0,
    };

    /// Three machines of 3000 that do as they are told, with 300, 100 and 200 h behind them.
    struct Site {
        block: Sequencer,
        machines: Vec<Machine>,
        s: Station,
    }

    impl Site {
        fn new(s: Station) -> Site {
            let machine = |hours| Machine {
                available: true,
                auto: true,
                running: false,
                capacity: 3_000.0,
                hours: Some(hours),
                margin: None,
            };
            Site { block: Sequencer::default(), machines: [300.0, 100.0, 200.0].map(machine).to_vec(), s }
        }

        fn run(&mut self, demand: f64, seconds: u32) -> String {
            for _ in 0..seconds {
                self.block.run(demand, &self.machines, &self.s, 1.0);
                for (machine, unit) in self.machines.iter_mut().zip(&self.block.units) {
                    machine.running = unit.ordered && machine.available;
                }
            }
            self.block.units.iter().map(|u| if u.ordered { '1' } else { '0' }).collect()
        }
    }

    #[test]
    fn machines_come_and_go_by_the_demand_and_their_hours() {
        let mut site = Site::new(STATION);
        assert_eq!(site.run(2_000.0, 1), "010", "the least runs, on the machine of the fewest hours");
        assert_eq!(site.run(2_850.0, 600), "010", "95 % is not above 95 %");
        assert_eq!(site.run(2_900.0, 300), "010");
        assert_eq!(site.run(2_900.0, 1), "011", "300 s above 95 %");
        assert_eq!(site.run(5_900.0, 301), "111");
        // Two carry 6000: below 5400 one goes after 900 s, the one with the most hours.
        assert_eq!(site.run(5_500.0, 2_000), "111");
        assert_eq!(site.run(5_300.0, 900), "111");
        assert_eq!(site.run(5_300.0, 1), "011");
        // The time counts without a break.
        site.run(2_000.0, 899);
        site.run(3_000.0, 1);
        assert_eq!(site.run(2_000.0, 899), "011");
        assert_eq!(site.run(2_000.0, 2), "010");
        assert_eq!(site.run(0.0, 5_000), "010", "one stays");
    }

    #[test]
    fn a_fixed_order_starts_forward_and_stops_backward() {
        let mut site =
            Site::new(Station { by_hours: false, up_after: 5.0, down_after: 5.0, min_running: 0, ..STATION });
        assert_eq!(site.run(8_000.0, 60), "111");
        assert_eq!(site.run(5_000.0, 6), "110");
        assert_eq!(site.run(1_000.0, 6), "100");
        assert_eq!(site.run(0.0, 6), "000", "without demand the last one goes too");
    }

    #[test]
    fn a_fault_brings_the_next_machine_at_once() {
        let mut site = Site::new(Station { min_run: 1e6, ..STATION });
        assert_eq!(site.run(2_000.0, 100), "010");
        site.machines[1].available = false;
        assert_eq!(site.run(2_000.0, 1), "001");
        site.machines[2].available = false;
        assert_eq!(site.run(2_000.0, 9), "000");
        assert_eq!(site.block.waiting, Waiting::Gap);
        assert_eq!(site.run(2_000.0, 1), "100");
        site.machines[0].available = false;
        assert_eq!((site.run(2_000.0, 20).as_str(), site.block.waiting), ("000", Waiting::NoMachine));
        site.machines[2].available = true;
        assert_eq!(site.run(2_000.0, 1), "001");
    }

    #[test]
    fn a_machine_that_does_not_come_up_is_passed_over() {
        let mut site = Site::new(STATION);
        for second in 0..=61 {
            site.block.run(2_000.0, &site.machines, &STATION, 1.0);
            assert_eq!(site.block.units[1].ordered, second < 60, "at {second} s");
        }
        assert!(site.block.units[1].failed && site.block.units[2].ordered);
        // A machine in a person's hand is left alone, and what it carries counts.
        let mut site = Site::new(STATION);
        (site.machines[1].auto, site.machines[1].running) = (false, true);
        site.block.run(5_000.0, &site.machines, &STATION, 1.0);
        assert!(site.block.units[1].ordered && site.block.units[2].ordered, "the least is of those in automatic");
        site.machines[2].running = true;
        for _ in 0..600 {
            site.block.run(5_600.0, &site.machines, &STATION, 1.0);
        }
        assert!(!site.block.units[0].ordered, "5600 is below 95 % of 6000");
    }

    #[test]
    fn minimum_times_and_starts_of_an_hour_bind() {
        let s =
            Station { up_after: 1.0, down_after: 1.0, min_run: 100.0, min_stop: 200.0, starts_per_hour: 2, ..STATION };
        let mut site = Site::new(s);
        site.machines.truncate(2);
        assert_eq!(site.run(2_000.0, 1), "01");
        assert_eq!(site.run(5_000.0, 12), "11", "10 s after the first");
        assert_eq!((site.run(100.0, 80).as_str(), site.block.waiting), ("11", Waiting::MinRun));
        assert_eq!(site.run(100.0, 10), "10", "the only one that has run its 100 s");
        assert_eq!((site.run(5_000.0, 190).as_str(), site.block.waiting), ("10", Waiting::MinStop));
        assert_eq!(site.run(5_000.0, 20), "11");
        assert_eq!(site.run(100.0, 110), "01");
        assert_eq!(site.run(5_000.0, 150), "11");
        assert_eq!(site.run(100.0, 5), "10");
        // Both starts of the other machine lie within the hour; the first was at 1 s, and now it is 1578.
        assert_eq!((site.run(5_000.0, 1_000).as_str(), site.block.waiting), ("10", Waiting::Starts));
        assert_eq!(site.run(5_000.0, 1_900), "10");
        assert_eq!(site.run(5_000.0, 200), "11");
    }

    #[test]
    fn near_the_surge_line_one_goes_soon_if_the_others_can_carry_it() {
        let mut site = Site::new(Station { guard: Some(8.0), up_after: 1.0, ..STATION });
        site.run(5_000.0, 60);
        for machine in &mut site.machines {
            machine.margin = Some(5.0);
        }
        assert_eq!(site.run(3_100.0, 60), "011", "one alone could not");
        assert_eq!(site.run(2_800.0, 11), "010");
        assert_eq!(site.run(100.0, 60), "010");
    }

    #[test]
    fn the_surge_guard_takes_nothing_away_that_the_demand_asks_for_again() {
        for (up, demand) in [(0.95, 2_910.0), (0.95, 2_850.0), (1.2, 3_100.0)] {
            let mut site = Site::new(Station { guard: Some(8.0), up, ..STATION });
            site.machines.truncate(2);
            for machine in &mut site.machines {
                machine.margin = Some(5.0);
            }
            assert_eq!(site.run(6_000.0, 400), "11");
            for minute in 0..60 {
                assert_eq!(site.run(demand, 60), "11", "up {up}, {demand} in minute {minute}");
            }
        }
        let mut site = Site::new(Station { guard: Some(8.0), ..STATION });
        site.machines.truncate(2);
        for machine in &mut site.machines {
            machine.margin = Some(5.0);
        }
        site.run(6_000.0, 400);
        assert_ne!(site.run(2_849.0, 12), "11");
    }

    #[test]
    fn what_a_person_starts_and_stops_has_its_minimum_times_too() {
        let s = Station { min_run: 100.0, min_stop: 200.0, up_after: 1.0, down_after: 1.0, ..STATION };
        let mut site = Site::new(s);
        site.machines.truncate(1);
        assert_eq!(site.run(2_000.0, 1_000), "1");
        // A person takes it, stops it and gives it back.
        site.machines[0].auto = false;
        site.run(2_000.0, 1);
        site.machines[0].running = false;
        site.block.run(2_000.0, &site.machines, &site.s, 1.0);
        site.machines[0].auto = true;
        assert_eq!((site.run(2_000.0, 199).as_str(), site.block.waiting), ("0", Waiting::MinStop));
        assert_eq!(site.run(2_000.0, 2), "1");
        // One of two that a person has just started is not stopped before its time; the start counts.
        let mut site = Site::new(Station { min_running: 0, ..s });
        site.machines.truncate(1);
        site.machines[0].auto = false;
        site.block.run(0.0, &site.machines, &site.s, 1.0);
        site.machines[0].running = true;
        for _ in 0..2 {
            site.block.run(0.0, &site.machines, &site.s, 1.0);
        }
        assert_eq!(site.block.units[0].starts(), 1, "once, however long it runs");
        site.machines[0].auto = true;
        assert_eq!((site.run(0.0, 90).as_str(), site.block.waiting), ("1", Waiting::MinRun));
        assert_eq!(site.run(0.0, 20), "0");
        // By hand it is left alone, also with a fault.
        site.machines[0].auto = false;
        (site.machines[0].running, site.machines[0].available) = (true, false);
        for _ in 0..50 {
            site.block.run(0.0, &site.machines, &site.s, 1.0);
        }
        assert!(site.block.units[0].ordered);
        assert_eq!(site.block.units[0].starts(), 2);
    }

    #[test]
    fn a_machine_that_lost_its_running_signal_has_the_time_of_a_start_to_show_it_again() {
        let mut site = Site::new(STATION);
        assert_eq!(site.run(2_000.0, 3_600), "010");
        let lost = |site: &mut Site, seconds: u32| {
            for _ in 0..seconds {
                site.machines[1].running = false;
                site.block.run(2_000.0, &site.machines, &STATION, 1.0);
            }
            site.block.units[1].failed
        };
        assert!(!lost(&mut site, 59), "one scan without it is no failure");
        site.machines[1].running = true;
        assert_eq!(site.run(2_000.0, 1), "010", "it shows it again");
        assert!(!lost(&mut site, 59), "and has the whole time again");
        assert!(lost(&mut site, 1));
        assert!(!site.block.units[1].ordered && site.block.units[2].ordered, "another took its place");
        // A person who gives it back running has seen to it.
        site.machines[1].auto = false;
        site.machines[1].running = true;
        site.block.run(2_000.0, &site.machines, &STATION, 1.0);
        site.machines[1].auto = true;
        site.block.run(2_000.0, &site.machines, &STATION, 1.0);
        assert!(!site.block.units[1].failed && site.block.units[1].ordered);
    }

    #[test]
    fn a_reset_forgives_failures_and_keeps_what_protects_the_machines() {
        let s =
            Station { min_stop: 200.0, starts_per_hour: 2, min_running: 0, up_after: 1.0, down_after: 1.0, ..STATION };
        let mut site = Site::new(s);
        site.machines.truncate(1);
        for _ in 0..2 {
            assert_eq!(site.run(2_000.0, 250), "1");
            assert_eq!(site.run(0.0, 10), "0");
        }
        site.block.begin_again();
        assert_eq!((site.run(2_000.0, 150).as_str(), site.block.waiting), ("0", Waiting::Starts));
        // A failed one is tried again, but not before it has stood its time.
        let mut site = Site::new(s);
        site.machines.truncate(1);
        for _ in 0..70 {
            site.block.run(2_000.0, &site.machines, &s, 1.0);
        }
        assert!(site.block.units[0].failed);
        site.block.begin_again();
        assert_eq!((site.run(2_000.0, 150).as_str(), site.block.waiting), ("0", Waiting::MinStop));
        assert_eq!(site.run(2_000.0, 60), "1");
    }
}
