//! Published figures of the benchmark, and those of an independent implementation where a definition leaves room.
//!
//! Steady states: Alex et al. 2008, "Benchmark Simulation Model no. 1 (BSM1)", IWA Task Group. Dynamic runs: U. Jeppsson,
//! Matlab/Simulink, 2009-05-21. The report prints 3285.0039 g/m3 for the solids of reactor 1 in open loop, which
//! contradicts its own states: 0.75 times their sum is 3285.20.

use super::indices::Index;
use crate::models::asm1::Mix;
use crate::models::works::LAYERS;

/// Steady state in open loop: reactors 1 to 5, effluent, underflow.
pub const OPEN_LOOP: [Mix; 7] = [
    [
        30.0,
        2.8082,
        1149.1252,
        82.1349,
        2551.7658,
        148.3894,
        448.8519,
        0.004_298_4,
        5.3699,
        7.9179,
        1.2166,
        5.2849,
        4.9277,
    ],
    [
        30.0, 1.4588, 1149.1252, 76.3862, 2553.3851, 148.3091, 449.5227, 6.3132e-5, 3.6620, 8.3444, 0.88206, 5.0291,
        5.0802,
    ],
    [30.0, 1.1495, 1149.1252, 64.8549, 2557.1314, 148.9413, 450.4184, 1.7184, 6.5409, 5.5479, 0.82889, 4.3924, 4.6748],
    [30.0, 0.99532, 1149.1252, 55.6940, 2559.1826, 149.5271, 451.3147, 2.4289, 9.2990, 2.9674, 0.76679, 3.8790, 4.2935],
    [
        30.0, 0.88949, 1149.1252, 49.3056, 2559.3437, 149.7971, 452.2111, 0.49094, 10.4152, 1.7333, 0.68828, 3.5272,
        4.1256,
    ],
    [30.0, 0.88949, 4.3918, 0.18844, 9.7815, 0.57251, 1.7283, 0.49094, 10.4152, 1.7333, 0.68828, 0.01348, 4.1256],
    [30.0, 0.88949, 2247.0504, 96.4143, 5004.6542, 292.92, 884.2737, 0.49094, 10.4152, 1.7333, 0.68828, 6.8972, 4.1256],
];

/// Suspended solids of the settler's layers in open loop, top to bottom, g/m3.
pub const OPEN_LOOP_LAYERS: [f64; LAYERS] =
    [12.497, 18.113, 29.540, 68.978, 356.0747, 356.0747, 356.0747, 356.0747, 356.0747, 6393.984];

/// Suspended solids of the reactors in open loop, g/m3.
pub const OPEN_LOOP_TSS: [f64; 5] = [3285.20, 3282.546, 3277.853, 3273.633, 3269.837];

/// Steady state with the default loops and ideal sensors (SO5 = 2, SNO2 = 1): reactors 1 to 5, effluent.
pub const CLOSED_LOOP: [Mix; 6] = [
    [
        30.0,
        3.2439,
        1149.1683,
        98.6029,
        2552.1095,
        151.6721,
        446.9249,
        0.007_696_4,
        3.5133,
        11.8312,
        1.3621,
        6.1775,
        5.3399,
    ],
    [30.0, 1.6707, 1149.1683, 91.7032, 2552.3711, 151.5303, 448.0839, 6.0271e-5, 1.0, 12.5482, 0.78899, 5.9537, 5.5706],
    [30.0, 1.2195, 1149.1683, 69.6594, 2560.2025, 152.6873, 449.6336, 1.6350, 6.2289, 7.3197, 0.8307, 4.7131, 4.8236],
    [
        30.0, 0.97326, 1149.1683, 54.4484, 2563.3104, 153.7108, 451.1853, 2.4745, 11.0693, 2.7825, 0.75276, 3.8403,
        4.1538,
    ],
    [30.0, 0.80801, 1149.1683, 44.4828, 2562.8514, 154.163, 452.7367, 2.0, 13.5243, 0.67193, 0.6645, 3.2605, 3.8277],
    [30.0, 0.80801, 4.39, 0.16993, 9.7905, 0.58893, 1.7295, 2.0, 13.5243, 0.67193, 0.6645, 0.012_455, 3.8277],
];

/// Suspended solids of the reactors with the default loops, g/m3.
pub const CLOSED_LOOP_TSS: [f64; 5] = [3298.858, 3294.643, 3286.013, 3278.867, 3272.552];

/// Handles at the steady state of the default loops: internal recycle, m3/d, and KLa of tank 5, 1/d.
pub const CLOSED_LOOP_HANDLES: (f64, f64) = (16_485.607_5, 131.6514);

/// A dynamic run of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// Constant handles, dry weather.
    OpenDry,
    /// Constant handles, rain.
    OpenRain,
    /// Default loops, dry weather.
    ClosedDry,
    /// Default loops, rain.
    ClosedRain,
    /// Default loops with sensors that show the truth at once, dry weather.
    IdealDry,
    /// Default loops as discrete controllers of one minute, dry weather.
    DiscreteDry,
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Case::OpenDry => "open loop, dry",
            Case::OpenRain => "open loop, rain",
            Case::ClosedDry => "default loops, dry",
            Case::ClosedRain => "default loops, rain",
            Case::IdealDry => "default loops, ideal sensors, dry",
            Case::DiscreteDry => "default loops every 60 s, dry",
        })
    }
}

/// Distance from the published figure that is still the benchmark.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Band {
    /// Share of the published figure, %.
    Percent(f64),
    /// In the unit of the figure.
    Within(f64),
    /// Shown for comparison only.
    Shown,
}

/// One published figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// Its run.
    pub case: Case,
    /// What it is.
    pub index: Index,
    /// Published value; for [`Case::DiscreteDry`], which the benchmark does not have, that of an independent
    /// implementation.
    pub value: f64,
    /// How near a run has to come.
    pub band: Band,
}

/// Index, published value and allowed distance of one run.
type Line = (Index, f64, Band);

/// All figures of all runs.
#[must_use]
pub fn figures() -> Vec<Figure> {
    let of = |case: Case, lines: &[Line]| {
        lines.iter().map(|(index, value, band)| Figure { case, index: *index, value: *value, band: *band }).collect()
    };
    let runs: [Vec<Figure>; 6] = [
        of(Case::OpenDry, &OPEN_DRY),
        of(Case::OpenRain, &OPEN_RAIN),
        of(Case::ClosedDry, &CLOSED_DRY),
        of(Case::ClosedRain, &CLOSED_RAIN),
        of(Case::IdealDry, &IDEAL_DRY),
        of(Case::DiscreteDry, &DISCRETE_DRY),
    ];
    runs.concat()
}

const IDEAL_DRY: [Line; 10] = [
    (Index::Eqi, 6115.6, Band::Percent(0.3)),
    (Index::Ae, 3696.7, Band::Percent(0.1)),
    (Index::Pe, 241.72, Band::Percent(0.3)),
    (Index::Sp, 2440.7, Band::Percent(0.3)),
    (Index::Oci, 16_381.9, Band::Percent(0.3)),
    (Index::MeanNh4, 2.534, Band::Percent(0.5)),
    (Index::MeanTn, 16.889, Band::Percent(0.5)),
    (Index::MeanNo3, 12.391, Band::Percent(0.5)),
    (Index::OverNh4, 17.3, Band::Within(1.0)),
    (Index::OverTn, 17.6, Band::Within(1.0)),
];

const OPEN_DRY: [Line; 13] = [
    (Index::Iqi, 52_081.0, Band::Percent(0.1)),
    (Index::Eqi, 6690.1, Band::Percent(0.3)),
    (Index::Ae, 3341.39, Band::Percent(0.01)),
    (Index::Pe, 388.17, Band::Percent(0.01)),
    (Index::Me, 240.0, Band::Percent(0.01)),
    (Index::Sp, 2435.7, Band::Percent(0.3)),
    (Index::Oci, 16_148.0, Band::Percent(0.3)),
    (Index::MeanNh4, 4.759, Band::Percent(0.5)),
    (Index::MeanTn, 15.569, Band::Percent(0.5)),
    (Index::OverNh4, 62.5, Band::Within(1.0)),
    (Index::OverTn, 8.18, Band::Within(1.0)),
    (Index::Nh4At95, 8.88, Band::Shown),
    (Index::TnAt95, 18.53, Band::Shown),
];

const OPEN_RAIN: [Line; 12] = [
    (Index::Iqi, 52_081.0, Band::Percent(0.1)),
    (Index::Eqi, 8935.2, Band::Percent(0.3)),
    (Index::Ae, 3341.39, Band::Percent(0.01)),
    (Index::Pe, 388.17, Band::Percent(0.01)),
    (Index::Sp, 2352.4, Band::Percent(0.3)),
    (Index::Oci, 15_732.0, Band::Percent(0.3)),
    (Index::MeanNh4, 4.982, Band::Percent(0.5)),
    (Index::MeanTn, 14.323, Band::Percent(0.5)),
    (Index::OverNh4, 63.2, Band::Within(1.0)),
    (Index::OverTn, 4.32, Band::Within(1.0)),
    (Index::Nh4At95, 9.46, Band::Shown),
    (Index::TnAt95, 17.79, Band::Shown),
];

const CLOSED_DRY: [Line; 26] = [
    (Index::Eqi, 6123.0, Band::Percent(0.5)),
    (Index::Ae, 3698.3, Band::Percent(0.3)),
    (Index::Pe, 241.03, Band::Percent(2.0)),
    (Index::Me, 240.0, Band::Percent(0.01)),
    (Index::Sp, 2440.6, Band::Percent(0.3)),
    (Index::Oci, 16_382.4, Band::Percent(0.3)),
    (Index::MeanNh4, 2.539, Band::Percent(0.5)),
    (Index::MeanTn, 16.925, Band::Percent(0.5)),
    (Index::MeanNo3, 12.420, Band::Percent(0.5)),
    (Index::MeanCod, 48.22, Band::Percent(0.5)),
    (Index::MeanBod, 2.757, Band::Percent(0.5)),
    (Index::MeanTss, 13.00, Band::Percent(0.5)),
    (Index::MeanTkn, 4.505, Band::Percent(0.5)),
    (Index::MeanFlow, 18_061.33, Band::Percent(0.01)),
    (Index::OverNh4, 17.1, Band::Within(1.0)),
    (Index::OverTn, 18.3, Band::Within(1.5)),
    (Index::Nh4At95, 7.39, Band::Shown),
    (Index::TnAt95, 20.27, Band::Shown),
    (Index::So5Iae, 0.5883, Band::Percent(3.0)),
    (Index::So5Ise, 0.0840, Band::Percent(3.0)),
    (Index::So5Max, 0.396, Band::Shown),
    (Index::Sno2Iae, 1.435, Band::Percent(2.0)),
    (Index::Sno2Ise, 0.569, Band::Percent(3.0)),
    (Index::Kla5Mean, 144.1, Band::Percent(0.5)),
    (Index::QintrMean, 18_610.0, Band::Percent(1.0)),
    (Index::Kla5Step, 47.9, Band::Shown),
];

const CLOSED_RAIN: [Line; 14] = [
    (Index::Eqi, 8184.7, Band::Percent(0.5)),
    (Index::Ae, 3671.4, Band::Percent(0.3)),
    (Index::Pe, 285.26, Band::Percent(2.0)),
    (Index::Sp, 2357.6, Band::Percent(0.3)),
    (Index::Oci, 15_984.5, Band::Percent(0.3)),
    (Index::MeanNh4, 3.226, Band::Percent(0.5)),
    (Index::MeanTn, 14.747, Band::Percent(0.5)),
    (Index::MeanNo3, 9.165, Band::Percent(0.5)),
    (Index::OverNh4, 27.1, Band::Within(1.0)),
    (Index::OverTn, 11.0, Band::Within(1.5)),
    (Index::Nh4At95, 8.04, Band::Shown),
    (Index::TnAt95, 19.14, Band::Shown),
    (Index::So5Iae, 0.5567, Band::Percent(3.0)),
    (Index::Sno2Iae, 1.735, Band::Percent(2.0)),
];

const DISCRETE_DRY: [Line; 4] = [
    (Index::Eqi, 6129.7, Band::Percent(0.3)),
    (Index::Ae, 3697.1, Band::Percent(0.3)),
    (Index::So5Iae, 0.631, Band::Percent(5.0)),
    (Index::Sno2Iae, 1.539, Band::Percent(5.0)),
];
