//! Points of SunSpec models: found, assumed, checked; and registers at random.

use super::super::chain::chain_of;
use super::super::reference::parse;
use super::*;
use crate::config::WriteConfig;
use crate::fuzz::sunspec_device;
use crate::plan::Plan;
use proptest::prelude::*;

fn device(points: &[&str]) -> DeviceConfig {
    let config = sunspec_device(points);
    assert_eq!(config.points.len(), points.len(), "every one of {points:?} is a reference");
    config
}

#[test]
fn before_discovery_the_plan_is_that_of_the_models_named() {
    let config = device(&["103.W", "103.Hz", "123.WMaxLimPct_RvrtTms", "701.W", "160.module.2.DCW"]);
    assert_eq!(config.check(), Vec::<String>::new());
    assert!(Plan::new(&config).groups[0].is_empty(), "nothing is read before the device was asked");
    let spans: Vec<_> = config.plan().groups[0].iter().map(|r| (r.start - 40_002, r.count, r.points.len())).collect();
    // Model 1 is assumed first; the head of each model is read with its points, and models are never joined.
    assert_eq!(spans, [(68, 18, 2), (120, 8, 1), (146, 42, 1), (196, 117, 1)]);
}

#[test]
fn what_cannot_be_read_or_written_is_told() {
    let mut config = device(&["160.module.7.DCW", "103.W", "123.WMaxLimPct", "123.WMaxLim_Ena"]);
    let write = WriteConfig { verify_within: Duration::ZERO, tolerance: 0.0, repeat: None };
    for index in [1, 2, 3] {
        config.points[index].write = Some(write);
    }
    config.points[2].sunspec.as_mut().unwrap().revert = Some(Duration::from_secs(60));
    config.points[3].sunspec.as_mut().unwrap().revert = Some(Duration::from_secs(60));
    config.points[3].write = Some(WriteConfig { repeat: Some(Duration::from_secs(90)), ..write });
    let found = config.check().join("\n");
    for part in [
        "tag `160.module.7.DCW`: 160.module.7.DCW and its scale factor DCW_SF are 138 registers apart",
        "tag `103.W`: sunspec 103.W can only be read",
        "tag `123.WMaxLimPct`: a command that the device takes back has to be repeated",
        "tag `123.WMaxLimPct`: `revert` writes sunspec 123.WMaxLim_Ena",
        "tag `123.WMaxLim_Ena`: sunspec 123.WMaxLim_Ena has no timer that takes it back; Conn, WMaxLimPct",
        "takes the command back after 60s, before it is repeated (90s)",
    ] {
        assert!(found.contains(part), "missing: {part}\nin:\n{found}");
    }
    config = device(&["701.W"]);
    config.registers_max = 60;
    assert!(config.check().join("\n").contains("one request carries 60"));
    config = device(&["103.W"]);
    config.sunspec.base = Some(65_534);
    assert!(config.check().join("\n").contains("no SunSpec device fits behind PDU 65534"));
}

#[test]
fn a_model_that_is_too_short_does_not_have_the_point() {
    let mut config = device(&["103.W", "103.EvtVnd4"]);
    let chain = Chain::assumed(40_000, [(1, 66), (103, 40)]);
    let missing = place(&mut config, &chain);
    assert_eq!(missing.len(), 1);
    assert!(missing[0].1.contains("model 103 of the device is 40 registers long"), "{}", missing[0].1);
    assert!(config.points[0].is_placed() && !config.points[1].is_placed());
}

#[test]
fn models_assumed_behind_the_last_register_are_named_and_not_placed() {
    let mut config = device(&["103.W", "1.SN"]);
    config.heartbeat = Some(crate::Heartbeat {
        address: Address { area: Area::Holding, pdu: 0, bit: None },
        every: Duration::from_secs(1),
        values: crate::Beats::Count,
        beats: crate::BeatsWhile::Healthy,
        sunspec: parse("sunspec 715.ControllerHb").ok().map(|reference| reference.any[0]),
        placed: false,
    });
    for base in [65_000, 65_450, 65_500, BASE_MAX] {
        config.sunspec.base = Some(base);
        let (assumed, missing) = config.assumed();
        for (index, why) in &missing {
            assert!(why.contains("would run past the last register"), "{base}: {why}");
            assert!(!assumed.points[*index].is_placed());
        }
        assert_eq!(missing.is_empty(), base == 65_000, "{base}: {missing:?}");
        assert_eq!(assumed.heartbeat.map(|beat| beat.placed), Some(base == 65_000));
    }
}

proptest! {
    /// Whatever a device holds behind "SunS": points are found or not, values come or not, and nothing panics. What is read
    /// stays within what one request carries.
    #[test]
    fn any_registers_give_values_or_reasons(
        words in proptest::collection::vec(prop_oneof![any::<u16>(), 0..260_u16, Just(103), Just(160), Just(0x8000), Just(0xFFFF)], 0..500),
        heads in proptest::collection::vec((prop_oneof![Just(1_u16), Just(103), Just(113), Just(123), Just(160), Just(701)], 0..160_u16), 0..6),
        base in prop_oneof![Just(0_u16), Just(40_000), Just(65_000)],
        most in 1..=125_u16,
    ) {
        let mut all = vec![0x5375, 0x6E53];
        let mut fill = words.iter().copied().cycle();
        for (id, length) in &heads {
            all.extend([*id, *length]);
            all.extend((0..*length).map(|_| fill.next().unwrap_or(0)));
        }
        all.extend(words.iter().copied());
        all.truncate(usize::from(u16::MAX - base));
        let Ok(chain) = chain_of(base, &all, &[base]) else { return Ok(()) };
        let mut config = device(&["inverter.W", "inverter.WH", "123.WMaxLimPct", "160.module.2.DCWH", "701.TotWhInj", "1.SN"]);
        config.registers_max = most;
        place(&mut config, &chain);
        for point in config.points.iter().filter(|p| p.is_placed()) {
            let (start, end) = point.span();
            let text = point.wire.is_text();
            prop_assert!(text || end - u32::from(start) <= u32::from(most.max(4)));
            let from = usize::from(start - base);
            let part = all.get(from..(from + (end - u32::from(start)) as usize).min(all.len())).unwrap_or(&[]);
            if let Ok((value, _)) = point.value_in(part, start) {
                prop_assert!(value.is_finite());
            }
        }
        for request in Plan::new(&config).groups.into_iter().flatten() {
            prop_assert!(request.count > 0 && u32::from(request.start) + u32::from(request.count) <= 65_536);
        }
    }

    /// What is written under a factor reads back as what was wished, within half a step of the factor.
    #[test]
    fn writing_reverses_the_factor(percent in 0.0..100.0_f64, power in -4..=1_i16) {
        let mut config = device(&["123.WMaxLimPct"]);
        place(&mut config, &Chain::assumed(40_000, [(1, 66), (123, 24)]));
        let (point, factor) = (&config.points[0], power.cast_unsigned());
        match point.encoded(&Value::Float(percent), Some(factor)) {
            Ok(Encoded::Words(words)) => {
                let (start, end) = point.span();
                let mut read = vec![0x8000; (end - u32::from(start)) as usize];
                read[..2].copy_from_slice(&[123, 24]);
                read[5] = words[0];
                read[23] = factor;
                let (value, _) = point.value_in(&read, start).unwrap();
                let off = (value.as_f64().unwrap() - percent).abs();
                prop_assert!(off <= 0.5001 * 10_f64.powi(i32::from(power)), "{percent} became {value}");
                prop_assert!(point.holds(&read, start, &Value::Float(percent)));
            }
            Ok(other) => prop_assert!(false, "{other:?}"),
            Err(why) => prop_assert!(percent / 10_f64.powi(i32::from(power)) > 65_534.0, "{why}"),
        }
    }
}
