//! The tables of the models: names, types, units, scale factors and who may write, after the definitions that the
//! SunSpec Alliance publishes (Information Model Reference, 2012 to 2024 editions). Data, and nothing else.
//!
//! A line names access (`r` read, `w` read and written), type, unit, scale factor, and the points in their order.

use super::kind::Kind::{
    Acc32, Acc64, Bits16, Bits32, Count, Enum16, Factor, Float32, Int16, Int32, Pad, Text, Uint16, Uint32, Uint64,
};
use super::models::{Control, Model, Row};

const fn is_writable(access: &str) -> bool {
    matches!(access.as_bytes(), b"w")
}

macro_rules! rows {
    ($($access:ident $kind:expr, $unit:literal, $factor:literal: $($name:ident)+;)+) => {
        &[$($(Row {
            name: stringify!($name),
            kind: $kind,
            unit: $unit,
            factor: $factor,
            writable: is_writable(stringify!($access)),
        }),+),+]
    };
}

const fn plain(id: u16, title: &'static str, points: &'static [Row]) -> Model {
    Model { id, title, points, repeats: None, controls: &[] }
}

const fn controlled(id: u16, title: &'static str, points: &'static [Row], controls: &'static [Control]) -> Model {
    Model { id, title, points, repeats: None, controls }
}

/// Every model whose table is here, in the order of the numbers.
pub const MODELS: &[&Model] = &[
    &plain(1, "common", COMMON),
    &plain(101, "inverter, single phase", INVERTER),
    &plain(102, "inverter, split phase", INVERTER),
    &plain(103, "inverter, three phases", INVERTER),
    &plain(111, "inverter, single phase, floating point", INVERTER_FLOAT),
    &plain(112, "inverter, split phase, floating point", INVERTER_FLOAT),
    &plain(113, "inverter, three phases, floating point", INVERTER_FLOAT),
    &plain(120, "nameplate", NAMEPLATE),
    &plain(121, "basic settings", SETTINGS),
    &plain(122, "measurements and status", STATUS),
    &controlled(123, "immediate controls", IMMEDIATE, IMMEDIATE_CONTROLS),
    &controlled(124, "storage", STORAGE, STORAGE_CONTROLS),
    &Model {
        id: 160,
        title: "inputs of the inverter",
        points: INPUTS,
        repeats: Some(("module", INPUT)),
        controls: &[],
    },
    &plain(201, "meter, single phase", METER),
    &plain(202, "meter, split phase", METER),
    &plain(203, "meter, three phases, star", METER),
    &plain(204, "meter, three phases, delta", METER),
    &plain(211, "meter, single phase, floating point", METER_FLOAT),
    &plain(212, "meter, split phase, floating point", METER_FLOAT),
    &plain(213, "meter, three phases, star, floating point", METER_FLOAT),
    &plain(214, "meter, three phases, delta, floating point", METER_FLOAT),
    &plain(701, "measurements of a generator", DER_MEASURED),
    &plain(702, "capacity of a generator", DER_CAPACITY),
    &controlled(704, "controls of a generator", DER_CONTROL, DER_CONTROLS),
    &plain(713, "capacity of a storage", DER_STORAGE),
    &plain(715, "operation of a generator", DER_OPERATION),
    &plain(802, "battery", BATTERY),
];

const COMMON: &[Row] = rows! {
    r Text(16), "", "": Mn Md;
    r Text(8), "", "": Opt Vr;
    r Text(16), "", "": SN;
    w Uint16, "", "": DA;
    r Pad, "", "": Pad;
};

const INVERTER: &[Row] = rows! {
    r Uint16, "A", "A_SF": A AphA AphB AphC;
    r Factor, "", "": A_SF;
    r Uint16, "V", "V_SF": PPVphAB PPVphBC PPVphCA PhVphA PhVphB PhVphC;
    r Factor, "", "": V_SF;
    r Int16, "W", "W_SF": W;
    r Factor, "", "": W_SF;
    r Uint16, "Hz", "Hz_SF": Hz;
    r Factor, "", "": Hz_SF;
    r Int16, "VA", "VA_SF": VA;
    r Factor, "", "": VA_SF;
    r Int16, "var", "VAr_SF": VAr;
    r Factor, "", "": VAr_SF;
    r Int16, "Pct", "PF_SF": PF;
    r Factor, "", "": PF_SF;
    r Acc32, "Wh", "WH_SF": WH;
    r Factor, "", "": WH_SF;
    r Uint16, "A", "DCA_SF": DCA;
    r Factor, "", "": DCA_SF;
    r Uint16, "V", "DCV_SF": DCV;
    r Factor, "", "": DCV_SF;
    r Int16, "W", "DCW_SF": DCW;
    r Factor, "", "": DCW_SF;
    r Int16, "C", "Tmp_SF": TmpCab TmpSnk TmpTrns TmpOt;
    r Factor, "", "": Tmp_SF;
    r Enum16, "", "": St StVnd;
    r Bits32, "", "": Evt1 Evt2 EvtVnd1 EvtVnd2 EvtVnd3 EvtVnd4;
};

const INVERTER_FLOAT: &[Row] = rows! {
    r Float32, "A", "": A AphA AphB AphC;
    r Float32, "V", "": PPVphAB PPVphBC PPVphCA PhVphA PhVphB PhVphC;
    r Float32, "W", "": W;
    r Float32, "Hz", "": Hz;
    r Float32, "VA", "": VA;
    r Float32, "var", "": VAr;
    r Float32, "Pct", "": PF;
    r Float32, "Wh", "": WH;
    r Float32, "A", "": DCA;
    r Float32, "V", "": DCV;
    r Float32, "W", "": DCW;
    r Float32, "C", "": TmpCab TmpSnk TmpTrns TmpOt;
    r Enum16, "", "": St StVnd;
    r Bits32, "", "": Evt1 Evt2 EvtVnd1 EvtVnd2 EvtVnd3 EvtVnd4;
};

const NAMEPLATE: &[Row] = rows! {
    r Enum16, "", "": DERTyp;
    r Uint16, "W", "WRtg_SF": WRtg;
    r Factor, "", "": WRtg_SF;
    r Uint16, "VA", "VARtg_SF": VARtg;
    r Factor, "", "": VARtg_SF;
    r Int16, "var", "VArRtg_SF": VArRtgQ1 VArRtgQ2 VArRtgQ3 VArRtgQ4;
    r Factor, "", "": VArRtg_SF;
    r Uint16, "A", "ARtg_SF": ARtg;
    r Factor, "", "": ARtg_SF;
    r Int16, "", "PFRtg_SF": PFRtgQ1 PFRtgQ2 PFRtgQ3 PFRtgQ4;
    r Factor, "", "": PFRtg_SF;
    r Uint16, "Wh", "WHRtg_SF": WHRtg;
    r Factor, "", "": WHRtg_SF;
    r Uint16, "Ah", "AhrRtg_SF": AhrRtg;
    r Factor, "", "": AhrRtg_SF;
    r Uint16, "W", "MaxChaRte_SF": MaxChaRte;
    r Factor, "", "": MaxChaRte_SF;
    r Uint16, "W", "MaxDisChaRte_SF": MaxDisChaRte;
    r Factor, "", "": MaxDisChaRte_SF;
    r Pad, "", "": Pad;
};

const SETTINGS: &[Row] = rows! {
    w Uint16, "W", "WMax_SF": WMax;
    w Uint16, "V", "VRef_SF": VRef;
    w Int16, "V", "VRefOfs_SF": VRefOfs;
    w Uint16, "V", "VMinMax_SF": VMax VMin;
    w Uint16, "VA", "VAMax_SF": VAMax;
    w Int16, "var", "VArMax_SF": VArMaxQ1 VArMaxQ2 VArMaxQ3 VArMaxQ4;
    w Uint16, "", "WGra_SF": WGra;
    w Int16, "", "PFMin_SF": PFMinQ1 PFMinQ2 PFMinQ3 PFMinQ4;
    w Enum16, "", "": VArAct ClcTotVA;
    w Uint16, "Pct", "MaxRmpRte_SF": MaxRmpRte;
    w Uint16, "Hz", "ECPNomHz_SF": ECPNomHz;
    w Enum16, "", "": ConnPh;
    r Factor, "", "": WMax_SF VRef_SF VRefOfs_SF VMinMax_SF VAMax_SF VArMax_SF WGra_SF PFMin_SF MaxRmpRte_SF
        ECPNomHz_SF;
};

const STATUS: &[Row] = rows! {
    r Bits16, "", "": PVConn StorConn ECPConn;
    r Acc64, "Wh", "": ActWh;
    r Acc64, "VAh", "": ActVAh;
    r Acc64, "varh", "": ActVArhQ1 ActVArhQ2 ActVArhQ3 ActVArhQ4;
    r Int16, "var", "VArAval_SF": VArAval;
    r Factor, "", "": VArAval_SF;
    r Uint16, "W", "WAval_SF": WAval;
    r Factor, "", "": WAval_SF;
    r Bits32, "", "": StSetLimMsk StActCtl;
    r Text(4), "", "": TmSrc;
    r Uint32, "Secs", "": Tms;
    r Bits16, "", "": RtSt;
    r Uint16, "", "Ris_SF": Ris;
    r Factor, "", "": Ris_SF;
};

const IMMEDIATE: &[Row] = rows! {
    w Uint16, "Secs", "": Conn_WinTms Conn_RvrtTms;
    w Enum16, "", "": Conn;
    w Uint16, "Pct", "WMaxLimPct_SF": WMaxLimPct;
    w Uint16, "Secs", "": WMaxLimPct_WinTms WMaxLimPct_RvrtTms WMaxLimPct_RmpTms;
    w Enum16, "", "": WMaxLim_Ena;
    w Int16, "", "OutPFSet_SF": OutPFSet;
    w Uint16, "Secs", "": OutPFSet_WinTms OutPFSet_RvrtTms OutPFSet_RmpTms;
    w Enum16, "", "": OutPFSet_Ena;
    w Int16, "Pct", "VArPct_SF": VArWMaxPct VArMaxPct VArAvalPct;
    w Uint16, "Secs", "": VArPct_WinTms VArPct_RvrtTms VArPct_RmpTms;
    w Enum16, "", "": VArPct_Mod VArPct_Ena;
    r Factor, "", "": WMaxLimPct_SF OutPFSet_SF VArPct_SF;
};

const IMMEDIATE_CONTROLS: &[Control] = &[
    Control { points: &["Conn"], revert: "Conn_RvrtTms", enable: &[] },
    Control { points: &["WMaxLimPct"], revert: "WMaxLimPct_RvrtTms", enable: &[("WMaxLim_Ena", 1)] },
    Control { points: &["OutPFSet"], revert: "OutPFSet_RvrtTms", enable: &[("OutPFSet_Ena", 1)] },
    // Which of the three counts is said by the mode.
    Control { points: &["VArWMaxPct"], revert: "VArPct_RvrtTms", enable: &[("VArPct_Mod", 1), ("VArPct_Ena", 1)] },
    Control { points: &["VArMaxPct"], revert: "VArPct_RvrtTms", enable: &[("VArPct_Mod", 2), ("VArPct_Ena", 1)] },
    Control { points: &["VArAvalPct"], revert: "VArPct_RvrtTms", enable: &[("VArPct_Mod", 3), ("VArPct_Ena", 1)] },
];

const STORAGE: &[Row] = rows! {
    w Uint16, "W", "WChaMax_SF": WChaMax;
    w Uint16, "Pct/s", "WChaDisChaGra_SF": WChaGra WDisChaGra;
    w Bits16, "", "": StorCtl_Mod;
    w Uint16, "VA", "VAChaMax_SF": VAChaMax;
    w Uint16, "Pct", "MinRsvPct_SF": MinRsvPct;
    r Uint16, "Pct", "ChaState_SF": ChaState;
    r Uint16, "Ah", "StorAval_SF": StorAval;
    r Uint16, "V", "InBatV_SF": InBatV;
    r Enum16, "", "": ChaSt;
    w Int16, "Pct", "InOutWRte_SF": OutWRte InWRte;
    w Uint16, "Secs", "": InOutWRte_WinTms InOutWRte_RvrtTms InOutWRte_RmpTms;
    w Enum16, "", "": ChaGriSet;
    r Factor, "", "": WChaMax_SF WChaDisChaGra_SF VAChaMax_SF MinRsvPct_SF ChaState_SF StorAval_SF InBatV_SF
        InOutWRte_SF;
};

// `StorCtl_Mod` says which of the two rates counts; it is the site's own output, because both may.
const STORAGE_CONTROLS: &[Control] =
    &[Control { points: &["OutWRte", "InWRte", "StorCtl_Mod"], revert: "InOutWRte_RvrtTms", enable: &[] }];

const INPUTS: &[Row] = rows! {
    r Factor, "", "": DCA_SF DCV_SF DCW_SF DCWH_SF;
    r Bits32, "", "": Evt;
    r Count, "", "": N;
    r Uint16, "", "": TmsPer;
};

const INPUT: &[Row] = rows! {
    r Uint16, "", "": ID;
    r Text(8), "", "": IDStr;
    r Uint16, "A", "DCA_SF": DCA;
    r Uint16, "V", "DCV_SF": DCV;
    r Uint16, "W", "DCW_SF": DCW;
    r Acc32, "Wh", "DCWH_SF": DCWH;
    r Uint32, "Secs", "": Tms;
    r Int16, "C", "": Tmp;
    r Enum16, "", "": DCSt;
    r Bits32, "", "": DCEvt;
};

const METER: &[Row] = rows! {
    r Int16, "A", "A_SF": A AphA AphB AphC;
    r Factor, "", "": A_SF;
    r Int16, "V", "V_SF": PhV PhVphA PhVphB PhVphC PPV PhVphAB PhVphBC PhVphCA;
    r Factor, "", "": V_SF;
    r Int16, "Hz", "Hz_SF": Hz;
    r Factor, "", "": Hz_SF;
    r Int16, "W", "W_SF": W WphA WphB WphC;
    r Factor, "", "": W_SF;
    r Int16, "VA", "VA_SF": VA VAphA VAphB VAphC;
    r Factor, "", "": VA_SF;
    r Int16, "var", "VAR_SF": VAR VARphA VARphB VARphC;
    r Factor, "", "": VAR_SF;
    r Int16, "Pct", "PF_SF": PF PFphA PFphB PFphC;
    r Factor, "", "": PF_SF;
    r Acc32, "Wh", "TotWh_SF": TotWhExp TotWhExpPhA TotWhExpPhB TotWhExpPhC TotWhImp TotWhImpPhA TotWhImpPhB
        TotWhImpPhC;
    r Factor, "", "": TotWh_SF;
    r Acc32, "VAh", "TotVAh_SF": TotVAhExp TotVAhExpPhA TotVAhExpPhB TotVAhExpPhC TotVAhImp TotVAhImpPhA TotVAhImpPhB
        TotVAhImpPhC;
    r Factor, "", "": TotVAh_SF;
    r Acc32, "varh", "TotVArh_SF": TotVArhImpQ1 TotVArhImpQ1PhA TotVArhImpQ1PhB TotVArhImpQ1PhC TotVArhImpQ2
        TotVArhImpQ2PhA TotVArhImpQ2PhB TotVArhImpQ2PhC TotVArhExpQ3 TotVArhExpQ3PhA TotVArhExpQ3PhB TotVArhExpQ3PhC
        TotVArhExpQ4 TotVArhExpQ4PhA TotVArhExpQ4PhB TotVArhExpQ4PhC;
    r Factor, "", "": TotVArh_SF;
    r Bits32, "", "": Evt;
};

const METER_FLOAT: &[Row] = rows! {
    r Float32, "A", "": A AphA AphB AphC;
    r Float32, "V", "": PhV PhVphA PhVphB PhVphC PPV PPVphAB PPVphBC PPVphCA;
    r Float32, "Hz", "": Hz;
    r Float32, "W", "": W WphA WphB WphC;
    r Float32, "VA", "": VA VAphA VAphB VAphC;
    r Float32, "var", "": VAR VARphA VARphB VARphC;
    r Float32, "", "": PF PFphA PFphB PFphC;
    r Float32, "Wh", "": TotWhExp TotWhExpPhA TotWhExpPhB TotWhExpPhC TotWhImp TotWhImpPhA TotWhImpPhB TotWhImpPhC;
    r Float32, "VAh", "": TotVAhExp TotVAhExpPhA TotVAhExpPhB TotVAhExpPhC TotVAhImp TotVAhImpPhA TotVAhImpPhB
        TotVAhImpPhC;
    r Float32, "varh", "": TotVArhImpQ1 TotVArhImpQ1phA TotVArhImpQ1phB TotVArhImpQ1phC TotVArhImpQ2 TotVArhImpQ2phA
        TotVArhImpQ2phB TotVArhImpQ2phC TotVArhExpQ3 TotVArhExpQ3phA TotVArhExpQ3phB TotVArhExpQ3phC TotVArhExpQ4
        TotVArhExpQ4phA TotVArhExpQ4phB TotVArhExpQ4phC;
    r Bits32, "", "": Evt;
};

const DER_MEASURED: &[Row] = rows! {
    r Enum16, "", "": ACType St InvSt ConnSt;
    r Bits32, "", "": Alrm DERMode;
    r Int16, "W", "W_SF": W;
    r Int16, "VA", "VA_SF": VA;
    r Int16, "var", "Var_SF": Var;
    r Int16, "", "PF_SF": PF;
    r Int16, "A", "A_SF": A;
    r Uint16, "V", "V_SF": LLV LNV;
    r Uint32, "Hz", "Hz_SF": Hz;
    r Uint64, "Wh", "TotWh_SF": TotWhInj TotWhAbs;
    r Uint64, "varh", "TotVarh_SF": TotVarhInj TotVarhAbs;
    r Int16, "C", "Tmp_SF": TmpAmb TmpCab TmpSnk TmpTrns TmpSw TmpOt;
    r Int16, "W", "W_SF": WL1;
    r Int16, "VA", "VA_SF": VAL1;
    r Int16, "var", "Var_SF": VarL1;
    r Int16, "", "PF_SF": PFL1;
    r Int16, "A", "A_SF": AL1;
    r Uint16, "V", "V_SF": VL1L2 VL1;
    r Uint64, "Wh", "TotWh_SF": TotWhInjL1 TotWhAbsL1;
    r Uint64, "varh", "TotVarh_SF": TotVarhInjL1 TotVarhAbsL1;
    r Int16, "W", "W_SF": WL2;
    r Int16, "VA", "VA_SF": VAL2;
    r Int16, "var", "Var_SF": VarL2;
    r Int16, "", "PF_SF": PFL2;
    r Int16, "A", "A_SF": AL2;
    r Uint16, "V", "V_SF": VL2L3 VL2;
    r Uint64, "Wh", "TotWh_SF": TotWhInjL2 TotWhAbsL2;
    r Uint64, "varh", "TotVarh_SF": TotVarhInjL2 TotVarhAbsL2;
    r Int16, "W", "W_SF": WL3;
    r Int16, "VA", "VA_SF": VAL3;
    r Int16, "var", "Var_SF": VarL3;
    r Int16, "", "PF_SF": PFL3;
    r Int16, "A", "A_SF": AL3;
    r Uint16, "V", "V_SF": VL3L1 VL3;
    r Uint64, "Wh", "TotWh_SF": TotWhInjL3 TotWhAbsL3;
    r Uint64, "varh", "TotVarh_SF": TotVarhInjL3 TotVarhAbsL3;
    r Uint16, "Pct", "": ThrotPct;
    r Bits32, "", "": ThrotSrc;
    r Factor, "", "": A_SF V_SF Hz_SF W_SF PF_SF VA_SF Var_SF TotWh_SF TotVarh_SF Tmp_SF;
    r Text(32), "", "": MnAlrmInfo;
};

const DER_CAPACITY: &[Row] = rows! {
    r Uint16, "W", "W_SF": WMaxRtg WOvrExtRtg;
    r Uint16, "", "PF_SF": WOvrExtRtgPF;
    r Uint16, "W", "W_SF": WUndExtRtg;
    r Uint16, "", "PF_SF": WUndExtRtgPF;
    r Uint16, "VA", "VA_SF": VAMaxRtg;
    r Uint16, "var", "Var_SF": VarMaxInjRtg VarMaxAbsRtg;
    r Uint16, "W", "W_SF": WChaRteMaxRtg WDisChaRteMaxRtg;
    r Uint16, "VA", "VA_SF": VAChaRteMaxRtg VADisChaRteMaxRtg;
    r Uint16, "V", "V_SF": VNomRtg VMaxRtg VMinRtg;
    r Uint16, "A", "A_SF": AMaxRtg;
    r Uint16, "", "PF_SF": PFOvrExtRtg PFUndExtRtg;
    r Uint16, "", "S_SF": ReactSusceptRtg;
    r Enum16, "", "": NorOpCatRtg AbnOpCatRtg;
    r Bits32, "", "": CtrlModes;
    r Bits16, "", "": IntIslandCatRtg;
    w Uint16, "W", "W_SF": WMax WMaxOvrExt;
    w Uint16, "", "PF_SF": WOvrExtPF;
    w Uint16, "W", "W_SF": WMaxUndExt;
    w Uint16, "", "PF_SF": WUndExtPF;
    w Uint16, "VA", "VA_SF": VAMax;
    w Uint16, "var", "Var_SF": VarMaxInj VarMaxAbs;
    w Uint16, "W", "W_SF": WChaRteMax WDisChaRteMax;
    w Uint16, "VA", "VA_SF": VAChaRteMax VADisChaRteMax;
    w Uint16, "V", "V_SF": VNom VMax VMin;
    w Uint16, "A", "A_SF": AMax;
    w Uint16, "", "PF_SF": PFOvrExt PFUndExt;
    w Bits16, "", "": IntIslandCat;
    r Factor, "", "": W_SF PF_SF VA_SF Var_SF V_SF A_SF S_SF;
};

const DER_CONTROL: &[Row] = rows! {
    w Enum16, "", "": PFWInjEna PFWInjEnaRvrt;
    w Uint32, "Secs", "": PFWInjRvrtTms;
    r Uint32, "Secs", "": PFWInjRvrtRem;
    w Enum16, "", "": PFWAbsEna PFWAbsEnaRvrt;
    w Uint32, "Secs", "": PFWAbsRvrtTms;
    r Uint32, "Secs", "": PFWAbsRvrtRem;
    w Enum16, "", "": WMaxLimPctEna;
    w Uint16, "Pct", "WMaxLimPct_SF": WMaxLimPct WMaxLimPctRvrt;
    w Enum16, "", "": WMaxLimPctEnaRvrt;
    w Uint32, "Secs", "": WMaxLimPctRvrtTms;
    r Uint32, "Secs", "": WMaxLimPctRvrtRem;
    w Enum16, "", "": WSetEna WSetMod;
    w Int32, "W", "WSet_SF": WSet WSetRvrt;
    w Int16, "Pct", "WSetPct_SF": WSetPct WSetPctRvrt;
    w Enum16, "", "": WSetEnaRvrt;
    w Uint32, "Secs", "": WSetRvrtTms;
    r Uint32, "Secs", "": WSetRvrtRem;
    w Enum16, "", "": VarSetEna VarSetMod VarSetPri;
    w Int32, "var", "VarSet_SF": VarSet VarSetRvrt;
    w Int16, "Pct", "VarSetPct_SF": VarSetPct VarSetPctRvrt;
    w Enum16, "", "": VarSetEnaRvrt;
    w Uint32, "Secs", "": VarSetRvrtTms;
    r Uint32, "Secs", "": VarSetRvrtRem;
    w Uint16, "Pct/s", "": WRmp;
    w Enum16, "", "": WRmpRef;
    w Uint16, "Pct/s", "": VarRmp;
    w Enum16, "", "": AntiIslEna;
    r Factor, "", "": PF_SF WMaxLimPct_SF WSet_SF WSetPct_SF VarSet_SF VarSetPct_SF;
    w Uint16, "", "PF_SF": PFWInj_PF;
    w Enum16, "", "": PFWInj_Ext;
    w Uint16, "", "PF_SF": PFWInjRvrt_PF;
    w Enum16, "", "": PFWInjRvrt_Ext;
    w Uint16, "", "PF_SF": PFWAbs_PF;
    w Enum16, "", "": PFWAbs_Ext;
    w Uint16, "", "PF_SF": PFWAbsRvrt_PF;
    w Enum16, "", "": PFWAbsRvrt_Ext;
};

const DER_CONTROLS: &[Control] = &[
    Control { points: &["WMaxLimPct"], revert: "WMaxLimPctRvrtTms", enable: &[("WMaxLimPctEna", 1)] },
    // The mode says whether the percentage or the power counts.
    Control { points: &["WSetPct"], revert: "WSetRvrtTms", enable: &[("WSetMod", 0), ("WSetEna", 1)] },
    Control { points: &["WSet"], revert: "WSetRvrtTms", enable: &[("WSetMod", 1), ("WSetEna", 1)] },
];

const DER_STORAGE: &[Row] = rows! {
    r Uint16, "Wh", "WH_SF": WHRtg WHAvail;
    r Uint16, "Pct", "Pct_SF": SoC SoH;
    r Enum16, "", "": Sta;
    r Factor, "", "": WH_SF Pct_SF;
};

const DER_OPERATION: &[Row] = rows! {
    r Enum16, "", "": LocRemCtl;
    r Uint32, "", "": DERHb;
    w Uint32, "", "": ControllerHb;
    w Uint16, "", "": AlarmReset;
    w Enum16, "", "": OpCtl;
};

const BATTERY: &[Row] = rows! {
    r Uint16, "Ah", "AHRtg_SF": AHRtg;
    r Uint16, "Wh", "WHRtg_SF": WHRtg;
    r Uint16, "W", "WChaDisChaMax_SF": WChaRteMax WDisChaRteMax;
    r Uint16, "Pct", "DisChaRte_SF": DisChaRte;
    r Uint16, "Pct", "SoC_SF": SoCMax SoCMin;
    w Uint16, "Pct", "SoC_SF": SocRsvMax SoCRsvMin;
    r Uint16, "Pct", "SoC_SF": SoC;
    r Uint16, "Pct", "DoD_SF": DoD;
    r Uint16, "Pct", "SoH_SF": SoH;
    r Uint32, "", "": NCyc;
    r Enum16, "", "": ChaSt LocRemCtl;
    r Uint16, "", "": Hb;
    w Uint16, "", "": CtrlHb AlmRst;
    r Enum16, "", "": Typ State StateVnd;
    r Uint32, "", "": WarrDt;
    r Bits32, "", "": Evt1 Evt2 EvtVnd1 EvtVnd2;
    r Uint16, "V", "V_SF": V VMax VMin;
    r Uint16, "V", "CellV_SF": CellVMax;
    r Uint16, "", "": CellVMaxStr CellVMaxMod;
    r Uint16, "V", "CellV_SF": CellVMin;
    r Uint16, "", "": CellVMinStr CellVMinMod;
    r Uint16, "V", "CellV_SF": CellVAvg;
    r Int16, "A", "A_SF": A;
    r Uint16, "A", "AMax_SF": AChaMax ADisChaMax;
    r Int16, "W", "W_SF": W;
    r Enum16, "", "": ReqInvState;
    r Int16, "W", "W_SF": ReqW;
    w Enum16, "", "": SetOp SetInvState;
    r Factor, "", "": AHRtg_SF WHRtg_SF WChaDisChaMax_SF DisChaRte_SF SoC_SF DoD_SF SoH_SF V_SF CellV_SF A_SF AMax_SF
        W_SF;
};
