use super::*;
use crate::devices::image::encode_f32;
use crate::field::{FieldConfig, PlantKind, build};

const START: i64 = 1_781_452_800;

fn benchmark() -> Benchmark {
    Benchmark::new(1, START, Weather::Dry, None).unwrap()
}

fn place(tag: &str) -> usize {
    POINTS.iter().position(|point| point.tag == tag).unwrap()
}

fn shown(plant: &Benchmark, tag: &str) -> f64 {
    let words = plant.image.lock().read_input(point_register(place(tag)), 2).unwrap().to_vec();
    f64::from(f32::from_bits(u32::from(words[0]) << 16 | u32::from(words[1])))
}

fn command(plant: &Benchmark, name: &str, value: f64) {
    let place = HANDLES.iter().position(|(handle, _)| *handle == name).unwrap();
    plant.image.lock().write_holding(handle_register(place), &encode_f32(value, ORDER)).unwrap();
}

#[test]
fn starts_where_the_default_loops_left_it_and_shows_its_sensors() {
    let mut plant = benchmark();
    let handles = *plant.plant().handles();
    assert!((handles.kla[2], handles.kla[3]) == (240.0, 240.0) && handles.q_ras == 18_446.0);
    assert!(handles.kla[4] > 10.0 && handles.kla[4] < 350.0, "{handles:?}");
    let truth = plant.plant().works().tanks[4][SO];
    assert!((shown(&plant, "t5/do") - truth).abs() < 1.0, "{} of {truth}", shown(&plant, "t5/do"));
    assert!((shown(&plant, "t3/kla") - 240.0).abs() < 1e-3, "an actuator tells what it gives without noise");
    plant.step(86_400.0, 86_400.0);
    assert_eq!(plant.elapsed_s(), 86_400.0);
    assert_eq!(plant.unix_s(), (START + 86_400) as f64);
    assert_eq!(plant.plant().handles().kla[4] as f32, handles.kla[4] as f32, "nobody wrote: the handles stay");
}

#[test]
fn handles_reach_the_plant_through_their_lags_and_are_bounded() {
    let mut plant = benchmark();
    command(&plant, "kla5", 200.0);
    command(&plant, "internal", 30_000.0);
    command(&plant, "carbon2", 1.5);
    plant.step(60.0, 60.0);
    let halfway = plant.plant().applied().kla[4];
    plant.step(1800.0, 1800.0);
    let applied = plant.plant().applied();
    assert!((applied.kla[4] - 200.0).abs() < 0.1 && (halfway - 200.0).abs() > (applied.kla[4] - 200.0).abs());
    assert!((applied.q_internal - 30_000.0).abs() < 1.0 && applied.carbon_m3_d[1] == 1.5);
    for (name, too_much) in [("kla1", 360.5), ("internal", 92_231.0), ("carbon5", 5.01), ("was", -0.1)] {
        let place = HANDLES.iter().position(|(handle, _)| *handle == name).unwrap();
        let words = encode_f32(too_much, ORDER);
        assert!(plant.image.lock().write_holding(handle_register(place), &words).is_err(), "{name}");
    }
}

#[test]
fn seconds_and_tenths_are_the_same_plant() {
    let (mut coarse, mut fine) = (benchmark(), benchmark());
    for plant in [&mut coarse, &mut fine] {
        command(plant, "kla4", 120.0);
    }
    (0..600).for_each(|_| coarse.step(1.0, 1.0));
    (0..6000).for_each(|_| fine.step(0.1, 0.1));
    assert_eq!(coarse.plant().works(), fine.plant().works());
    assert!((coarse.elapsed_s() - fine.elapsed_s()).abs() < 1e-3);
}

#[test]
fn faults_of_sensors_and_actuators_begin_and_end() {
    let mut plant = benchmark();
    let id = plant.inject("stuck t5/do 0.5 for 10min".parse().unwrap()).unwrap();
    plant.inject("actuator-cap kla 120".parse().unwrap()).unwrap();
    plant.inject("actuator-gain internal 0.5".parse().unwrap()).unwrap();
    command(&plant, "kla5", 300.0);
    command(&plant, "internal", 20_000.0);
    plant.step(300.0, 300.0);
    assert_eq!(shown(&plant, "t5/do"), 0.5);
    assert_eq!(plant.faults().iter().map(|fault| fault.id).collect::<Vec<_>>(), [id, 2, 3]);
    let handles = plant.plant().handles();
    assert_eq!((handles.kla[2], handles.kla[4], handles.q_internal), (120.0, 120.0, 10_000.0));
    plant.step(301.0, 301.0);
    plant.step(1.0, 1.0);
    assert!(plant.faults().len() == 2 && shown(&plant, "t5/do") != 0.5, "over after ten minutes");
    plant.inject("actuator-stuck kla5".parse().unwrap()).unwrap();
    plant.clear(2);
    command(&plant, "kla5", 10.0);
    plant.step(60.0, 60.0);
    assert_eq!(plant.plant().handles().kla[4], 120.0, "stuck where the cap held it");
    plant.clear_all();
    plant.step(60.0, 60.0);
    assert_eq!((plant.plant().handles().kla[4], plant.plant().handles().q_internal), (10.0, 20_000.0));
}

#[test]
fn faults_of_the_other_plant_are_refused_by_name() {
    let mut plant = benchmark();
    for (text, what) in [
        ("drop aeration_plc", "device `aeration_plc`"),
        ("stuck aer/z5/nh4", "measured quantity `aer/z5/nh4`"),
        ("blower-trip b1", "machine of `blower-trip b1`"),
        ("pump-trip pac", "machine of `pump-trip pac`"),
    ] {
        let error = plant.inject(text.parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains("bsm1"), "{error}");
    }
    let mut works = build(&FieldConfig { seed: 1, start_unix_s: START, ..FieldConfig::default() }).unwrap();
    for text in ["actuator-cap kla 100", "stuck t5/do", "drop bsm1_plc"] {
        let error = works.inject(text.parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("jinan"), "{error}");
    }
    assert!(works.inject("drop sludge_effluent_plc".parse().unwrap()).is_ok());
}

#[test]
fn weather_changes_while_it_runs() {
    let (mut dry, mut wet) = (benchmark(), benchmark());
    for plant in [&mut dry, &mut wet] {
        plant.step(6.0 * 3600.0 + 100.0, 1.0);
    }
    wet.set_weather(Weather::Rain).unwrap();
    assert_eq!(dry.plant().inflow(), wet.plant().inflow(), "what has begun to flow in flows on");
    let mut most = 0.0_f64;
    for _ in 0..48 {
        dry.step(3600.0, 1.0);
        wet.step(3600.0, 1.0);
        most = most.max(wet.plant().inflow().q - dry.plant().inflow().q);
    }
    assert!(most > 15_000.0, "{most}");
}

#[test]
fn score_is_that_of_its_window() {
    let mut plant = benchmark();
    plant.step(2.0 * 86_400.0, 1.0);
    let (all, second) = (plant.score(0.0), plant.score(86_400.0));
    let eqi = |score: &Score| score.get("eqi").unwrap();
    assert!(eqi(&all) > 4000.0 && eqi(&all) < 9000.0 && eqi(&all) != eqi(&second));
    assert_eq!(all.limits.len(), 5);
    assert!(second.limits.iter().all(|limit| limit.worst_day.is_some()));
    assert_eq!(plant.score(1e9), Score::default());
}

#[test]
fn missing_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        FieldConfig { kind: PlantKind::Bsm1, influent: Some(folder.path().to_path_buf()), ..FieldConfig::default() };
    let error = build(&config).err().unwrap().to_string();
    assert!(error.contains("sensornoise_1min.csv"), "{error}");
}

#[test]
fn every_sensor_can_fail() {
    let mut plant = benchmark();
    let tags: Vec<&str> = POINTS.iter().map(|point| point.tag).collect();
    for tag in tags {
        let id = plant.inject(format!("stuck {tag} 1").parse().unwrap()).unwrap();
        plant.step(1.0, 1.0);
        assert_eq!(shown(&plant, tag), 1.0, "{tag}");
        assert!(plant.clear(id) && !plant.clear(id));
    }
}

#[test]
fn step_feed_divides_the_streams() {
    let mut plant = benchmark();
    command(&plant, "influent_feed1", 0.5);
    command(&plant, "influent_feed2", 0.5);
    command(&plant, "ras_feed1", 0.0);
    command(&plant, "internal_feed3", 1.0);
    let nh4 = |plant: &Benchmark| plant.plant().works().tanks[1][crate::models::asm1::SNH];
    plant.step(60.0, 60.0);
    let feeds = plant.plant().handles().feeds;
    assert_eq!(feeds[0], [0.5, 0.5, 0.0, 0.0, 0.0]);
    assert_eq!(feeds[1], [1.0, 0.0, 0.0, 0.0, 0.0], "where no share is given, all goes to the first tank");
    assert_eq!(feeds[2], [0.5, 0.0, 0.5, 0.0, 0.0], "shares add up to 1");
    let before = nh4(&plant);
    plant.step(3600.0, 3600.0);
    assert!(nh4(&plant) > before + 0.5, "half of the influent reaches tank 2 undiluted: {before} and {}", nh4(&plant));
}
