//! The PV inverter in SunSpec models: 1, 103, 120, 121, 122, 123, 701, 702, 703, 704 at unit 3.

use super::control::Permit;
use super::models::{M103, M120, M121, M122, M123, M701, M702, M703, M704};
use super::{BASE, COMMON, Placed, Scale, chain, fixed_i16, fixed_u16, put_common, put_text, put_u32, put_u64};
use crate::devices::image::{Image, Rule};
use crate::models::pv::{PvState, RATED_KW};
use crate::plant::Mains;

/// Model 103: measurements.
pub const INVERTER: Placed = COMMON.then(M103);
/// Model 120: nameplate.
pub const NAMEPLATE: Placed = INVERTER.then(M120);
/// Model 121: basic settings.
pub const SETTINGS_121: Placed = NAMEPLATE.then(M121);
/// Model 122: status.
pub const STATUS: Placed = SETTINGS_121.then(M122);
/// Model 123: immediate controls.
pub const CONTROLS_123: Placed = STATUS.then(M123);
/// Model 701: measurements of a DER.
pub const DER: Placed = CONTROLS_123.then(M701);
/// Model 702: capacity, with `WMax` once more.
pub const SETTINGS_702: Placed = DER.then(M702);
/// Model 703: enter service.
pub const SERVICE: Placed = SETTINGS_702.then(M703);
/// Model 704: controls of a DER.
pub const CONTROLS_704: Placed = SERVICE.then(M704);

/// Rated power as the settings hold it, in steps of 10 W.
pub const WMAX_RATED: u16 = (RATED_KW * 100.0) as u16;
/// Nominal voltage, V line to line.
pub const NOMINAL_V: f64 = 400.0;
/// Rated current, A.
const RATED_A: f64 = RATED_KW * 1000.0 / (1.732_050_8 * NOMINAL_V);
/// Reactive power it could give, share of the rated power (IEEE 1547 category B).
const REACTIVE_SHARE: f64 = 0.44;
/// Voltage of the modules at 25 degC and its change per kelvin: crystalline silicon.
const MODULES_V: f64 = 720.0;
const MODULES_1_K: f64 = -0.0029;
/// Rise of the cabinet over the air at rated power, K.
const CABINET_RISE_K: f64 = 22.0;
/// Time window, ramp and reversion times a client may set, s.
const WINDOW_MAX_S: u16 = 300;
const RAMP_MAX_S: u16 = 3600;
const REVERT_MAX_S: u16 = 28_800;
/// Unix time of the SunSpec epoch, 1 January 2000.
const EPOCH_S: f64 = 946_684_800.0;

/// Bits of the event register of 103 and of the alarms of 701.
const GRID_DISCONNECT: u32 = 1 << 4;
const MANUAL_SHUTDOWN: u32 = 1 << 6;
const AC_UNDER_VOLT: u32 = 1 << 11;
/// Bits of `ThrotSrc` of 701.
const THROTTLED_MAX_W: u32 = 1 << 0;
const THROTTLED_FIXED_W: u32 = 1 << 1;

/// Block of holding registers of the chain.
#[must_use]
pub fn block() -> (u16, u16) {
    (BASE, words().len() as u16)
}

fn words() -> Vec<u16> {
    chain(&[COMMON, INVERTER, NAMEPLATE, SETTINGS_121, STATUS, CONTROLS_123, DER, SETTINGS_702, SERVICE, CONTROLS_704])
}

/// What clients may write.
#[must_use]
pub fn rules() -> Vec<Rule> {
    let word = |at: u16, high: u16| Rule::Word { at, low: 0, high };
    let long = |at: u16, high: u32| Rule::Long { at, low: 0, high };
    let (now, der) = (CONTROLS_123, CONTROLS_704);
    vec![
        word(SETTINGS_121.point("WMax"), WMAX_RATED),
        word(now.point("Conn_WinTms"), WINDOW_MAX_S),
        word(now.point("Conn_RvrtTms"), REVERT_MAX_S),
        word(now.point("Conn"), 1),
        word(now.point("WMaxLimPct"), 10_000),
        word(now.point("WMaxLimPct_WinTms"), WINDOW_MAX_S),
        word(now.point("WMaxLimPct_RvrtTms"), REVERT_MAX_S),
        word(now.point("WMaxLimPct_RmpTms"), RAMP_MAX_S),
        word(now.point("WMaxLim_Ena"), 1),
        word(SETTINGS_702.point("WMax"), WMAX_RATED),
        word(SERVICE.point("ES"), 1),
        Rule::Word { at: SERVICE.point("ESVHi"), low: 1000, high: 1200 },
        Rule::Word { at: SERVICE.point("ESVLo"), low: 500, high: 1000 },
        Rule::Long { at: SERVICE.point("ESHzHi"), low: 5000, high: 5500 },
        Rule::Long { at: SERVICE.point("ESHzLo"), low: 4500, high: 5000 },
        long(SERVICE.point("ESDlyTms"), 3600),
        long(SERVICE.point("ESRndTms"), 3600),
        long(SERVICE.point("ESRmpTms"), 3600),
        word(der.point("WMaxLimPctEna"), 1),
        word(der.point("WMaxLimPct"), 1000),
        word(der.point("WMaxLimPctRvrt"), 1000),
        word(der.point("WMaxLimPctEnaRvrt"), 1),
        long(der.point("WMaxLimPctRvrtTms"), u32::from(REVERT_MAX_S)),
    ]
}

/// Lays the chain with everything that does not change and the controls at their power-on values.
pub fn power_on(image: &mut Image) {
    image.put_holding(BASE, &words());
    put_common(image, "PV-600K", "2.4.1", "PS600-2023-0417", super::super::inverter::UNIT);
    put_nameplate(image);
    put_capacity(image);
    let now = CONTROLS_123;
    image.put_holding(now.point("Conn_WinTms"), &[0, 0, 1]);
    image.put_holding(now.point("WMaxLimPct"), &[10_000, 0, 60, 0, 0]);
    // Mandatory points of functions it does not have: never enabled.
    image.put_holding(now.point("OutPFSet_Ena"), &[0]);
    image.put_holding(now.point("VArPct_Ena"), &[0]);
    image.put_holding(now.point("WMaxLimPct_SF"), &[-2_i16 as u16]);
    let service = SERVICE;
    image.put_holding(service.point("ES"), &[1, 1050, 917]);
    put_u32(image, service.point("ESHzHi"), 5010);
    put_u32(image, service.point("ESHzLo"), 4950);
    put_u32(image, service.point("ESDlyTms"), 60);
    put_u32(image, service.point("ESRndTms"), 0);
    put_u32(image, service.point("ESRmpTms"), 0);
    image.put_holding(service.point("V_SF"), &[-1_i16 as u16, -2_i16 as u16]);
    let der = CONTROLS_704;
    image.put_holding(der.point("WMaxLimPctEna"), &[0, 1000, 1000, 0]);
    put_u32(image, der.point("WMaxLimPctRvrtTms"), 0);
    image.put_holding(der.point("WMaxLimPct_SF"), &[-1_i16 as u16]);
}

fn put_nameplate(image: &mut Image) {
    let reactive = (f64::from(WMAX_RATED) * REACTIVE_SHARE).round() as i16;
    let plate = NAMEPLATE;
    // 4 is PV without storage.
    image.put_holding(plate.point("DERTyp"), &[4, WMAX_RATED, 1, WMAX_RATED, 1]);
    let quadrants = [reactive, reactive, -reactive, -reactive].map(|var| var as u16);
    image.put_holding(plate.point("VArRtgQ1"), &quadrants);
    image.put_holding(plate.point("VArRtg_SF"), &[1, RATED_A.round() as u16, 0]);
    image.put_holding(plate.point("PFRtgQ1"), &[90, -90_i16 as u16, -90_i16 as u16, 90, -2_i16 as u16]);
    let settings = SETTINGS_121;
    image.put_holding(settings.point("WMax"), &[WMAX_RATED, fixed_u16(NOMINAL_V, -1), 0]);
    image.put_holding(settings.point("WMax_SF"), &[1, -1_i16 as u16, -1_i16 as u16]);
}

fn put_capacity(image: &mut Image) {
    let capacity = SETTINGS_702;
    let reactive = (f64::from(WMAX_RATED) * REACTIVE_SHARE).round() as u16;
    image.put_holding(capacity.point("WMaxRtg"), &[WMAX_RATED]);
    image.put_holding(capacity.point("VAMaxRtg"), &[WMAX_RATED, reactive, reactive]);
    image.put_holding(capacity.point("VNomRtg"), &[fixed_u16(NOMINAL_V, -1)]);
    image.put_holding(capacity.point("AMaxRtg"), &[fixed_u16(RATED_A, -1)]);
    // Category B, ride-through category 2; of the functions it has the power limit alone.
    image.put_holding(capacity.point("NorOpCatRtg"), &[1, 1]);
    put_u32(image, capacity.point("CtrlModes"), 1);
    image.put_holding(capacity.point("WMax"), &[WMAX_RATED]);
    image.put_holding(capacity.point("W_SF"), &[1]);
    image.put_holding(capacity.point("VA_SF"), &[1, 1]);
    image.put_holding(capacity.point("V_SF"), &[-1_i16 as u16, -1_i16 as u16]);
}

/// What the inverter shows at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Shown {
    /// Power fed in and power of the modules, kW.
    pub power_kw: f64,
    /// Power of the modules, kW.
    pub dc_kw: f64,
    /// Reactive power, kvar.
    pub reactive_kvar: f64,
    /// Line voltage, V.
    pub voltage_v: f64,
    /// Frequency, Hz.
    pub frequency_hz: f64,
    /// Modules, degC.
    pub module_c: f64,
    /// Air, degC.
    pub outdoor_c: f64,
    /// Energy fed in, Wh.
    pub energy_wh: u64,
    /// What it is doing.
    pub state: PvState,
    /// Condition of the mains.
    pub mains: Mains,
    /// What the controls permit.
    pub permit: Permit,
    /// Limit in force with all others, % of the rated power.
    pub limit_pct: f64,
    /// Unix time.
    pub unix_s: f64,
}

/// The measuring models with their moving scale factors.
pub struct Measurements {
    amperes: Scale,
    watts: Scale,
    apparent: Scale,
    reactive: Scale,
    dc_amperes: Scale,
    dc_watts: Scale,
    der_amperes: Scale,
}

impl Default for Measurements {
    fn default() -> Measurements {
        Measurements {
            amperes: Scale::unsigned(-2, 0),
            watts: Scale::signed(-1, 2),
            apparent: Scale::signed(-1, 2),
            reactive: Scale::signed(-1, 2),
            dc_amperes: Scale::unsigned(-2, 0),
            dc_watts: Scale::signed(-1, 2),
            der_amperes: Scale::signed(-2, 0),
        }
    }
}

impl Measurements {
    /// Lays what the inverter shows into the models.
    pub fn publish(&mut self, image: &mut Image, shown: &Shown) {
        let (w, var) = (shown.power_kw * 1000.0, shown.reactive_kvar * 1000.0);
        let va = w.hypot(var);
        let phase_v = shown.voltage_v / 3.0_f64.sqrt();
        let amperes = if phase_v > 1.0 { va / (3.0 * phase_v) } else { 0.0 };
        let ac = Ac { w, var, va, amperes, phase_v, factor: if va > 1.0 { w / va } else { 1.0 } };
        self.put_103(image, shown, &ac);
        self.put_701(image, shown, &ac);
        put_status(image, shown);
    }

    fn put_103(&mut self, image: &mut Image, shown: &Shown, ac: &Ac) {
        // `A` is the sum of the phases.
        let factor = self.amperes.fit(3.0 * ac.amperes);
        let (sum, each) = (self.amperes.lay(3.0 * ac.amperes), self.amperes.lay(ac.amperes));
        image.put_holding(const { at_103("A") }, &[sum, each, each, each, factor]);
        let (line, phase) = (fixed_u16(shown.voltage_v, -1), fixed_u16(ac.phase_v, -1));
        let volts = [line, line, line, phase, phase, phase, -1_i16 as u16];
        image.put_holding(const { at_103("PPVphAB") }, &volts);
        let factor = self.watts.fit(ac.w);
        let hertz = fixed_u16(shown.frequency_hz, -2);
        image.put_holding(const { at_103("W") }, &[self.watts.lay(ac.w), factor, hertz, -2_i16 as u16]);
        let (va_factor, var_factor) = (self.apparent.fit(ac.va), self.reactive.fit(ac.var));
        let power = [self.apparent.lay(ac.va), va_factor, self.reactive.lay(ac.var), var_factor];
        image.put_holding(const { at_103("VA") }, &power);
        image.put_holding(const { at_103("PF") }, &[fixed_i16(100.0 * ac.factor, -2), -2_i16 as u16]);
        put_u32(image, const { at_103("WH") }, shown.energy_wh as u32);
        image.put_holding(const { at_103("WH_SF") }, &[0]);
        let dc_v =
            if shown.state == PvState::Off { 0.0 } else { MODULES_V * (1.0 + MODULES_1_K * (shown.module_c - 25.0)) };
        let dc_a = if dc_v > 0.0 { shown.dc_kw * 1000.0 / dc_v } else { 0.0 };
        let (a_factor, w_factor) = (self.dc_amperes.fit(dc_a), self.dc_watts.fit(shown.dc_kw * 1000.0));
        let dc_w = self.dc_watts.lay(shown.dc_kw * 1000.0);
        let dc = [self.dc_amperes.lay(dc_a), a_factor, fixed_u16(dc_v, -1), -1_i16 as u16, dc_w, w_factor];
        image.put_holding(const { at_103("DCA") }, &dc);
        image.put_holding(const { at_103("TmpCab") }, &[fixed_i16(cabinet_c(shown), -1)]);
        image.put_holding(const { at_103("Tmp_SF") }, &[-1_i16 as u16, state_103(shown)]);
        put_u32(image, const { at_103("Evt1") }, events(shown));
        put_u32(image, const { at_103("Evt2") }, 0);
    }

    fn put_701(&mut self, image: &mut Image, shown: &Shown, ac: &Ac) {
        const AT: Placed = DER;
        let connected = shown.permit.connected && shown.mains != Mains::Absent;
        let on = u16::from(shown.state != PvState::Off);
        // 2 is three-phase.
        image.put_holding(const { AT.point("ACType") }, &[2, on, state_701(shown), u16::from(connected)]);
        put_u32(image, const { AT.point("Alrm") }, events(shown));
        put_u32(image, const { AT.point("DERMode") }, 1);
        // The factors of watts, voltamperes and vars are those of 103; the current of this model is signed.
        let a_factor = self.der_amperes.fit(3.0 * ac.amperes);
        let total = [
            self.watts.lay(ac.w),
            self.apparent.lay(ac.va),
            self.reactive.lay(ac.var),
            fixed_i16(ac.factor, -3),
            self.der_amperes.lay(3.0 * ac.amperes),
            fixed_u16(shown.voltage_v, -1),
            fixed_u16(ac.phase_v, -1),
        ];
        image.put_holding(const { AT.point("W") }, &total);
        put_u32(image, const { AT.point("Hz") }, (shown.frequency_hz * 100.0).round() as u32);
        put_u64(image, const { AT.point("TotWhInj") }, shown.energy_wh);
        put_u64(image, const { AT.point("TotWhAbs") }, 0);
        let air = [fixed_i16(shown.outdoor_c, -1), fixed_i16(cabinet_c(shown), -1)];
        image.put_holding(const { AT.point("TmpAmb") }, &air);
        let phase = [
            self.watts.lay(ac.w / 3.0),
            self.apparent.lay(ac.va / 3.0),
            self.reactive.lay(ac.var / 3.0),
            fixed_i16(ac.factor, -3),
            self.der_amperes.lay(ac.amperes),
            fixed_u16(shown.voltage_v, -1),
            fixed_u16(ac.phase_v, -1),
        ];
        for at in const { [AT.point("WL1"), AT.point("WL2"), AT.point("WL3")] } {
            image.put_holding(at, &phase);
        }
        let throttled = shown.state == PvState::Curtailed || shown.limit_pct < 100.0 && shown.state != PvState::Off;
        let throttle_pct = if throttled { 100.0 - shown.limit_pct } else { 0.0 };
        image.put_holding(const { AT.point("ThrotPct") }, &[fixed_u16(throttle_pct, 0)]);
        put_u32(image, const { AT.point("ThrotSrc") }, if throttled { throttle_source(shown) } else { 0 });
        let factors = [
            a_factor,
            -1_i16 as u16,
            -2_i16 as u16,
            self.watts.fit(ac.w),
            -3_i16 as u16,
            self.apparent.fit(ac.va),
            self.reactive.fit(ac.var),
            0,
        ];
        image.put_holding(const { AT.point("A_SF") }, &factors);
        image.put_holding(const { AT.point("Tmp_SF") }, &[-1_i16 as u16]);
        let text = if shown.mains == Mains::Absent { "grid lost" } else { "" };
        put_text(image, const { AT.point("MnAlrmInfo") }, 32, text);
    }
}

/// The alternating-current side: W, var, VA, A of a phase, V to neutral, power factor.
struct Ac {
    w: f64,
    var: f64,
    va: f64,
    amperes: f64,
    phase_v: f64,
    factor: f64,
}

const fn at_103(name: &str) -> u16 {
    INVERTER.point(name)
}

/// Model 122.
fn put_status(image: &mut Image, shown: &Shown) {
    const AT: Placed = STATUS;
    let connected = shown.permit.connected && shown.permit.in_service && shown.mains != Mains::Absent;
    let awake = shown.state != PvState::Off;
    let operating = matches!(shown.state, PvState::Running | PvState::Curtailed);
    let bits = u16::from(connected) | u16::from(awake) << 1 | u16::from(operating) << 2;
    image.put_holding(const { AT.point("PVConn") }, &[bits, 0, if connected { 0b10 } else { 0b01 }]);
    put_u64(image, const { AT.point("ActWh") }, shown.energy_wh);
    put_u32(image, const { AT.point("StSetLimMsk") }, u32::from(shown.permit.reduced));
    put_u32(image, const { AT.point("StActCtl") }, u32::from(shown.permit.limited));
    put_text(image, const { AT.point("TmSrc") }, 4, "RTC");
    put_u32(image, const { AT.point("Tms") }, (shown.unix_s - EPOCH_S).max(0.0) as u32);
}

fn cabinet_c(shown: &Shown) -> f64 {
    shown.outdoor_c + CABINET_RISE_K * shown.power_kw / RATED_KW
}

fn events(shown: &Shown) -> u32 {
    let mut bits = match shown.mains {
        Mains::Present => 0,
        Mains::Dip => AC_UNDER_VOLT,
        Mains::Absent => GRID_DISCONNECT,
    };
    if !shown.permit.connected {
        bits |= MANUAL_SHUTDOWN;
    }
    bits
}

fn throttle_source(shown: &Shown) -> u32 {
    let set = if shown.permit.reduced || shown.permit.limited { THROTTLED_MAX_W } else { 0 };
    // A limit by the vendor's own registers is a fixed power to the standard.
    if set == 0 { THROTTLED_FIXED_W } else { set }
}

/// State of 103: 1 off, 2 sleeping, 3 starting, 4 feeding, 5 throttled, 7 fault, 8 standby.
fn state_103(shown: &Shown) -> u16 {
    if shown.mains == Mains::Absent {
        return 7;
    }
    match shown.state {
        PvState::Off => 2,
        _ if !shown.permit.connected => 1,
        _ if !shown.permit.in_service => 3,
        PvState::Standby => 8,
        PvState::Running => 4,
        PvState::Curtailed => 5,
    }
}

/// State of 701: that of 103 counted from 0.
fn state_701(shown: &Shown) -> u16 {
    state_103(shown) - 1
}
