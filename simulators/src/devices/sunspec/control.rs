//! What clients do to the inverter through the SunSpec models 121, 123, 702, 703 and 704: how much it may feed in.
//!
//! Reversion timers watch the client and run in real time; time windows, ramps and the delays of entering service
//! belong to the machine and run in plant time.

use super::inverter::{CONTROLS_123, CONTROLS_704, SERVICE, SETTINGS_121, SETTINGS_702};
use super::put_u32;
use crate::devices::image::Image;
use crate::rng::Rng;

const WMAX_121: u16 = SETTINGS_121.point("WMax");
const WMAX_702: u16 = SETTINGS_702.point("WMax");

/// What the net looks like at the inverter's terminals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// Voltage, % of the nominal one.
    pub voltage_pct: f64,
    /// Frequency, Hz.
    pub frequency_hz: f64,
}

/// What the models permit together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Permit {
    /// Greatest power, % of the rated one.
    pub limit_pct: f64,
    /// Connected by command of model 123.
    pub connected: bool,
    /// In service by model 703.
    pub in_service: bool,
    /// A power limit of 123 or 704 is in force.
    pub limited: bool,
    /// Greatest power set below the rated one.
    pub reduced: bool,
}

/// A set-point on its way: first the rest of a random time window, then a ramp.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Approach {
    goal: f64,
    from: f64,
    now: f64,
    wait_s: f64,
    ramped_s: f64,
}

impl Approach {
    fn at(value: f64) -> Approach {
        Approach { goal: value, from: value, now: value, wait_s: 0.0, ramped_s: 0.0 }
    }

    /// Heads for another goal after a random part of the window.
    fn head_for(&mut self, goal: f64, window_s: f64, rng: &mut Rng) {
        if goal != self.goal {
            let wait_s = if window_s > 0.0 { window_s * rng.uniform() } else { 0.0 };
            *self = Approach { goal, from: self.now, now: self.now, wait_s, ramped_s: 0.0 };
        }
    }

    /// Goes on by `dt` seconds; the whole ramp takes `ramp_s`.
    fn step(&mut self, dt: f64, ramp_s: f64) {
        let rest = dt - self.wait_s;
        self.wait_s = (-rest).max(0.0);
        if rest < 0.0 {
            return;
        }
        self.ramped_s += rest;
        let share = if ramp_s > 0.0 { (self.ramped_s / ramp_s).min(1.0) } else { 1.0 };
        self.now = self.from + (self.goal - self.from) * share;
    }
}

/// Real time since a client has last written any of some registers.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Silence {
    writes: u64,
    s: f64,
    /// A client has written since the last reversion.
    armed: bool,
}

impl Silence {
    fn step(&mut self, image: &Image, registers: &[u16], real_dt: f64) {
        let writes = registers.iter().map(|at| image.writes(*at)).sum();
        (self.s, self.armed) = if writes == self.writes { (self.s + real_dt, self.armed) } else { (0.0, true) };
        self.writes = writes;
    }

    /// A reversion time is over; 0 is never.
    fn exceeds(&self, revert_s: u32) -> bool {
        revert_s > 0 && self.s > f64::from(revert_s)
    }
}

/// Entering service after an interruption.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Service {
    inside: bool,
    left_s: Option<f64>,
    ramp: Approach,
}

/// Controls of the inverter.
pub struct Controls {
    rng: Rng,
    limit_123: Approach,
    silence_123: Silence,
    connection: Approach,
    silence_connection: Silence,
    silence_704: Silence,
    service: Service,
    wmax_writes: (u64, u64),
}

impl Controls {
    /// No limit, in service.
    #[must_use]
    pub fn new(seed: u64) -> Controls {
        Controls {
            rng: Rng::new(seed, "sunspec windows"),
            limit_123: Approach::at(100.0),
            silence_123: Silence::default(),
            connection: Approach::at(1.0),
            silence_connection: Silence::default(),
            silence_704: Silence::default(),
            service: Service { inside: true, left_s: None, ramp: Approach::at(100.0) },
            wmax_writes: (0, 0),
        }
    }

    /// Starts again: what clients set is gone.
    pub fn restart(&mut self) {
        let rng = self.rng.clone();
        *self = Controls { rng, ..Controls::new(0) };
    }

    /// Goes on by `dt` seconds of plant time and `real_dt` of real time.
    pub fn step(&mut self, image: &mut Image, grid: Option<Grid>, dt: f64, real_dt: f64) -> Permit {
        self.share_wmax(image);
        self.immediate(image, dt, real_dt);
        self.connect(image, dt, real_dt);
        let (limit_704, limited_704) = self.der_limit(image, real_dt);
        self.enter_service(image, grid, dt);
        let connected = self.connection.now >= 1.0;
        let in_service = self.service.inside;
        let wmax = f64::from(image.word(WMAX_121)) / f64::from(super::inverter::WMAX_RATED);
        let percent = self.limit_123.now.min(limit_704).min(self.service.ramp.now);
        Permit {
            limit_pct: if connected && in_service { percent * wmax } else { 0.0 },
            connected,
            in_service,
            limited: limited_704 || self.limit_123.now < 100.0,
            reduced: wmax < 1.0,
        }
    }

    /// `WMax` stands in 121 and in 702: whichever a client writes holds in both.
    fn share_wmax(&mut self, image: &mut Image) {
        let writes = (image.writes(WMAX_121), image.writes(WMAX_702));
        if writes.1 != self.wmax_writes.1 {
            image.put_holding(WMAX_121, &[image.word(WMAX_702)]);
        } else if writes.0 != self.wmax_writes.0 {
            image.put_holding(WMAX_702, &[image.word(WMAX_121)]);
        }
        self.wmax_writes = writes;
    }

    /// Model 123: limit with window, ramp and reversion.
    fn immediate(&mut self, image: &mut Image, dt: f64, real_dt: f64) {
        const LIMIT: u16 = CONTROLS_123.point("WMaxLimPct");
        const WINDOW: u16 = CONTROLS_123.point("WMaxLimPct_WinTms");
        const REVERT: u16 = CONTROLS_123.point("WMaxLimPct_RvrtTms");
        const RAMP: u16 = CONTROLS_123.point("WMaxLimPct_RmpTms");
        const ENABLE: u16 = CONTROLS_123.point("WMaxLim_Ena");
        self.silence_123.step(image, &[LIMIT, WINDOW, REVERT, RAMP, ENABLE], real_dt);
        if image.word(ENABLE) == 1 && self.silence_123.exceeds(u32::from(image.word(REVERT))) {
            image.put_holding(ENABLE, &[0]);
        }
        let goal = if image.word(ENABLE) == 1 { f64::from(image.word(LIMIT)) * 0.01 } else { 100.0 };
        self.limit_123.head_for(goal, f64::from(image.word(WINDOW)), &mut self.rng);
        self.limit_123.step(dt, f64::from(image.word(RAMP)));
    }

    /// Model 123: connection with window and reversion.
    fn connect(&mut self, image: &mut Image, dt: f64, real_dt: f64) {
        const CONNECT: u16 = CONTROLS_123.point("Conn");
        const WINDOW: u16 = CONTROLS_123.point("Conn_WinTms");
        const REVERT: u16 = CONTROLS_123.point("Conn_RvrtTms");
        self.silence_connection.step(image, &[CONNECT, WINDOW, REVERT], real_dt);
        if image.word(CONNECT) == 0 && self.silence_connection.exceeds(u32::from(image.word(REVERT))) {
            image.put_holding(CONNECT, &[1]);
        }
        self.connection.head_for(f64::from(image.word(CONNECT)), f64::from(image.word(WINDOW)), &mut self.rng);
        self.connection.step(dt, 0.0);
    }

    /// Model 704: limit, and what it becomes when its reversion time is over. Returns the limit in % and whether it holds.
    fn der_limit(&mut self, image: &mut Image, real_dt: f64) -> (f64, bool) {
        const ENABLE: u16 = CONTROLS_704.point("WMaxLimPctEna");
        const LIMIT: u16 = CONTROLS_704.point("WMaxLimPct");
        const REVERT_TO: u16 = CONTROLS_704.point("WMaxLimPctRvrt");
        const REVERT_ENABLE: u16 = CONTROLS_704.point("WMaxLimPctEnaRvrt");
        const REVERT: u16 = CONTROLS_704.point("WMaxLimPctRvrtTms");
        const LEFT: u16 = CONTROLS_704.point("WMaxLimPctRvrtRem");
        self.silence_704.step(image, &[ENABLE, LIMIT, REVERT_TO, REVERT_ENABLE, REVERT], real_dt);
        let revert_s = image.long(REVERT);
        // Nothing runs before a client has written, nor after the reversion.
        let mut left_s = 0.0;
        if image.word(ENABLE) == 1 && revert_s > 0 && self.silence_704.armed {
            if self.silence_704.exceeds(revert_s) {
                let back = [image.word(REVERT_ENABLE), image.word(REVERT_TO)];
                image.put_holding(ENABLE, &back);
                self.silence_704.armed = false;
            } else {
                left_s = (f64::from(revert_s) - self.silence_704.s).ceil();
            }
        }
        put_u32(image, LEFT, left_s as u32);
        let enabled = image.word(ENABLE) == 1;
        (if enabled { f64::from(image.word(LIMIT)) * 0.1 } else { 100.0 }, enabled)
    }

    /// Model 703: out of service without permission or without a net, in again after delay, random delay and ramp.
    fn enter_service(&mut self, image: &mut Image, grid: Option<Grid>, dt: f64) {
        const PERMIT: u16 = SERVICE.point("ES");
        const LEFT: u16 = SERVICE.point("ESDlyRemTms");
        let percent = |at: u16| f64::from(image.word(at)) * 0.1;
        let hertz = |at: u16| f64::from(image.long(at)) * 0.01;
        let good = grid.is_some_and(|grid| {
            (percent(SERVICE.point("ESVLo"))..=percent(SERVICE.point("ESVHi"))).contains(&grid.voltage_pct)
                && (hertz(SERVICE.point("ESHzLo"))..=hertz(SERVICE.point("ESHzHi"))).contains(&grid.frequency_hz)
        });
        let permitted = image.word(PERMIT) == 1;
        let delay_s = f64::from(image.long(SERVICE.point("ESDlyTms")));
        let random_s = f64::from(image.long(SERVICE.point("ESRndTms")));
        let ramp_s = f64::from(image.long(SERVICE.point("ESRmpTms")));
        let service = &mut self.service;
        // What is in service rides through a dip; only a lost net or a missing permission takes it out.
        if !permitted || grid.is_none() {
            (service.inside, service.left_s) = (false, None);
        } else if !service.inside {
            if good {
                let left_s = service.left_s.unwrap_or_else(|| delay_s + random_s * self.rng.uniform()) - dt;
                service.left_s = Some(left_s);
                if left_s <= 0.0 {
                    *service = Service { inside: true, left_s: None, ramp: Approach::at(0.0) };
                }
            } else {
                service.left_s = None;
            }
        }
        if service.inside {
            service.ramp.head_for(100.0, 0.0, &mut self.rng);
            service.ramp.step(dt, ramp_s);
        }
        let left_s = self.service.left_s.unwrap_or(0.0).max(0.0).ceil();
        put_u32(image, LEFT, left_s as u32);
    }
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
