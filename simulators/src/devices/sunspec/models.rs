//! The SunSpec models the devices carry: names and types of their points in order, as the SunSpec Alliance's model
//! definitions give them. Offsets count from the start of a model: ID at 0, length at 1, points from 2 on.

/// Type of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Signed register.
    I16,
    /// Unsigned register.
    U16,
    /// Enumeration.
    E16,
    /// Bits of one register.
    B16,
    /// Scale factor: power of ten.
    Sf,
    /// Filler.
    Pad,
    /// Unsigned, two registers.
    U32,
    /// Signed, two registers.
    I32,
    /// Bits of two registers.
    B32,
    /// Counter of two registers that rolls over.
    Acc32,
    /// Unsigned, four registers.
    U64,
    /// Counter of four registers.
    Acc64,
    /// Text of 4 registers.
    S4,
    /// Text of 8 registers.
    S8,
    /// Text of 16 registers.
    S16,
    /// Text of 32 registers.
    S32,
}

impl Type {
    /// Registers it takes.
    #[must_use]
    pub const fn registers(self) -> u16 {
        match self {
            Type::I16 | Type::U16 | Type::E16 | Type::B16 | Type::Sf | Type::Pad => 1,
            Type::U32 | Type::I32 | Type::B32 | Type::Acc32 => 2,
            Type::U64 | Type::Acc64 | Type::S4 => 4,
            Type::S8 => 8,
            Type::S16 => 16,
            Type::S32 => 32,
        }
    }

    /// First and further registers of a point the device does not implement.
    #[must_use]
    pub const fn not_implemented(self) -> (u16, u16) {
        match self {
            Type::I16 | Type::Sf | Type::Pad => (0x8000, 0),
            Type::I32 => (0x8000, 0),
            Type::U16 | Type::E16 | Type::B16 | Type::U32 | Type::B32 | Type::U64 => (0xffff, 0xffff),
            Type::Acc32 | Type::Acc64 | Type::S4 | Type::S8 | Type::S16 | Type::S32 => (0, 0),
        }
    }
}

/// A model: its number and its points after ID and length.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    /// Number.
    pub id: u16,
    /// Points in order.
    pub points: &'static [(&'static str, Type)],
}

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

impl Model {
    /// Registers after ID and length: what the length register says.
    #[must_use]
    pub const fn length(&self) -> u16 {
        let (mut sum, mut i) = (0, 0);
        while i < self.points.len() {
            sum += self.points[i].1.registers();
            i += 1;
        }
        sum
    }

    /// Offset of a point from the start of the model. A name that does not exist does not compile in a constant.
    #[must_use]
    pub const fn offset(&self, name: &str) -> u16 {
        let (mut offset, mut i) = (2, 0);
        while i < self.points.len() {
            if same(self.points[i].0, name) {
                return offset;
            }
            offset += self.points[i].1.registers();
            i += 1;
        }
        panic!("the model has no such point");
    }
}

/// Points by type, in order: `U16: A AphA; Sf: A_SF;`.
macro_rules! model {
    ($id:literal; $($kind:ident: $($name:ident)+;)+) => {
        Model { id: $id, points: &[$($((stringify!($name), Type::$kind)),+),+] }
    };
}

/// Common: who the device is.
pub const M1: Model = model!(1;
    S16: Mn Md;
    S8: Opt Vr;
    S16: SN;
    U16: DA;
    Pad: Pad;
);

/// Three-phase inverter, whole numbers with scale factors.
pub const M103: Model = model!(103;
    U16: A AphA AphB AphC;
    Sf: A_SF;
    U16: PPVphAB PPVphBC PPVphCA PhVphA PhVphB PhVphC;
    Sf: V_SF;
    I16: W;
    Sf: W_SF;
    U16: Hz;
    Sf: Hz_SF;
    I16: VA;
    Sf: VA_SF;
    I16: VAr;
    Sf: VAr_SF;
    I16: PF;
    Sf: PF_SF;
    Acc32: WH;
    Sf: WH_SF;
    U16: DCA;
    Sf: DCA_SF;
    U16: DCV;
    Sf: DCV_SF;
    I16: DCW;
    Sf: DCW_SF;
    I16: TmpCab TmpSnk TmpTrns TmpOt;
    Sf: Tmp_SF;
    E16: St StVnd;
    B32: Evt1 Evt2 EvtVnd1 EvtVnd2 EvtVnd3 EvtVnd4;
);

/// Nameplate.
pub const M120: Model = model!(120;
    E16: DERTyp;
    U16: WRtg;
    Sf: WRtg_SF;
    U16: VARtg;
    Sf: VARtg_SF;
    I16: VArRtgQ1 VArRtgQ2 VArRtgQ3 VArRtgQ4;
    Sf: VArRtg_SF;
    U16: ARtg;
    Sf: ARtg_SF;
    I16: PFRtgQ1 PFRtgQ2 PFRtgQ3 PFRtgQ4;
    Sf: PFRtg_SF;
    U16: WHRtg;
    Sf: WHRtg_SF;
    U16: AhrRtg;
    Sf: AhrRtg_SF;
    U16: MaxChaRte;
    Sf: MaxChaRte_SF;
    U16: MaxDisChaRte;
    Sf: MaxDisChaRte_SF;
    Pad: Pad;
);

/// Basic settings.
pub const M121: Model = model!(121;
    U16: WMax VRef;
    I16: VRefOfs;
    U16: VMax VMin VAMax;
    I16: VArMaxQ1 VArMaxQ2 VArMaxQ3 VArMaxQ4;
    U16: WGra;
    I16: PFMinQ1 PFMinQ2 PFMinQ3 PFMinQ4;
    E16: VArAct ClcTotVA;
    U16: MaxRmpRte ECPNomHz;
    E16: ConnPh;
    Sf: WMax_SF VRef_SF VRefOfs_SF VMinMax_SF VAMax_SF VArMax_SF WGra_SF PFMin_SF MaxRmpRte_SF ECPNomHz_SF;
);

/// Measurements and status.
pub const M122: Model = model!(122;
    B16: PVConn StorConn ECPConn;
    Acc64: ActWh ActVAh ActVArhQ1 ActVArhQ2 ActVArhQ3 ActVArhQ4;
    I16: VArAval;
    Sf: VArAval_SF;
    U16: WAval;
    Sf: WAval_SF;
    B32: StSetLimMsk StActCtl;
    S4: TmSrc;
    U32: Tms;
    B16: RtSt;
    U16: Ris;
    Sf: Ris_SF;
);

/// Immediate controls.
pub const M123: Model = model!(123;
    U16: Conn_WinTms Conn_RvrtTms;
    E16: Conn;
    U16: WMaxLimPct WMaxLimPct_WinTms WMaxLimPct_RvrtTms WMaxLimPct_RmpTms;
    E16: WMaxLim_Ena;
    I16: OutPFSet;
    U16: OutPFSet_WinTms OutPFSet_RvrtTms OutPFSet_RmpTms;
    E16: OutPFSet_Ena;
    I16: VArWMaxPct VArMaxPct VArAvalPct;
    U16: VArPct_WinTms VArPct_RvrtTms VArPct_RmpTms;
    E16: VArPct_Mod VArPct_Ena;
    Sf: WMaxLimPct_SF OutPFSet_SF VArPct_SF;
);

/// Three-phase meter, whole numbers with scale factors.
pub const M203: Model = model!(203;
    I16: A AphA AphB AphC;
    Sf: A_SF;
    I16: PhV PhVphA PhVphB PhVphC PPV PhVphAB PhVphBC PhVphCA;
    Sf: V_SF;
    I16: Hz;
    Sf: Hz_SF;
    I16: W WphA WphB WphC;
    Sf: W_SF;
    I16: VA VAphA VAphB VAphC;
    Sf: VA_SF;
    I16: VAR VARphA VARphB VARphC;
    Sf: VAR_SF;
    I16: PF PFphA PFphB PFphC;
    Sf: PF_SF;
    Acc32: TotWhExp TotWhExpPhA TotWhExpPhB TotWhExpPhC TotWhImp TotWhImpPhA TotWhImpPhB TotWhImpPhC;
    Sf: TotWh_SF;
    Acc32: TotVAhExp TotVAhExpPhA TotVAhExpPhB TotVAhExpPhC TotVAhImp TotVAhImpPhA TotVAhImpPhB TotVAhImpPhC;
    Sf: TotVAh_SF;
    Acc32: TotVArhImpQ1 TotVArhImpQ1PhA TotVArhImpQ1PhB TotVArhImpQ1PhC TotVArhImpQ2 TotVArhImpQ2PhA
        TotVArhImpQ2PhB TotVArhImpQ2PhC TotVArhExpQ3 TotVArhExpQ3PhA TotVArhExpQ3PhB TotVArhExpQ3PhC
        TotVArhExpQ4 TotVArhExpQ4PhA TotVArhExpQ4PhB TotVArhExpQ4PhC;
    Sf: TotVArh_SF;
    B32: Evt;
);

/// DER AC measurement.
pub const M701: Model = model!(701;
    E16: ACType St InvSt ConnSt;
    B32: Alrm DERMode;
    I16: W VA Var PF A;
    U16: LLV LNV;
    U32: Hz;
    U64: TotWhInj TotWhAbs TotVarhInj TotVarhAbs;
    I16: TmpAmb TmpCab TmpSnk TmpTrns TmpSw TmpOt WL1 VAL1 VarL1 PFL1 AL1;
    U16: VL1L2 VL1;
    U64: TotWhInjL1 TotWhAbsL1 TotVarhInjL1 TotVarhAbsL1;
    I16: WL2 VAL2 VarL2 PFL2 AL2;
    U16: VL2L3 VL2;
    U64: TotWhInjL2 TotWhAbsL2 TotVarhInjL2 TotVarhAbsL2;
    I16: WL3 VAL3 VarL3 PFL3 AL3;
    U16: VL3L1 VL3;
    U64: TotWhInjL3 TotWhAbsL3 TotVarhInjL3 TotVarhAbsL3;
    U16: ThrotPct;
    B32: ThrotSrc;
    Sf: A_SF V_SF Hz_SF W_SF PF_SF VA_SF Var_SF TotWh_SF TotVarh_SF Tmp_SF;
    S32: MnAlrmInfo;
);

/// DER capacity.
pub const M702: Model = model!(702;
    U16: WMaxRtg WOvrExtRtg WOvrExtRtgPF WUndExtRtg WUndExtRtgPF VAMaxRtg VarMaxInjRtg VarMaxAbsRtg
        WChaRteMaxRtg WDisChaRteMaxRtg VAChaRteMaxRtg VADisChaRteMaxRtg VNomRtg VMaxRtg VMinRtg AMaxRtg
        PFOvrExtRtg PFUndExtRtg ReactSusceptRtg;
    E16: NorOpCatRtg AbnOpCatRtg;
    B32: CtrlModes;
    B16: IntIslandCatRtg;
    U16: WMax WMaxOvrExt WOvrExtPF WMaxUndExt WUndExtPF VAMax VarMaxInj VarMaxAbs WChaRteMax WDisChaRteMax
        VAChaRteMax VADisChaRteMax VNom VMax VMin AMax PFOvrExt PFUndExt;
    B16: IntIslandCat;
    Sf: W_SF PF_SF VA_SF Var_SF V_SF A_SF S_SF;
);

/// Enter service.
pub const M703: Model = model!(703;
    E16: ES;
    U16: ESVHi ESVLo;
    U32: ESHzHi ESHzLo ESDlyTms ESRndTms ESRmpTms ESDlyRemTms;
    Sf: V_SF Hz_SF;
);

/// DER AC controls.
pub const M704: Model = model!(704;
    E16: PFWInjEna PFWInjEnaRvrt;
    U32: PFWInjRvrtTms PFWInjRvrtRem;
    E16: PFWAbsEna PFWAbsEnaRvrt;
    U32: PFWAbsRvrtTms PFWAbsRvrtRem;
    E16: WMaxLimPctEna;
    U16: WMaxLimPct WMaxLimPctRvrt;
    E16: WMaxLimPctEnaRvrt;
    U32: WMaxLimPctRvrtTms WMaxLimPctRvrtRem;
    E16: WSetEna WSetMod;
    I32: WSet WSetRvrt;
    I16: WSetPct WSetPctRvrt;
    E16: WSetEnaRvrt;
    U32: WSetRvrtTms WSetRvrtRem;
    E16: VarSetEna VarSetMod VarSetPri;
    I32: VarSet VarSetRvrt;
    I16: VarSetPct VarSetPctRvrt;
    E16: VarSetEnaRvrt;
    U32: VarSetRvrtTms VarSetRvrtRem;
    U16: WRmp;
    E16: WRmpRef;
    U16: VarRmp;
    E16: AntiIslEna;
    Sf: PF_SF WMaxLimPct_SF WSet_SF WSetPct_SF VarSet_SF VarSetPct_SF;
    U16: PFWInj_PF;
    E16: PFWInj_Ext;
    U16: PFWInjRvrt_PF;
    E16: PFWInjRvrt_Ext;
    U16: PFWAbs_PF;
    E16: PFWAbs_Ext;
    U16: PFWAbsRvrt_PF;
    E16: PFWAbsRvrt_Ext;
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_offsets_are_those_of_the_definitions() {
        let lengths = [M1, M103, M120, M121, M122, M123, M203, M701, M702, M703, M704].map(|m| (m.id, m.length()));
        let expected = [
            (1, 66),
            (103, 50),
            (120, 26),
            (121, 30),
            (122, 44),
            (123, 24),
            (203, 105),
            (701, 153),
            (702, 50),
            (703, 17),
            (704, 65),
        ];
        assert_eq!(lengths, expected);
        let offsets = [
            (M1, "SN", 50),
            (M103, "W", 14),
            (M103, "WH", 24),
            (M103, "St", 38),
            (M103, "Evt1", 40),
            (M122, "ActWh", 5),
            (M123, "WMaxLimPct", 5),
            (M123, "WMaxLim_Ena", 9),
            (M203, "W", 18),
            (M203, "TotWhImp", 46),
            (M203, "TotWh_SF", 54),
            (M701, "TotWhInj", 19),
            (M701, "ThrotPct", 110),
            (M701, "ThrotSrc", 111),
            (M704, "WMaxLimPctEna", 14),
            (M704, "WMaxLimPctRvrtTms", 18),
            (M704, "WSet", 24),
            (M704, "WRmp", 49),
        ];
        for (model, name, offset) in offsets {
            assert_eq!(model.offset(name), offset, "{} {name}", model.id);
        }
    }
}
